"""The client of clamd against real ones: viruses in every wrapping, limits, accidents; another client is the oracle."""

import asyncio
import binascii
import io
import socket
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager
from itertools import count
from pathlib import Path

import clamd as package
import pytest

from e2e_lab.clamd import EICAR, MARKER, SAMPLES, ClamdServer, attached, missing, zipped
from e2e_lab.faults import Fault, FaultProxy
from earmark.clients.clamd import Clamd
from earmark.content import Content
from earmark.core.evidence import Fact, Question, Scanner, Status, VirusScan
from earmark.core.mail import Header
from earmark.wire.clamd import ON_TOP
from earmark.wire.message import split_header
from fakes.waiting import until

SHIPPED = Path(__file__).parents[2] / "deploy" / "clamav" / "clamd.conf.earmark"
BACK_WITHIN = 5.0
"""Seconds from a scanner's return to its use; promised in docs/clamav.md."""
LIMIT = (Status.TEMPERROR, ("limit",))
PLAIN = b"From: a@example.org\r\n\r\n"
MEGABYTE = 1 << 20

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing() or "-")


@pytest.fixture(scope="module")
def clamd() -> Iterator[ClamdServer]:
    """A clamd as it is after what deploy/clamav says."""
    lines = [line.split() for line in SHIPPED.read_text().splitlines() if line and not line.startswith(("#", "Local"))]
    server = ClamdServer(**dict(lines))
    yield server
    server.stop()


@pytest.fixture(scope="module")
def narrow() -> Iterator[ClamdServer]:
    """A clamd with small limits and few threads."""
    limits = {"StreamMaxLength": "2M", "MaxFileSize": "1M", "MaxScanSize": "1M", "AlertEncryptedArchive": "yes"}
    server = ClamdServer(**limits, MaxThreads="2", MaxQueue="4", ReadTimeout="1", CommandReadTimeout="1")
    yield server
    server.stop()


class Scans:
    """Has messages scanned by a client of ours."""

    def __init__(self, clamd: Clamd) -> None:
        self.clamd = clamd
        self._ids = map(str, count())

    def begin(self, content: Content) -> tuple[str, "asyncio.Future[Fact]"]:
        """Return the message's id and the answer to come."""
        id_, answer = next(self._ids), asyncio.get_running_loop().create_future()
        self.clamd.hold(id_, content)
        self.clamd.ask(VirusScan(id_, "100000000"), lambda _, fact: answer.set_result(fact))
        return id_, answer

    async def scan(self, message: bytes) -> Fact:
        fields, at = split_header(message)
        content = Content([Header(*field) for field in fields])
        id_, answer = self.begin(content)
        for begin in range(at, len(message), 65535):
            content.add(message[begin : begin + 65535])
        content.finish()
        try:
            return await answer
        finally:
            self.clamd.drop(id_)
            content.close()

    async def scan_all(self, messages: Sequence[bytes]) -> list[Fact]:
        return await asyncio.gather(*map(self.scan, messages))

    @property
    def answers(self) -> bool:
        """Whether the scanner does, as far as the client knows."""
        told: list[tuple[Question, Fact]] = []
        self.clamd.ask(Scanner("clamav"), lambda *answer: told.append(answer))
        return told[0][1].status is Status.PASS


@asynccontextmanager
async def scans_of(*endpoints: str, at_once: int = 3, deadline: float = 20.0) -> AsyncIterator[Scans]:
    clamd = Clamd(endpoints, at_once=at_once, deadline=deadline)
    yield Scans(clamd)
    clamd.close()


def encrypted(archive: bytes) -> bytes:
    """Return an archive whose only file is said to be encrypted (general purpose bit 0, in both its places)."""
    changed = bytearray(archive)
    changed[6] |= 1
    changed[archive.index(b"PK\1\2") + 8] |= 1
    return bytes(changed)


async def test_every_sample_is_found_in_an_attachment_plain_and_zipped(clamd: ClamdServer) -> None:
    samples = {file.name: file.read_bytes() for file in sorted(SAMPLES.iterdir())}
    assert len(samples) >= 44
    async with scans_of(clamd.unix) as scans:
        plain = await scans.scan_all([attached(name, data) for name, data in samples.items()])
        packed = await scans.scan_all([attached("a.zip", zipped(name, data)) for name, data in samples.items()])
    for facts in (plain, packed):
        assert {name: fact.data for name, fact in zip(samples, facts, strict=True)} == dict.fromkeys(
            samples, ("Lab.ClamExe.UNOFFICIAL",)
        )


async def test_eicar_is_found_however_it_is_wrapped(clamd: ClamdServer) -> None:
    quoted = b"".join(b"=%02X" % byte for byte in EICAR)
    lines = [binascii.b2a_uu(EICAR[:45]), binascii.b2a_uu(EICAR[45:])]
    uu = b"begin 644 a.com\n" + b"".join(lines) + b"`\nend\n"
    wrapped = {
        "plain": PLAIN + EICAR + b"\r\n",
        "no line end": PLAIN + EICAR,
        "no header": EICAR,
        "base64": attached("a.com", EICAR),
        "quoted-printable": b"Content-Transfer-Encoding: quoted-printable\r\n" + PLAIN + quoted + b"\r\n",
        "base64 below a field that clamd does not know": b"X-A: " + b"b" * 3000 + b"\r\n" + attached("a.com", EICAR),
        "uuencode": PLAIN + uu.replace(b"\n", b"\r\n"),
        "zip": attached("a.zip", zipped("a.com", EICAR)),
        "zip in zip": attached("a.zip", zipped("b.zip", zipped("a.com", EICAR))),
    }
    async with scans_of(clamd.tcp) as scans:
        facts = await scans.scan_all(list(wrapped.values()))
        clean = await scans.scan_all([PLAIN, PLAIN + b"x", PLAIN + b"text\r\n", b""])
    found = {name: (*fact[:2], fact.source) for name, fact in zip(wrapped, facts, strict=True)}
    assert found == dict.fromkeys(wrapped, (Status.FAIL, ("Lab.Eicar.UNOFFICIAL",), clamd.tcp))
    assert {fact[:2] for fact in clean} == {(Status.NONE, ())}


async def test_what_is_behind_a_limit_is_neither_clean_nor_a_virus(narrow: ClamdServer, clamd: ClamdServer) -> None:
    nested = MARKER
    for _ in range(200):
        nested = zipped("a", nested)
    behind = [
        PLAIN + bytes(MEGABYTE) + MARKER,
        PLAIN + bytes(2 * MEGABYTE) + MARKER,  # more than it reads at all
        attached("a.zip", zipped("a", bytes(2 * MEGABYTE) + MARKER)),
        attached("a.zip", nested),
        b"Content-Type: message/rfc822\r\n\r\n" * 1000 + attached("a.com", EICAR),
    ]
    async with scans_of(narrow.unix) as scans:
        facts = await scans.scan_all(behind)
        assert {fact[:2] for fact in facts} == {LIMIT}
        assert facts[1].why == "INSTREAM size limit exceeded"
        assert scans.answers
    async with scans_of(clamd.unix) as scans:
        bomb = await scans.scan(attached("a.zip", zipped("a", bytes(120 * MEGABYTE))))
        assert (bomb[:2], bomb.why) == (LIMIT, "Heuristics.Limits.Exceeded.MaxScanSize")


async def test_an_encrypted_archive_has_a_heuristic_name(narrow: ClamdServer) -> None:
    async with scans_of(narrow.unix) as scans:
        fact = await scans.scan(attached("a.zip", encrypted(zipped("a", EICAR))))
        assert fact[:2] == (Status.FAIL, ("Heuristics.Encrypted.Zip",))


@pytest.mark.parametrize("over", ["tcp", "unix"])
async def test_clamds_last_word_is_read_while_a_message_that_is_too_long_is_sent(
    narrow: ClamdServer, over: str
) -> None:
    edge = 2 * MEGABYTE - len(ON_TOP)
    async with scans_of(getattr(narrow, over)) as scans:
        facts = await scans.scan_all([PLAIN + bytes(24 * MEGABYTE)] * 6)
        assert {(*fact[:2], fact.why) for fact in facts} == {(*LIMIT, "INSTREAM size limit exceeded")}
        exact, above = await scans.scan_all([PLAIN + bytes(edge - len(PLAIN)), PLAIN + bytes(edge - len(PLAIN) + 1)])
        assert (exact.why, above.why) == (
            "Heuristics.Limits.Exceeded.MaxFileSize",
            "INSTREAM size limit exceeded",
        )


async def test_our_verdicts_are_those_of_another_client(clamd: ClamdServer, narrow: ClamdServer) -> None:
    messages = [
        PLAIN,
        PLAIN + b"text\r\n",
        PLAIN + MARKER,
        PLAIN + bytes(range(256)) * 1000,
        PLAIN + bytes(MEGABYTE + 1),
        attached("a.com", EICAR),
        attached("a.zip", encrypted(zipped("a", EICAR))),
        *(attached(file.name, file.read_bytes()) for file in sorted(SAMPLES.glob("clam.[a-e]*"))),
    ]
    for server in (clamd, narrow):
        oracle = package.ClamdUnixSocket(server.unix.removeprefix("unix:"), timeout=10)
        async with scans_of(server.unix) as scans:
            facts = await scans.scan_all(messages)
        for message, fact in zip(messages, facts, strict=True):
            status, name = (await asyncio.to_thread(oracle.instream, io.BytesIO(ON_TOP + message)))["stream"]
            if status == "OK":
                assert fact[:2] == (Status.NONE, ())
            elif name.startswith("Heuristics.Limits."):
                assert (fact[:2], fact.why) == (LIMIT, name)
            else:
                assert fact[:2] == (Status.FAIL, (name,))
    assert {fact.status for fact in facts} == {Status.NONE, Status.FAIL, Status.TEMPERROR}


async def test_scans_go_on_while_signatures_are_read_and_new_ones_count(clamd: ClamdServer) -> None:
    new = PLAIN + b"EARMARK-LAB-NEW-MARKER"
    async with scans_of(clamd.unix) as scans:
        assert (await scans.scan(new)).status is Status.NONE
        clamd.sign(New=b"EARMARK-LAB-NEW-MARKER")
        under_way = asyncio.ensure_future(scans.scan_all([PLAIN + MARKER] * 60))
        await asyncio.to_thread(clamd.reload)
        assert {fact[:2] for fact in await under_way} == {(Status.FAIL, ("Lab.Marker.UNOFFICIAL",))}

        async def found() -> bool:
            return (await scans.scan(new)).data == ("Lab.New.UNOFFICIAL",)

        await until(found)
        clamd.break_signatures()
        await asyncio.to_thread(clamd.reload)
        await until(lambda: "keeping the previous instance" in clamd.logged())
        assert await found()
        clamd.sign()
        assert scans.clamd.counts()["unscanned"] == 0


@pytest.mark.parametrize("over", ["tcp", "unix"])
async def test_a_clamd_that_died_is_used_again_within_5_seconds_of_its_return(clamd: ClamdServer, over: str) -> None:
    endpoint = getattr(clamd, over)
    async with scans_of(endpoint) as scans:
        assert (await scans.scan(PLAIN)).status is Status.NONE
        clamd.kill()  # which leaves the socket's file behind
        facts = await scans.scan_all([PLAIN + MARKER] * 5)
        assert {(fact.status, fact.data[0], fact.why) for fact in facts} == {
            (Status.TEMPERROR, "failing", f"{endpoint}: Connection refused")
        }
        await until(lambda: not scans.answers)
        clamd.start()
        await until(lambda: scans.answers, seconds=BACK_WITHIN)
        assert (await scans.scan(PLAIN + MARKER)).status is Status.FAIL


async def test_a_clamd_that_hangs_costs_the_deadline_once_and_is_used_again_when_it_goes_on(clamd: ClamdServer) -> None:
    async with scans_of(clamd.unix, deadline=0.5) as scans:
        clamd.pause()
        try:
            fact = await scans.scan(PLAIN + bytes(5 * MEGABYTE))
            assert (fact.status, fact.why) == (Status.TEMPERROR, f"{clamd.unix}: no answer in time")
            await until(lambda: not scans.answers)
            await scans.scan_all([PLAIN] * 100)  # nobody waits any more
        finally:
            clamd.resume()
        await until(lambda: scans.answers, seconds=BACK_WITHIN)
        assert (await scans.scan(PLAIN + MARKER)).status is Status.FAIL


async def test_of_two_clamds_the_other_one_scans_while_the_first_is_dead_or_hangs(
    clamd: ClamdServer, narrow: ClamdServer
) -> None:
    async with scans_of(narrow.tcp, clamd.tcp, deadline=2) as scans:
        assert (await scans.scan(PLAIN + MARKER)).source == narrow.tcp
        narrow.pause()
        try:
            facts = await scans.scan_all([PLAIN + MARKER] * 3)
            assert {(fact.status, fact.source) for fact in facts} == {(Status.FAIL, clamd.tcp)}
        finally:
            narrow.resume()
    async with scans_of(narrow.unix, clamd.unix) as scans:
        narrow.kill()
        try:
            facts = await scans.scan_all([PLAIN + MARKER] * 3)
            assert {(fact.status, fact.source) for fact in facts} == {(Status.FAIL, clamd.unix)}
            assert scans.answers
        finally:
            narrow.start()


@pytest.mark.parametrize(
    "fault",
    [
        Fault("refuse"),
        Fault("hang"),
        Fault("slow", 1000),
        Fault("reset", 100_000),
        Fault("cut", 0),
        Fault("cut", 9),
        Fault("say", text=b"COMMAND READ TIMED OUT\n"),
        Fault("say", text=b"stream: OK\0stream: OK\0"),
        Fault("half", text=b"stream: O"),
    ],
    ids=str,
)
async def test_what_the_network_does_to_a_scan_is_never_clean_and_another_clamd_mends_it(
    clamd: ClamdServer, fault: Fault
) -> None:
    message = PLAIN + bytes(MEGABYTE) + MARKER
    proxy = FaultProxy(clamd.port)
    try:
        between = f"inet:127.0.0.1:{proxy.port}"
        async with scans_of(between) as scans:
            assert (await scans.scan(message)).source == between
        proxy.fault = fault
        async with scans_of(between, deadline=0.5) as scans:
            fact = await scans.scan(message)
            assert (fact.status, fact.data[0]) == (Status.TEMPERROR, "failing")
        async with scans_of(between, clamd.unix, deadline=1) as scans:
            fact = await scans.scan(message)
            assert (*fact[:2], fact.source) == (Status.FAIL, ("Lab.Marker.UNOFFICIAL",), clamd.unix)
    finally:
        proxy.stop()


async def test_scans_beyond_what_may_be_at_once_wait_for_us_and_not_in_clamds_queue(narrow: ClamdServer) -> None:
    idle = narrow.open_sockets()
    most = 0
    async with scans_of(narrow.unix, at_once=2) as scans:
        under_way = asyncio.ensure_future(scans.scan_all([attached("a.zip", zipped("a", bytes(900_000)))] * 40))
        while not under_way.done():
            most = max(most, narrow.open_sockets() - idle)
            await asyncio.sleep(0.001)
        assert {fact.status for fact in await under_way} == {Status.NONE}
    assert 0 < most <= 3  # one of which may be closing


async def test_clamds_queue_full_of_others_is_no_verdict(narrow: ClamdServer) -> None:
    with ExitStack() as stack:
        for _ in range(8):
            stalled = stack.enter_context(socket.create_connection(("127.0.0.1", narrow.port)))
            stalled.sendall(b"zINSTREAM\0\0\0\0\5a")
        async with scans_of(narrow.unix, deadline=0.5) as scans:
            facts = await scans.scan_all([PLAIN + MARKER] * 3)
            assert {fact.status for fact in facts} <= {Status.FAIL, Status.TEMPERROR}

            async def served() -> bool:
                return (await scans.scan(PLAIN + MARKER)).status is Status.FAIL

            await until(served, seconds=20)


async def test_a_message_that_is_dropped_leaves_no_connection_at_clamd(clamd: ClamdServer) -> None:
    idle = clamd.open_sockets()
    async with scans_of(clamd.unix) as scans:
        content = Content([Header(b"From", b" a@example.org")])
        content.add(b"the first of much\r\n")
        id_, answer = scans.begin(content)
        await until(lambda: clamd.open_sockets() > idle)
        scans.clamd.drop(id_)
        assert (await answer).status is Status.TEMPERROR
        await until(lambda: clamd.open_sockets() == idle)
        content.close()
