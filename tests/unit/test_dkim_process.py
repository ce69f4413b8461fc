"""The child that verifies: it may be killed, hang or talk nonsense, and nothing of it stays behind."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
import uvloop

from earmark.clients.dkim import Dkim
from earmark.clients.dkim.frames import Request
from earmark.clients.dkim.process import UnverifiedError, Verifier
from earmark.core.evidence import ArcChain, Fact, Question, Signatures, Status
from fakes.signing import MESSAGE, content_of, signed, verdict_on, zone
from fakes.waiting import until

REQUEST = Request((0,), {}, (), 0)
SPEAKS = "import socket; line = socket.socket(fileno=0); line.recv(1); line.sendall({reply!r}); line.recv(1 << 20)"


def children() -> set[int]:
    return {int(pid) for task in Path("/proc/self/task").iterdir() for pid in (task / "children").read_text().split()}


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def state_of(pid: int) -> str:
    """As the kernel has it: "S" sleeping, "T" stopped, "Z" dead and not yet collected, "" gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return ""


def child_of(dkim: Dkim) -> int:
    process = dkim._verifier._process
    assert process is not None
    return process.pid


async def stopped_child(dkim: Dkim) -> int:
    """Have the child stand still, as one that hangs does. It has answered before."""
    assert (await verdict_on(dkim, signed())).status is Status.PASS
    pid = child_of(dkim)
    os.kill(pid, signal.SIGSTOP)
    await until(lambda: state_of(pid) == "T")
    return pid


def asked(dkim: Dkim, content_id: str, message: bytes = b"") -> list[Fact]:
    """Ask, and return the list that the answer will stand in."""
    facts: list[Fact] = []

    def deliver(_: Question, fact: Fact) -> None:
        facts.append(fact)

    dkim.hold(content_id, content_of(message or signed()))
    dkim.ask(Signatures(content_id), deliver)
    return facts


@pytest.fixture
async def make() -> AsyncIterator[Callable[..., Dkim]]:
    """Make clients; afterwards no child and no descriptor of theirs is left."""
    before, open_before = children(), descriptors()
    made: list[Dkim] = []

    def make_one(**settings: float) -> Dkim:
        made.append(Dkim(zone(), **{"deadline": 60, **settings}))  # type: ignore[arg-type] # its own keywords
        return made[-1]

    yield make_one
    for dkim in made:
        dkim.close()
        for content in dkim._held.values():
            content.close()
    await until(lambda: children() == before and descriptors() == open_before)


async def test_one_child_serves_all_messages_and_is_gone_after_close(make: Callable[..., Dkim]) -> None:
    dkim = make()
    for number in range(3):
        assert (await verdict_on(dkim, signed(), str(number))).status is Status.PASS
    assert dkim._verifier.started == 1
    pid = child_of(dkim)
    dkim.close()
    assert state_of(pid) == ""


async def test_two_messages_at_once_each_get_their_own_answer(make: Callable[..., Dkim]) -> None:
    dkim = make()
    good, bad = asked(dkim, "good"), asked(dkim, "bad", signed() + b"changed")
    large = asked(dkim, "large", signed(MESSAGE + b"0123456789" * 300_000))
    await until(lambda: bool(good and bad and large), 60)
    assert [facts[0].status for facts in (good, bad, large)] == [Status.PASS, Status.FAIL, Status.PASS]
    assert dkim._verifier.started == 1


async def test_a_question_asked_twice_is_worked_on_once_and_answered_twice(make: Callable[..., Dkim]) -> None:
    dkim = make()
    facts = asked(dkim, "one")
    dkim.ask(Signatures("one"), lambda _, fact: facts.append(fact))
    await until(lambda: len(facts) == 2, 60)
    assert facts[0] is facts[1]


async def test_a_child_that_is_killed_in_the_middle_is_replaced_and_the_message_verified(
    make: Callable[..., Dkim],
) -> None:
    dkim = make()
    pid = await stopped_child(dkim)
    facts = asked(dkim, "one")
    await until(dkim._verifier._turn.locked)
    os.kill(pid, signal.SIGKILL)
    await until(lambda: bool(facts), 60)
    assert (facts[0].status, dkim._verifier.started) == (Status.PASS, 2)


async def test_a_child_that_died_between_two_messages_is_replaced(make: Callable[..., Dkim]) -> None:
    dkim = make()
    assert (await verdict_on(dkim, signed())).status is Status.PASS
    pid = child_of(dkim)
    os.kill(pid, signal.SIGKILL)
    await until(lambda: state_of(pid) == "Z")
    assert (await verdict_on(dkim, signed())).status is Status.PASS


async def test_a_child_that_hangs_is_ended_at_the_deadline_and_replaced_for_the_next(make: Callable[..., Dkim]) -> None:
    dkim = make(deadline=3)
    pid = await stopped_child(dkim)
    fact = await verdict_on(dkim, signed())
    assert (fact.status, fact.why) == (Status.TEMPERROR, "not verified in 3 s")
    assert state_of(pid) == ""
    assert (await verdict_on(dkim, signed())).status is Status.PASS


async def test_a_child_that_hangs_while_a_large_message_is_sent_is_ended_too(make: Callable[..., Dkim]) -> None:
    dkim = make(deadline=3)
    await stopped_child(dkim)
    fact = await verdict_on(dkim, signed(MESSAGE + b"0123456789" * 300_000))
    assert fact.why == "not verified in 3 s"


async def test_more_messages_than_may_wait_are_told_so(make: Callable[..., Dkim]) -> None:
    dkim = make(waiting=2)
    pid = await stopped_child(dkim)
    waiting = [asked(dkim, str(number)) for number in range(3)]
    await until(lambda: bool(waiting[2]))
    assert waiting[2][0].why == "busy: too many messages wait for DKIM"
    assert not waiting[0]
    assert not waiting[1]
    os.kill(pid, signal.SIGCONT)
    await until(lambda: bool(waiting[0] and waiting[1]))
    assert (await verdict_on(dkim, signed())).status is Status.PASS


async def test_a_message_that_is_dropped_is_answered_and_holds_up_nobody(make: Callable[..., Dkim]) -> None:
    dkim = make()
    await stopped_child(dkim)
    under_way, in_queue = asked(dkim, "under way"), asked(dkim, "in queue")
    dkim.ask(ArcChain("in queue"), lambda _, fact: in_queue.append(fact))
    await until(dkim._verifier._turn.locked)
    dkim.drop("under way")
    dkim.drop("in queue")
    await until(lambda: bool(under_way) and len(in_queue) == 2)
    assert under_way[0].why == "broken off"
    assert sorted(fact.why for fact in in_queue) == ["", "broken off"]  # no chain: that was known at once
    assert (await verdict_on(dkim, signed())).status is Status.PASS


async def test_a_message_that_is_dropped_at_once_leaves_nothing_behind(make: Callable[..., Dkim]) -> None:
    dkim = make()
    facts = asked(dkim, "one")
    dkim.drop("one")  # before the task has taken its first step
    await until(lambda: bool(facts))
    assert facts[0].why == "broken off"
    assert not dkim._open
    assert not dkim._tasks


async def test_a_message_that_is_closed_while_it_is_sent_is_unknown(make: Callable[..., Dkim]) -> None:
    dkim = make()
    await stopped_child(dkim)
    content = content_of(signed(MESSAGE + b"0123456789" * 300_000))
    dkim.hold("one", content)
    facts: list[Fact] = []
    dkim.ask(Signatures("one"), lambda _, fact: facts.append(fact))
    await until(dkim._verifier._turn.locked)
    content.close()
    os.kill(child_of(dkim), signal.SIGCONT)
    await until(lambda: bool(facts))
    assert (facts[0].status, facts[0].why) == (Status.TEMPERROR, "the message could not be read again")
    assert (await verdict_on(dkim, signed())).status is Status.PASS


async def test_who_still_waits_at_the_end_is_told(make: Callable[..., Dkim]) -> None:
    dkim = make()
    await stopped_child(dkim)
    facts = asked(dkim, "one")
    await until(dkim._verifier._turn.locked)
    dkim.close()
    assert [fact.why for fact in facts] == ["closed"]


@pytest.fixture
def restrained() -> Iterator[Callable[..., Verifier]]:
    """Make verifiers of other programs, which are ended afterwards."""
    made: list[Verifier] = []

    def make_one(*program: str, deadline: float = 60) -> Verifier:
        made.append(Verifier(deadline=deadline, waiting=9, program=program))
        return made[-1]

    yield make_one
    for verifier in made:
        verifier.end()


@pytest.mark.parametrize(
    "reply",
    [
        b"",
        b"\x00\x00\x00\x05hello",
        b"\xff\xff\xff\xff",
        b"\x00\x00\x00\x02[]",
        b'\x00\x00\x00\x14[["pass",0,"",[],0,1]]',
        b"HTTP/1.1 200 OK\r\n\r\n",
    ],
)
async def test_a_child_that_talks_nonsense_is_no_evidence(restrained: Callable[..., Verifier], reply: bytes) -> None:
    program = SPEAKS.format(reply=reply) if reply else "pass"
    verifier = restrained(sys.executable, "-c", program)
    with pytest.raises(UnverifiedError, match="the verifier does not start"):
        await verifier.verify(REQUEST, lambda: iter(()))
    assert verifier.started == 1


async def test_a_child_that_never_answers_meets_the_deadline(restrained: Callable[..., Verifier]) -> None:
    verifier = restrained("sleep", "600", deadline=0.1)
    with pytest.raises(UnverifiedError, match=r"not verified in 0\.1 s"):
        await verifier.verify(REQUEST, lambda: iter(()))


async def test_a_program_that_is_not_there_is_no_exception(restrained: Callable[..., Verifier]) -> None:
    verifier = restrained("/nonexistent/verifier")
    with pytest.raises(UnverifiedError, match="the verifier does not start"):
        await verifier.verify(REQUEST, lambda: iter(()))


async def test_a_child_that_fails_at_once_is_not_started_for_every_message(
    restrained: Callable[..., Verifier],
) -> None:
    verifier = restrained("false")
    for _ in range(20):
        with pytest.raises(UnverifiedError):
            await verifier.verify(REQUEST, lambda: iter(()))
    assert verifier.started <= 1 + 20 / 2  # one a second at most; twenty refusals take no time


def limits_of(pid: int) -> str:
    return Path(f"/proc/{pid}/limits").read_text()


def open_files_of(pid: int) -> list[str]:
    return sorted(str(link.readlink()).partition(":")[0] for link in Path(f"/proc/{pid}/fd").iterdir())


async def test_the_child_is_confined(make: Callable[..., Dkim]) -> None:
    dkim = make()
    assert (await verdict_on(dkim, signed())).status is Status.PASS
    pid = child_of(dkim)
    assert f"Max address space         {512 << 20}" in limits_of(pid)
    assert "Max core file size        0" in limits_of(pid)
    assert len(open_files_of(pid)) == 3
    assert open_files_of(pid).count("socket") == 1
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        os.kill(pid, number)
    assert (await verdict_on(dkim, signed())).status is Status.PASS
    assert child_of(dkim) == pid


async def test_even_a_child_that_computes_for_ever_ends_with_its_worker() -> None:
    child = (
        "import os; from earmark.clients.dkim.verifier import _confine; _confine(); print(os.getpid(), flush=True)\n"
    )
    child += "while True: pass\n"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    worker = await asyncio.create_subprocess_exec(sys.executable, "-c", parent, stdout=asyncio.subprocess.PIPE)
    assert worker.stdout is not None
    pid = int(await worker.stdout.readline())
    try:
        assert state_of(pid)
        worker.kill()
        await until(lambda: state_of(pid) in {"", "Z"})
    finally:
        if state_of(pid):
            os.kill(pid, signal.SIGKILL)
        await worker.wait()  # for the end of its output too, which the child holds


def test_the_loop_of_the_service_serves_as_well() -> None:
    async def round_of() -> None:
        dkim = Dkim(zone(), deadline=60)
        pid = await stopped_child(dkim)
        facts = asked(dkim, "one")
        await until(dkim._verifier._turn.locked)
        os.kill(pid, signal.SIGKILL)
        await until(lambda: bool(facts), 60)
        assert facts[0].status is Status.PASS
        assert (await verdict_on(dkim, signed(MESSAGE + b"0123456789" * 300_000), "large")).status is Status.PASS
        dkim.close()

    async def scenario() -> None:
        await round_of()  # what the loop opens once and keeps is open now
        before, open_before = children(), descriptors()
        await round_of()
        await until(lambda: children() == before and descriptors() == open_before)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(scenario())
