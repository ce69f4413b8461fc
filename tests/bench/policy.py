"""The rows on the policy door: requests a second, and their delay, beside those of policyd-weight."""

import json
import math
import shutil
import statistics
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import NamedTuple

from bench import servers
from bench.lists import NAME_ZONE, ZONES, lists
from bench.load import Addresses
from bench.machine import LOAD_CORE, SERVER_CORE, cpu_seconds, pinned, settle
from bench.programs import program
from bench.rows import Conditions, Measure, Row, median_row
from bench.servers import private_directory
from e2e_lab.processes import PATH, Process, accepts, free_port, wait_until

_CONNECTIONS = 16
_PATIENCE = 30
_SECONDS = 2.5
_WARM_UP = 1000
_WARM_CLIENTS = 3000
_START_WITHIN = 60.0
_NAMESERVER = "127.77.0.1"
"""policyd-weight asks port 53 and no other."""

# The same lists as earmark, its other checks as they are shipped or off, no field in the message. A process for each
# connection waits for it.
_POLICYD_WEIGHT = """\
$dnsbl_checks_only = {lists_only};
@dnsbl_score = ({scores});
@rhsbl_score = ('{names}', 4, 0, 'NAMES');
$MAXDNSBLHITS = 9; $MAXDNSBLSCORE = 99;
$ADD_X_HEADER = 0;
{memory}
$NS = '{nameserver}'; $PUDP = 1;
$MAX_PROC = {processes} + 4; $MIN_PROC = {processes}; $CHILDIDLE = 86400;
$TCP_PORT = {port}; $BIND_ADDRESS = '127.0.0.1';
$LOCKPATH = '{top}/lock/'; $SPATH = $LOCKPATH.'/socket'; $PIDFILE = '{top}/pid';
$USER = 'nobody'; $GROUP = 'nogroup'; $syslog_socktype = 'native';
"""


class _Door(NamedTuple):
    port: int
    pid: int


class _Sample(NamedTuple):
    rate: float
    """Requests a second."""
    cpu: float
    """CPU microseconds of the server's process tree for each."""
    p99: float
    """Milliseconds."""
    lost: int


class _Contender:
    def __init__(self, door: _Door, addresses: Addresses | None) -> None:
        """Warm it up. With `addresses` each request has a new client; without, the same ones come again."""
        self._door = door
        self._addresses = addresses
        self._requests = _WARM_UP if addresses else _WARM_CLIENTS
        self.samples: list[_Sample] = []
        rate = self._run().rate
        if addresses:
            self._requests = min(max(int(rate * _SECONDS), _WARM_UP), 50_000)
        else:
            self._run()  # with policyd-weight, who comes a second time is known

    def run(self) -> None:
        self.samples.append(self._run())

    def _run(self) -> _Sample:
        first = self._addresses.take(self._requests) if self._addresses else 0
        before = cpu_seconds(self._door.pid)
        words = map(str, (_CONNECTIONS, self._requests, first, _PATIENCE, self._door.port))
        command = pinned(LOAD_CORE, program("policyload"), *words)
        told = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
        settle(self._door.pid)
        cpu = (cpu_seconds(self._door.pid) - before) * 1e6 / self._requests
        return _Sample(told["requests"] / told["seconds"], cpu, told["milliseconds"]["answer"]["p99"], told["lost"])

    def median(self, of: Callable[[_Sample], float]) -> float:
        return statistics.median(map(of, self.samples))

    @property
    def lost(self) -> int:
        return sum(sample.lost for sample in self.samples)


class _Kind(NamedTuple):
    """What is measured."""

    what: str
    goal: float
    checks: frozenset[str]
    """Ours; policyd-weight has nothing but lists where these are nothing else."""
    cold: bool
    """Each request has a client that never came before."""
    memory: str
    """What policyd-weight keeps of clients."""


_LISTS = frozenset({"listings"})
_ALL = frozenset({"client", "listings", "helo", "sender", "domain_listings"})
"""The checks whose like policyd-weight has."""
_NOTHING = "$CACHESIZE = 0; $POSCACHESIZE = 0;"
_ROOM = f"$CACHESIZE = $POSCACHESIZE = {_WARM_CLIENTS}; $CACHEMAXSIZE = $POSCACHEMAXSIZE = 2 * {_WARM_CLIENTS};"
_AT_ONCE = _ROOM + " $TEMP_PTIME = '0s'; $PTTL = 1000000;"
"""Whom it has passed once it passes without a question, and not only after a day."""
_KINDS = {
    "policy-cold": _Kind("all checks of both, a new client each", 2.5, _ALL, cold=True, memory=_ROOM),
    "policy-warm": _Kind("all checks, clients of the same day", 2.5, _ALL, cold=False, memory=_ROOM),
    "policy-known": _Kind(
        "all checks, the peer knows the clients and asks nothing", -math.inf, _ALL, cold=False, memory=_AT_ONCE
    ),
    "policy-lists-cold": _Kind("lists alone, a new client each", 2.5, _LISTS, cold=True, memory=_NOTHING),
    "policy-lists-warm": _Kind("lists alone, clients that came before", 2.5, _LISTS, cold=False, memory=_NOTHING),
}


@contextmanager
def _earmark(dns: int, kind: _Kind) -> Iterator[_Door]:
    """The policy door of `earmark serve`: one worker, its log in a file, its history on."""
    port = free_port()
    with servers.earmark(dns, checks=kind.checks, policy=port) as server:
        yield _Door(port, server.pid)


@contextmanager
def _policyd_weight(kind: _Kind) -> Iterator[_Door]:
    """Debian's policyd-weight, with a process for each connection."""
    program_file = shutil.which("policyd-weight", path=PATH)
    if program_file is None:
        raise SystemExit("policyd-weight is not installed")
    port = free_port()
    scores = ", ".join(f"'{zone}', 4, 0, '{zone.partition('.')[0].upper()}'" for zone in ZONES)
    with private_directory() as top:
        file = top / "policyd-weight.conf"
        file.write_text(
            _POLICYD_WEIGHT.format(
                lists_only=int(kind.checks == _LISTS),
                scores=scores,
                names=NAME_ZONE,
                port=port,
                top=top,
                memory=kind.memory,
                nameserver=_NAMESERVER,
                processes=_CONNECTIONS,
            )
        )
        file.chmod(0o644)
        process = Process(pinned(SERVER_CORE, program_file, "-D", "-f", file, "start"), top / "log")
        try:
            wait_until(lambda: not process.running or accepts(port), "policyd-weight listens", _START_WITHIN)
            if not process.running:
                raise SystemExit(f"policyd-weight does not start:\n{process.log.read_text()[-2000:]}")
            settle(process.pid)
            yield _Door(port, process.pid)
        finally:
            subprocess.run([program_file, "-f", file, "-k"], check=False, capture_output=True)  # its cache is apart
            process.stop()


def policy(conditions: Conditions, wanted: Sequence[str]) -> Iterator[Row]:
    """Compare both with clients that are new, and with clients that come again."""
    with private_directory() as top, lists(top / "lists", also=_NAMESERVER) as dns:
        for name in dict.fromkeys(row.removesuffix("-p99") for row in wanted):
            kind = _KINDS[name]
            addresses = conditions.addresses if kind.cold else None
            with ExitStack() as stack:
                ours = _Contender(stack.enter_context(_earmark(dns, kind)), addresses)
                peer = _Contender(stack.enter_context(_policyd_weight(kind)), addresses)
                for _ in range(conditions.rounds):
                    ours.run()
                    peer.run()
            yield from (row for row in _rows(name, ours, peer) if row.name in wanted)


def _rows(name: str, ours: _Contender, peer: _Contender) -> Iterator[Row]:
    both = list(zip(ours.samples, peer.samples, strict=True))
    figures = {
        "requests_a_second": ours.median(lambda sample: sample.rate),
        "peer_requests_a_second": peer.median(lambda sample: sample.rate),
        "cpu_us": ours.median(lambda sample: sample.cpu),
        "peer_cpu_us": peer.median(lambda sample: sample.cpu),
        "dropped": float(ours.lost + peer.lost),
    }
    of = _KINDS[name].what
    what = f"requests a second of the policy door on one core / those of policyd-weight, same lists: {of}"
    yield median_row(name, [one.rate / other.rate for one, other in both], _KINDS[name].goal, what, figures)
    worst = 1.0 if math.isfinite(_KINDS[name].goal) else math.inf
    delays = {"p99_ms": ours.median(lambda sample: sample.p99), "peer_p99_ms": peer.median(lambda sample: sample.p99)}
    what = f"delay of its answers, 99th percentile / that of policyd-weight, {_CONNECTIONS} connections: {of}"
    yield median_row(f"{name}-p99", [one.p99 / other.p99 for one, other in both], worst, what, delays, at_most=True)


ROWS: dict[str, Measure] = {row: policy for name in _KINDS for row in (name, f"{name}-p99")}
"""By name, in the order in which they are measured."""
