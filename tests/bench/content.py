"""The rows on content: what earmark adds to the scanners' time, the memory of large messages, and the peers."""

import json
import math
import statistics
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import NamedTuple

from bench import filters, scanners, servers
from bench.alone import Alone, clamd_alone, spamd_alone
from bench.load import Load, run_load
from bench.machine import SERVER_CORE, cpu_seconds, largest, on_core, peak, reset_peak, settle
from bench.mails import MARK, message
from bench.rounds import Contender, alternate
from bench.rows import Conditions, Measure, Row, median_row
from bench.servers import Server, private_directory

_ALLOWED_MS = 3.0
_ALLOWED_SHARE = 0.05
_WARM_UP = 200
_ROUNDS_OF_MEMORY = 3


class _Mail(NamedTuple):
    name: str
    size: int
    messages: int
    """How many make a round."""

    def write(self, server: Server) -> Path:
        """Return a file with the message, beside the server's log."""
        path = server.log.with_name(f"{self.size}.eml")
        path.write_bytes(message(self.size))
        return path


_FOR_CLAMD = (_Mail("64 KB", 64_000, 15), _Mail("5 MB", 5_000_000, 3))
_FOR_SPAMD = (_Mail("64 KB", 64_000, 4), _Mail("500 KB", 500_000, 2))
_LARGE = (_Mail("5 MB", 5_000_000, 1), _Mail("20 MB", 20_000_000, 1), _Mail("8 x 5 MB", 5_000_000, 8))
_ORDINARY = _Mail("16 KB", 16_000, 24)


def clamd_delay(conditions: Conditions, _wanted: Sequence[str]) -> Iterator[Row]:
    """Compare messages that go to clamd through earmark with those that go there directly."""
    with (
        scanners.clamd() as clamd,
        servers.earmark(conditions.dns, checks=None, scanners={"clamd": clamd}) as server,
    ):
        for mail in _FOR_CLAMD:
            yield _delay("content-clamd", server, clamd_alone(clamd), mail, conditions.rounds)


def spamd_delay(conditions: Conditions, _wanted: Sequence[str]) -> Iterator[Row]:
    """Do the same with both scanners side by side, of which spamd is the slower."""
    with (
        private_directory() as top,
        scanners.clamd() as clamd,
        scanners.spamd(top / "spamd") as spamd,
        servers.earmark(conditions.dns, checks=None, scanners={"clamd": clamd, "spamd": spamd.path}) as server,
    ):
        for mail in _FOR_SPAMD:
            yield _delay("content-spamd", server, spamd_alone(spamd), mail, conditions.rounds)


def _delay(name: str, server: Server, alone: Alone, mail: _Mail, rounds: int) -> Row:
    path, numbers = mail.write(server), count()
    direct: list[float] = []
    through: list[Load] = []
    unscanned, cpu = _unscanned(server.log), cpu_seconds(server.pid)
    for _ in range(rounds + 1):  # the first one warms up
        direct.append(_median_alone(alone, path.read_bytes(), mail.messages, numbers))
        through.append(run_load(server.socket, 0, mail.messages, connections=1, message=path, core=SERVER_CORE))
    settle(server.pid)
    cpu = cpu_seconds(server.pid) - cpu
    unscanned = _unscanned(server.log) - unscanned
    alone_ms = statistics.median(direct[1:])
    added = [load.milliseconds["message"]["p50"] - other for load, other in zip(through[1:], direct[1:], strict=True)]
    figures = {
        "alone_ms": alone_ms, "through_ms": _median(through[1:], "message"),
        "end_of_message_ms": _median(through[1:], "eom"), "cpu_ms": cpu * 1e3 / (mail.messages * len(direct)),
        "dropped": float(unscanned + sum(load.lost + load.deferred + load.refused for load in through)),
    }  # fmt: skip
    what = "from connecting to the answer: what earmark adds to the slower scanner alone"
    goal = max(_ALLOWED_MS, _ALLOWED_SHARE * alone_ms)
    return median_row(f"{name} {mail.name}", added, goal, what, figures, unit="ms", at_most=True)


def _median(loads: Sequence[Load], timed: str) -> float:
    return statistics.median(load.milliseconds[timed]["p50"] for load in loads)


def _median_alone(alone: Alone, text: bytes, messages: int, numbers: Iterator[int]) -> float:
    """Return the milliseconds of a message that goes straight to the scanner."""
    with on_core(SERVER_CORE):
        return 1e3 * statistics.median(alone(text.replace(MARK, b"%010d" % next(numbers))) for _ in range(messages))


def _unscanned(log: Path) -> int:
    """Return how many messages have gone without a scanner's answer."""
    verdicts = (json.loads(line) for line in log.read_bytes().splitlines() if b'"event":"verdict"' in line)
    return sum(any(unknown.startswith(("virus ", "spam ")) for unknown in verdict["unknown"]) for verdict in verdicts)


def memory(conditions: Conditions, _wanted: Sequence[str]) -> Iterator[Row]:
    """Take how far the worker's memory rises for large messages, against their size."""
    with (
        scanners.clamd() as clamd,
        servers.earmark(conditions.dns, checks=None, scanners={"clamd": clamd}) as server,
    ):
        run_load(server.socket, 0, _WARM_UP, core=SERVER_CORE)
        for mail in _LARGE:
            yield _memory(server, mail, conditions.rounds)


def _memory(server: Server, mail: _Mail, rounds: int) -> Row:
    path, worker = mail.write(server), largest(server.pid)
    before: list[int] = []
    rises: list[float] = []
    dropped = -_unscanned(server.log)
    for _ in range(min(rounds, _ROUNDS_OF_MEMORY)):
        settle(server.pid)
        before.append(reset_peak(worker))
        load = run_load(server.socket, 0, mail.messages, connections=mail.messages, message=path, core=SERVER_CORE)
        rises.append((peak(worker) - before[-1]) / (mail.size * mail.messages))
        dropped += load.lost + load.deferred + load.refused
    settle(server.pid)
    figures = {"first_before_mb": before[0] / 1e6, "last_before_mb": before[-1] / 1e6,
               "dropped": float(dropped + _unscanned(server.log))}  # fmt: skip
    what = "the highest rise of the worker's resident memory / the bytes of the messages that are under way"
    row = median_row(f"content-memory {mail.name}", rises, 3.0, what, figures, at_most=True)
    return row._replace(ratio=max(rises))


def beside_spamass_milter(conditions: Conditions, _wanted: Sequence[str]) -> Iterator[Row]:
    """Compare messages a second with spamass-milter's, on the same spamd."""
    with (
        private_directory() as top,
        scanners.spamd(top / "spamd") as spamd,
        servers.earmark(conditions.dns, checks=None, scanners={"spamd": spamd.path}) as ours,
        filters.spamass_milter(spamd) as theirs,
    ):
        yield _throughput("content-spamass-milter", ours, theirs, conditions)


def beside_amavis(conditions: Conditions, _wanted: Sequence[str]) -> Iterator[Row]:
    """Compare messages a second with amavisd's, on the same clamd, and the same SpamAssassin within amavisd."""
    with (
        private_directory() as top,
        scanners.clamd() as clamd,
        scanners.spamd(top / "spamd") as spamd,
        servers.earmark(conditions.dns, checks=None, scanners={"clamd": clamd, "spamd": spamd.path}) as ours,
        filters.amavis(clamd) as theirs,
    ):
        yield _throughput("content-amavis", ours, theirs, conditions)


def _throughput(name: str, ours: Server, theirs: Server, conditions: Conditions) -> Row:
    path = _ORDINARY.write(ours)
    earmark, peer = (
        Contender(
            server, conditions.addresses, connections=scanners.CHILDREN, messages=_ORDINARY.messages, message=path,
            core=SERVER_CORE,
        )
        for server in (ours, theirs)
    )  # fmt: skip
    alternate((earmark, peer), conditions.rounds)
    ratios = [one.load.rate / other.load.rate for one, other in zip(earmark.samples, peer.samples, strict=True)]
    unmarked = sum(sample.load.edits < sample.load.messages for sample in peer.samples)
    figures = {
        "messages_a_second": earmark.rate, "peer_messages_a_second": peer.rate, "cpu_us": earmark.cpu,
        "peer_cpu_us": peer.cpu, "dropped": float(earmark.dropped + peer.dropped + unmarked + _unscanned(ours.log)),
    }  # fmt: skip
    what = f"messages a second, {scanners.CHILDREN} at once: earmark's / {theirs.name}'s"
    return median_row(name, ratios, -math.inf, what, figures)


ROWS: dict[str, Measure] = {
    "content-clamd": clamd_delay,
    "content-spamd": spamd_delay,
    "content-memory": memory,
    "content-spamass-milter": beside_spamass_milter,
    "content-amavis": beside_amavis,
}
"""By name, in the order in which they are measured."""
