"""A migration is carried out, broken off and taken back, on machines that are literals."""

from collections.abc import Callable
from pathlib import Path

import pytest

from earmark.cluster.migration.actions import Plan, Step
from earmark.cluster.migration.facts import Answer
from earmark.cluster.migration.journal import Journal
from earmark.cluster.migration.progress import Progress
from earmark.cluster.migration.runner import Ended, Runner
from earmark.cluster.migration.steps import plan_of
from fakes.migration import CrashError, Lab, Memory, example, facts


class Heard:
    def __init__(self) -> None:
        self.steps: list[str] = []
        self.lines: list[str] = []
        self.copied: list[int] = []

    def step(self, step: Step, what: str) -> None:
        self.steps.append(f"{step.name}: {what}")

    def line(self, text: str) -> None:
        self.lines.append(text)

    def progress(self, progress: Progress) -> None:
        self.copied.append(progress.percent)


def plan() -> Plan:
    request = example(kernel='kernel = "source"')
    return plan_of(request, facts(request))


def with_skeleton() -> Plan:
    request = example(kernel='kernel = "debootstrap"')
    return plan_of(request, facts(request))


def run(lab: Lab, journal: Memory | Journal, steps: Plan, *, until: str = "", outage: bool = True) -> Ended:
    return Runner(steps, lab, journal, Heard()).run(until=until, outage=outage)


def undo(lab: Lab, journal: Memory, steps: Plan) -> tuple[Ended, Heard]:
    heard = Heard()
    return Runner(steps, lab, journal, heard).undo(), heard


def end_of(lab: Lab) -> tuple[set[str], set[str], set[str]]:
    return lab.disk, lab.memory, lab.source


@pytest.fixture
def journal() -> Memory:
    return Memory()


def test_a_migration_ends_with_a_guest_that_runs_and_a_source_that_is_off(journal: Memory) -> None:
    lab = Lab()
    assert run(lab, journal, plan()) == Ended("announce")
    assert lab.memory == {"up", "primary", "running"}
    assert lab.source == set()
    assert {"copy", "last copy", "Edit /etc/fstab", "Edit /etc/inittab"} <= lab.disk


def test_services_stop_in_order_the_mta_first(journal: Memory) -> None:
    lab = Lab()
    run(lab, journal, plan())
    stopped = [line for line in lab.ran if line.endswith(" stop")]
    assert stopped == [
        "source: /etc/init.d/postfix stop",
        "source: /etc/init.d/spamassassin stop",
        "source: /etc/init.d/clamav-daemon stop",
    ]


def test_nothing_takes_mail_down_unasked(journal: Memory) -> None:
    lab = Lab()
    before = set(lab.source)
    assert run(lab, journal, plan(), outage=False) == Ended("stop-mta", waits_for_outage=True)
    assert lab.source == before
    assert "copy" in lab.disk
    assert run(lab, journal, plan()) == Ended("announce")


def test_it_stops_after_the_step_that_was_named(journal: Memory) -> None:
    lab = Lab()
    assert run(lab, journal, plan(), until="partition") == Ended("partition")
    assert "partition" in lab.disk
    assert "pv" not in lab.disk


@pytest.mark.parametrize("restarted", [False, True], ids=["process", "host"])
@pytest.mark.parametrize("happened", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("steps", [plan, with_skeleton])
def test_a_crash_at_any_change_and_going_on_gives_the_same_end(
    *, steps: Callable[[], Plan], happened: bool, restarted: bool
) -> None:
    whole = Lab()
    assert not run(whole, Memory(), steps()).why
    number = 0
    while True:
        lab, journal = Lab(), Memory()
        lab.crash_at = (number, happened)
        try:
            run(lab, journal, steps())
            break
        except CrashError:
            lab.crash_at = None
        if restarted:
            lab.restart()
        assert run(lab, journal, steps()).why == "", number
        assert end_of(lab) == end_of(whole), number
        number += 1
    assert number > 40


def _harmless(lab: Lab) -> None:
    assert {"postfix", "spamassassin", "clamav-daemon", "postfix at boot", "on"} <= lab.source
    assert not lab.memory - {"up"}
    programs = {line.split()[1] for line in lab.ran}
    assert not programs & {"lvremove", "wipefs", "vgremove", "pvremove", "rm", "dd"}


@pytest.mark.parametrize("steps", [plan, with_skeleton])
def test_there_is_a_way_back_from_every_step_and_forth_again(steps: Callable[[], Plan]) -> None:
    whole = Lab()
    run(whole, Memory(), steps())
    for step in steps():
        lab, journal = Lab(), Memory()
        assert run(lab, journal, steps(), until=step.name).step == step.name
        switched_off = "on" not in lab.source
        lab.fails = _switched_on(lab)
        ended, heard = undo(lab, journal, steps())
        assert ended.why == "", step.name
        assert any("switch the source on" in line for line in heard.lines) == switched_off
        _harmless(lab)
        lab.fails = lambda _: None
        assert run(lab, journal, steps()).why == "", step.name
        assert end_of(lab) == end_of(whole), step.name


def _switched_on(lab: Lab) -> Callable[[str], Answer | None]:
    """Somebody presses the button while the way back waits for it."""

    def press(words: str) -> Answer | None:
        if words == "source: true" and "on" not in lab.source and lab.now() > 10:
            lab.source.add("on")
        return None

    return press


def test_a_way_back_that_was_cut_off_goes_on() -> None:
    for number in range(20):
        lab, journal = Lab(), Memory()
        run(lab, journal, plan())
        lab.fails = _switched_on(lab)
        lab.crash_at = (lab.changes + number, True)
        try:
            undo(lab, journal, plan())
        except CrashError:
            lab.crash_at = None
            assert undo(lab, journal, plan())[0].why == ""
            _harmless(lab)
        else:
            assert number > 8
            return
    pytest.fail("the way back has no end")


def test_a_step_that_fails_stops_and_says_what_to_do(journal: Memory) -> None:
    lab = Lab()
    lab.fails = lambda words: Answer(5, "", "no room\x1b[2J") if words.startswith("here: pvcreate") else None
    ended = run(lab, journal, plan())
    assert ended.step == "physical-volume"
    assert "status 5:\nno room" in ended.why
    lab.fails = lambda _: None
    assert run(lab, journal, plan()).why == ""


def test_a_disk_that_holds_something_strange_is_not_written_to(journal: Memory) -> None:
    lab = Lab()
    lab.fails = lambda words: Answer(0, "ext4") if words == "here: blkid --probe /dev/drbd0" else None
    ended = run(lab, journal, plan())
    assert ended.step == "partition"
    assert "wipefs" in ended.why
    assert "partition" not in lab.disk


def test_what_a_command_claims_and_nobody_sees_is_not_believed(journal: Memory) -> None:
    lab = Lab()
    lab.fails = lambda words: Answer(0, "") if words.startswith("here: drbdadm role") else None
    ended = run(lab, journal, plan())
    assert ended.step == "resource"
    assert "does not show" in ended.why


def test_what_was_done_otherwise_than_the_file_says_now_is_said(journal: Memory) -> None:
    lab = Lab()
    run(lab, journal, plan(), until="swap-volume")
    request = example(swap="swap = 2048")
    ended = run(lab, journal, plan_of(request, facts(request)))
    assert ended.step == "swap-volume"
    assert "otherwise" in ended.why


def test_what_was_done_is_on_the_disk_for_the_next_process(tmp_path: Path) -> None:
    lab, path = Lab(), tmp_path / "mail.jsonl"
    first = Journal(path)
    run(lab, first, plan(), until="first-copy")
    first.close()
    second = Journal(path)
    assert run(lab, second, plan()).why == ""
    second.close()
    assert lab.memory == {"up", "primary", "running"}


def test_a_later_step_may_be_changed_in_the_file(journal: Memory) -> None:
    lab = Lab()
    run(lab, journal, plan(), until="swap-volume")
    request = example(mac='mac = "52:54:00:c0:02:26"')
    assert run(lab, journal, plan_of(request, facts(request))).why == ""


def test_deliveries_that_do_not_end_are_waited_for_and_then_said(journal: Memory) -> None:
    lab = Lab()
    lab.fails = lambda words: Answer(0, "4711") if "pgrep" in words else None
    ended = run(lab, journal, plan())
    assert ended.step == "stop-mta"
    assert "waited 120 s" in ended.why
    assert lab.now() >= 120


def test_a_host_with_a_volume_group_of_that_name_is_told(journal: Memory) -> None:
    lab = Lab()
    lab.fails = lambda words: (
        Answer(0, "vg_mail") if words == "here: vgs --noheadings --options vg_name vg_mail" else None
    )
    ended = run(lab, journal, plan())
    assert ended.step == "volume-group"
