"""The checks of `earmark doctor` that ask clamd and spamd, and look at the quarantine and the way out of it."""

import asyncio
import getpass
import os
import socket
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from earmark.clients.clamd_health import ClamdHealth
from earmark.config import Generation, load
from earmark.config.files import copy_shipped
from earmark.config.settings import ScannerSettings
from earmark.service.doctor.clamd import diagnose_clamd, diagnose_signatures, diagnose_silence, diagnose_threads
from earmark.service.doctor.clamd_limits import Limits
from earmark.service.doctor.diagnosis import Diagnosis, State
from earmark.service.doctor.quarantine import diagnose_directory, diagnose_space, diagnose_submission
from earmark.service.doctor.scanners import diagnose_scanners, diagnose_share
from earmark.service.doctor.spamd import diagnose_spamd
from earmark.service.signatures import ask_issued
from earmark.wire import RemoteError
from fakes.replies import greeting, replying

ME = getpass.getuser()
LARGEST = 25_000_000
ANNOUNCED = b"zINSTREAM\0" + LARGEST.to_bytes(4, "big")
ISSUED = datetime.now(UTC) - timedelta(days=1)
STATS = "POOLS: 1\n\nSTATE: VALID PRIMARY\nTHREADS: live 1  idle 0 max {} idle-timeout 30\nQUEUE: 2 items\nEND\n"
FOUND = b"stream: Heuristics.Limits.Exceeded.MaxRecursion FOUND\0"
CLAMD = {
    b"nPING\n": b"PONG\n",
    b"nVERSION\n": f"ClamAV 1.4.6/27445/{ISSUED:%a %b %d %H:%M:%S %Y}\n".encode(),
    b"nSTATS\n": STATS.format(12).encode(),
    ANNOUNCED: b"",
    b"zINSTREAM\0": FOUND,
}
"""One that is as it should be."""
REPORT = b"earmark 1 external=%b tests=%b\n"


def spamd_says(external: bytes = b"203.0.113.77", *, body: bytes = b"", tests: bytes = b"none") -> dict[bytes, bytes]:
    body = body or REPORT % (external, tests)
    head = b"SPAMD/1.1 0 EX_OK\r\nContent-length: %d\r\nSpam: False ; 0.0 / 5.0\r\n\r\n" % len(body)
    return {b"PING ": b"SPAMD/1.5 0 PONG\r\n", b"REPORT ": head + body}


def asked_clamd(replies: Mapping[bytes, bytes], *, at_once: int = 8, largest: int = LARGEST) -> dict[str, Diagnosis]:
    with replying(replies) as place:
        found = list(diagnose_clamd(ScannerSettings((place,), at_once), largest, ME))
    assert all(bool(one.mend) == (one.state is not State.PASS) for one in found)
    return {one.check.removesuffix(f" {place}"): one for one in found}


def asked_spamd(replies: Mapping[bytes, bytes]) -> dict[str, Diagnosis]:
    with replying(replies) as place:
        found = list(diagnose_spamd(ScannerSettings((place,), 4)))
    return {one.check.removesuffix(f" {place}"): one for one in found}


def test_a_clamd_as_it_should_be_passes() -> None:
    found = asked_clamd(CLAMD)
    assert {one.state for one in found.values()} == {State.PASS}, found
    assert {*found} == {
        "clamd", f"access of {ME} to", "signatures of clamd", "threads of clamd", "size limit of clamd",
        "other limits of clamd",
    }  # fmt: skip
    assert found["clamd"].seen == "it answers PING: 1.4.6"


@pytest.mark.parametrize(
    ("says", "check", "state", "seen"),
    [
        ({b"nPING\n": b""}, "clamd", State.FAIL, "not an answer to PING"),
        ({b"nPING\n": b"\xff\n"}, "clamd", State.FAIL, "can't decode"),
        ({b"nVERSION\n": b"postfix\n"}, "clamd", State.FAIL, "not an answer to VERSION"),
        ({b"nPING\n": b"too busy ERROR\n"}, "clamd", State.FAIL, "too busy"),
        ({b"nVERSION\n": b"ClamAV 1.4.6\n"}, "signatures of clamd", State.WARN, "none of ClamAV's own"),
        (
            {b"nVERSION\n": b"ClamAV 1.4.6/27000/Mon Jan  5 10:20:30 2026\n"},
            "signatures of clamd", State.WARN, "of 2026-01-05",
        ),
        ({b"nSTATS\n": b"END\n"}, "threads of clamd", State.UNKNOWN, "STATS does not tell"),
        ({b"nSTATS\n": STATS.format(4).encode()}, "threads of clamd", State.WARN, "4 at most, 2 messages in its queue"),
        (
            {ANNOUNCED: b"INSTREAM size limit exceeded. ERROR\0"},
            "size limit of clamd", State.FAIL, "StreamMaxLength is below the 25000000 bytes",
        ),
        ({b"zINSTREAM\0": b"stream: OK\0"}, "other limits of clamd", State.FAIL, "it says OK of what it has not"),
        ({ANNOUNCED: b"what?\0"}, "limits of clamd", State.UNKNOWN, "not an answer to INSTREAM"),
        ({b"zINSTREAM\0": b"stream: X FOUND\0"}, "limits of clamd", State.UNKNOWN, "found: X"),
    ],
)  # fmt: skip
def test_each_thing_that_is_wrong_with_a_clamd_is_named(
    says: dict[bytes, bytes], check: str, state: State, seen: str
) -> None:
    one = asked_clamd({**CLAMD, **says})[check]
    assert one.state is state, one
    assert seen in one.seen


def test_large_files_that_are_passed_over_are_told_apart_from_deep_archives() -> None:
    limits = Limits(takes=True, tells=True, tells_of_large=True)
    assert diagnose_silence("it", limits).state is State.PASS
    assert "MaxFileSize" in diagnose_silence("it", limits._replace(tells_of_large=False)).mend
    assert "AlertExceedsMax" in diagnose_silence("it", limits._replace(tells=False, tells_of_large=False)).mend


def test_what_no_policy_has_scanned_is_not_tried() -> None:
    assert not [check for check in asked_clamd(CLAMD, largest=0) if "limit" in check]


def test_a_scanner_that_is_not_there_fails(tmp_path: Path) -> None:
    place = f"unix:{tmp_path}/socket"
    for (found,) in (
        diagnose_clamd(ScannerSettings((place,), 8), LARGEST, ME),
        diagnose_spamd(ScannerSettings((place,), 4)),
    ):
        assert found.state is State.FAIL
        assert "No such file" in found.seen
        assert "systemctl start" in found.mend


@pytest.mark.skipif(os.geteuid() != 0, reason="only root is let in where the account is not")
def test_a_socket_that_the_service_may_not_open_fails() -> None:
    with replying(CLAMD) as place:
        Path(place.removeprefix("unix:")).chmod(0o600)
        found = [one for one in diagnose_clamd(ScannerSettings((place,), 8), 0, "nobody") if one.state is State.FAIL]
    (one,) = found
    assert one.check == f"access of nobody to {place}"
    assert "keeps nobody out" in one.seen


@pytest.mark.parametrize(
    ("issued", "state"), [("2027-01-15", State.PASS), ("2027-01-12", State.PASS), ("2027-01-11", State.WARN)]
)
def test_signatures_are_old_after_three_days(issued: str, state: State) -> None:
    assert diagnose_signatures("it", issued, 1_800_000_000.0).state is state


@pytest.mark.parametrize(("at_once", "state"), [(3, State.PASS), (4, State.WARN), (9, State.WARN)])
def test_we_leave_a_thread_to_others(at_once: int, state: State) -> None:
    assert diagnose_threads("it", ClamdHealth("1.4.6", "", 4, 0), at_once).state is state


@pytest.mark.parametrize(("workers", "warned"), [(1, 0), (4, 0), (5, 1)])
def test_more_workers_than_may_scan_at_once_are_warned_of(workers: int, warned: int) -> None:
    assert len(list(diagnose_share("spamd", ScannerSettings(("inet:127.0.0.1:783",), 4), workers))) == warned
    assert not list(diagnose_share("spamd", ScannerSettings((), 4), workers))


def test_a_spamd_with_our_form_that_sees_the_client_passes() -> None:
    found = asked_spamd(spamd_says())
    assert {check: one.state for check, one in found.items()} == {
        "spamd": State.PASS, "report of spamd": State.PASS, "children of spamd": State.UNKNOWN,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("says", "check", "seen", "mend"),
    [
        (spamd_says(b"192.0.2.1"), "report of spamd", "it takes 192.0.2.1 for the client", "internal_networks"),
        (spamd_says(b""), "report of spamd", "it takes nobody for the client", "internal_networks"),
        (
            spamd_says(body=b"Spam detection software, running on the system"),
            "report of spamd", "its site configuration lacks earmark.cf", "copy deploy/spamassassin/earmark.cf",
        ),
        ({**spamd_says(), b"REPORT ": b"SPAMD/1.0 76 Bad header line\r\n"}, "report of spamd", "it refuses: 76", ""),
        ({**spamd_says(), b"REPORT ": b""}, "report of spamd", "closed without an answer", ""),
        ({**spamd_says(), b"PING ": b"HTTP/1.1 400 Bad Request\r\n\r\n"}, "spamd", "not of this protocol", ""),
    ],
)  # fmt: skip
def test_each_thing_that_is_wrong_with_a_spamd_is_named(
    says: dict[bytes, bytes], check: str, seen: str, mend: str
) -> None:
    one = asked_spamd(says)[check]
    assert one.state is State.FAIL
    assert seen in one.seen
    assert mend in one.mend


@pytest.mark.parametrize(("mode", "state"), [(0o700, State.PASS), (0o750, State.PASS), (0o705, State.FAIL)])
def test_a_quarantine_that_others_can_reach_fails(tmp_path: Path, mode: int, state: State) -> None:
    assert diagnose_directory(tmp_path / "none", ME).state is State.PASS
    tmp_path.chmod(mode)
    assert diagnose_directory(tmp_path, ME).state is state
    other = "nobody" if ME != "nobody" else "root"
    assert diagnose_directory(tmp_path, other).mend == f"chown -R {other} {tmp_path}"


@pytest.mark.parametrize(("free", "state"), [(499_999_999, State.WARN), (500_000_000, State.PASS)])
def test_there_must_be_room_for_what_one_domain_may_have_held(tmp_path: Path, free: int, state: State) -> None:
    assert diagnose_space(tmp_path, free, 500).state is state


@pytest.mark.parametrize(
    ("banner", "ehlo", "state", "seen"),
    [
        (b"220 mx.example.org ESMTP\r\n", b"250-mx.example.org\r\n250 8BITMIME\r\n", State.PASS, "220, with 8BITMIME"),
        (b"220 mx.example.org ESMTP\r\n", b"250 mx.example.org\r\n", State.WARN, "does not offer 8BITMIME"),
        (b"220 mx.example.org SMTP\r\n", b"502 what?\r\n", State.WARN, "does not offer 8BITMIME"),
        (b"554 not you\r\n", b"", State.WARN, "554 not you"),
        (b"", b"", State.WARN, ""),
        (b"220 \xff\r\n", b"250 8BITMIME\r\n", State.WARN, ""),
    ],
)
def test_the_way_out_of_the_quarantine_takes_messages_as_they_are(
    banner: bytes, ehlo: bytes, state: State, seen: str
) -> None:
    with greeting(banner, ehlo) as place:
        found = diagnose_submission(place, patience=0.5)
    assert found.state is state
    assert seen in found.seen


def test_a_submission_that_is_not_there_is_a_warning() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    found = diagnose_submission(f"inet:127.0.0.1:{port}")
    assert (found.state, found.seen) == (State.WARN, "Connection refused")


@pytest.fixture
def generation(tmp_path: Path) -> Generation:
    copy_shipped(tmp_path / "configuration")
    return load(tmp_path / "configuration")


def test_a_scanner_that_a_policy_wants_and_nobody_has_is_noted(generation: Generation, tmp_path: Path) -> None:
    found = list(diagnose_scanners(tmp_path, generation))
    assert [(one.check, one.state) for one in found] == [
        ("scanner clamav", State.WARN),
        ("scanner spamassassin", State.WARN),
    ]
    assert found[0].seen == "wanted by the policy of default, and [clamd] names no endpoint: no mail is scanned"


def test_the_watcher_reads_the_day_of_the_signatures() -> None:
    with replying({b"zVERSION\0": b"ClamAV 1.4.6/27445/Wed Nov 18 10:20:30 2026\0"}) as place:
        assert asyncio.run(ask_issued(place)) == "2026-11-18"
    with replying({b"zVERSION\0": b"ClamAV 1.4.6\0"}) as place:
        assert asyncio.run(ask_issued(place)) == ""
    for nonsense in (b"ClamAV 1.4.6/1/Wed Feb 31 10:20:30 2026\0", b"PONG\0", b""):
        with replying({b"zVERSION\0": nonsense}) as place, pytest.raises(RemoteError):
            asyncio.run(ask_issued(place))
