"""What happens to a cluster, and to the mail that goes through it: real corosync, Pacemaker, qnetd, Postfix, earmark.

The only tests with limits of time: how long a fail-over takes is what a cluster is for. They are generous, since the
machine that runs this does other things too.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from cluster_lab.cluster import Cluster
from cluster_lab.episode import Episode
from cluster_lab.mail_service import copies
from cluster_lab.site import PID
from cluster_lab.switch import BACKPLANE, SERVICE
from earmark.cluster.runbooks import Command, commands, render_runbooks

PLANNED = 5.0
"""Seconds without an accepted message, at most, where an administrator moves the service."""
POWER = 15.0
"""Where its host is lost, with a token of 1 s."""
NETWORK = 15.0
"""Where its host loses the network of the clients."""
CRASH = 5.0
"""Where the filter dies: until Pacemaker looks, and it and Postfix have started."""
NONE = 1.0
"""Where nothing moves: what a busy machine makes of two messages in a row."""
REFUSED = 5
"""Refusals of the management board after which nothing can be under way that began before the first."""
PACEMAKER_AFTER = 3.0
"""Seconds that a host which boots has its votes before Pacemaker: the runbook is followed as fast as can be."""
IN_VAIN = 60
"""Tries that must find nobody: some ten seconds of them."""


def test_a_planned_move_by_the_runbook_gets_no_negative_answer(episode: Episode) -> None:
    assert episode.was == episode.cluster.inventory.prefer, "the runbook moves the service away from there"
    _follow_runbook(episode, "Drain")
    _follow_runbook(episode, "Move")
    episode.taken_over()
    _follow_runbook(episode, "Back")
    episode.active.run("earmark-drain", "end")

    assert not [each for each in episode.tries if each.code >= 400]
    assert not [each for each in episode.tries if each.unanswered]
    assert not episode.fenced
    assert episode.outage < PLANNED


def _follow_runbook(episode: Episode, heading: str) -> None:
    for command in _typed(episode, "planned-move", heading):
        _type(episode, command)


def _typed(episode: Episode, runbook: str, heading: str) -> Iterator[Command]:
    return commands(render_runbooks(episode.cluster.inventory)[f"cluster/runbooks/{runbook}.md"].text, heading)


def _type(episode: Episode, command: Command) -> str:
    return episode.cluster.hosts[command.machine].run("sh", "-c", command.line, within=150)


def test_the_fence_test_by_the_runbook_cuts_by_each_device_and_moves_nothing(episode: Episode) -> None:
    cluster, outlets = episode.cluster, []
    for command in _typed(episode, "fence-test", episode.other):
        if command.line.startswith("crm_mon"):  # "When it is back"
            cluster.wait_alone(episode.was)
            cluster.wait_at_rest()
        if command.line.startswith("drbdadm"):
            continue  # what replicates is the machines' laboratory's
        began = time.time()
        said = _type(episode, command)
        if "--reboot" in command.line:
            outlets.append(cluster.fenced(began)[0].outlet)
        assert "--history" not in command.line or "successful" in said
    episode.goes_on()
    cluster.wait_alone(episode.was)

    assert outlets == ["1", "2"], "each level has cut it"
    assert set(episode.fenced) == {episode.other}
    assert episode.outage < NONE


def test_an_upgrade_by_the_runbook_reboots_a_host_and_moves_nothing(episode: Episode) -> None:
    host = episode.passive
    for command in _typed(episode, "upgrade", host.name):
        match command.line.split()[:2]:
            case ["apt-get" | "drbdadm", _]:
                continue  # this machine's packages are not the laboratory's, and what replicates is the machines'
            case ["systemctl", "reboot"]:
                host.reboot(PACEMAKER_AFTER)
            case ["cat", "/proc/drbd"]:
                episode.cluster.wait_until(lambda: host.votes == 3 and host.quorate, "it is back: 3 votes")
            case _:
                _type(episode, command)
    episode.goes_on()

    assert not episode.fenced
    assert episode.outage < NONE


def test_a_service_that_crashes_is_started_again_where_it_is(episode: Episode) -> None:
    crashed = episode.active.run("cat", PID)
    episode.active.run("kill", "-KILL", crashed)
    episode.cluster.wait_until(lambda: episode.active.run("cat", PID) != crashed, "it has been started again")
    episode.comes_back()

    assert not episode.fenced
    assert {each.host for each in episode.tries if each.accepted} == {episode.was}
    assert episode.outage < CRASH


def test_standby_moves_the_service_and_fences_nobody(episode: Episode) -> None:
    episode.active.run("crm_standby", "--node", episode.was, "--update", "on")
    episode.taken_over()
    episode.active.run("crm_standby", "--node", episode.was, "--delete")

    assert not episode.fenced
    assert episode.outage < PLANNED


def test_a_host_without_power_is_fenced_and_taken_over(episode: Episode) -> None:
    episode.cluster.power.cut(episode.was)
    episode.taken_over()

    assert episode.fenced == [episode.was]
    assert episode.outage < POWER


def test_a_host_cut_off_from_both_networks_is_fenced_and_taken_over(episode: Episode) -> None:
    episode.cluster.switch.cut(episode.was, BACKPLANE, SERVICE)
    episode.taken_over()

    assert episode.fenced == [episode.was]
    assert episode.outage < POWER


def test_a_host_whose_corosync_is_frozen_is_fenced_and_taken_over(episode: Episode) -> None:
    episode.active.send_corosync("STOP")
    episode.taken_over()

    assert episode.fenced == [episode.was]
    assert episode.outage < POWER


def test_the_service_leaves_a_host_without_clients_and_nobody_is_fenced(episode: Episode) -> None:
    episode.cluster.switch.cut(episode.was, SERVICE)
    episode.taken_over()
    episode.cluster.switch.mend(episode.was, SERVICE)

    assert not episode.fenced
    assert episode.outage < NETWORK


def test_a_cut_backplane_moves_nothing(episode: Episode) -> None:
    episode.cluster.switch.cut(episode.was, BACKPLANE)
    episode.goes_on()
    episode.cluster.switch.mend(episode.was, BACKPLANE)

    assert not episode.fenced
    assert episode.outage < NONE


def test_a_lost_arbitrator_moves_nothing(episode: Episode) -> None:
    with _arbitrator_gone(episode):
        episode.goes_on()

    assert not episode.fenced
    assert episode.outage < NONE


def test_nothing_starts_on_the_survivor_until_fencing_works(episode: Episode) -> None:
    cluster = episode.cluster
    cluster.power.refuses = True
    cluster.power.cut(episode.was)
    began = time.time()
    cluster.wait_until(lambda: len(cluster.fenced(began)) >= REFUSED, "fencing fails again and again")

    assert not [each for each in episode.tries if each.accepted and each.at > began]
    assert cluster.disk.opened()[-1].split()[1:] == [episode.was, "opened"]
    assert not episode.fenced

    cluster.power.refuses = False
    episode.taken_over()
    assert episode.fenced == [episode.was]


def test_a_host_left_alone_without_the_arbitrator_runs_nothing_and_fences_nobody(episode: Episode) -> None:
    cluster = episode.cluster
    with _arbitrator_gone(episode):
        cluster.power.cut(episode.was)
        began = time.time()
        cluster.wait_until(lambda: not episode.passive.quorate, f"{episode.other} has no quorum")

        assert not [each for each in cluster.wait_tries(began, IN_VAIN) if each.accepted]
        assert not cluster.fenced(episode.began)

    episode.taken_over()
    assert episode.fenced == [episode.was]


@contextmanager
def _arbitrator_gone(episode: Episode) -> Iterator[None]:
    cluster, name = episode.cluster, episode.cluster.arbitrator.name
    cluster.switch.cut(name, SERVICE)
    try:
        cluster.wait_until(lambda: episode.passive.votes == 2, "the hosts miss the arbitrator")
        yield
    finally:
        cluster.switch.mend(name, SERVICE)
    cluster.wait_until(lambda: episode.passive.votes >= 2 and episode.passive.quorate, "the arbitrator is back")


def test_after_all_that_every_accepted_message_is_there(cluster: Cluster) -> None:
    cluster.wait_at_rest()
    cluster.finish_sending()
    cluster.wait_until(lambda: not cluster.disk.queued(), "Postfix has delivered what it had")
    tries, delivered = cluster.tries(), cluster.disk.delivered()
    accepted = {each.number for each in tries if each.accepted}
    unanswered = copies([])
    unanswered.update(each.number for each in tries if each.unanswered)

    lost = accepted - {copy.number for copy in delivered}
    taken = copies(delivered)
    again = {number: times for number, times in taken.items() if times > 1 + unanswered[number]}
    assert accepted
    assert not lost
    assert not again, "more than once, though it was answered"
    assert not cluster.disk.unjudged()
    twice = taken.total() - len(taken)
    redelivered = len(delivered) - taken.total()
    print(  # noqa: T201 - duplicates are counted
        f"{len(accepted)} messages in {len(tries)} tries; {twice} sent twice, since the answer was lost;"
        f" {redelivered} delivered twice by Postfix, which lost its power in between"
    )
