"""The rows on the two milter engines, beside C libmilter and rspamd, and at 1 to 1,000 sessions by unix and TCP."""

import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack

from bench import servers
from bench.rounds import Contender, alternate, cpu_ratios
from bench.rows import Conditions, Measure, Row, median_row
from bench.servers import Running

_SESSIONS = (1, 16, 200, 1000)
_NATIVE, _LIBMILTER, _TWO, _C, _RSPAMD = "native", "libmilter-engine", "libmilter-engine-2", "c", "rspamd"
_PYMILTER = "pymilter"
_WHAT = {
    "engine-libmilter": "CPU a message of a C libmilter that does nothing (no-reply flags) / the libmilter engine's",
    "engine-rspamd": "CPU a message of rspamd 3.4, as in row rspamd / the libmilter engine's",
}
_GOAL = {"engine-libmilter": 0.35, "engine-rspamd": 0.8}
_PEER = {"engine-libmilter": _C, "engine-rspamd": _RSPAMD}


def _open(name: str, dns: int, *, tcp: bool = False) -> Running:
    if name == _C:
        return servers.libmilter(tcp=tcp)
    if name == _PYMILTER:
        return servers.pymilter()
    if name == _RSPAMD:
        return servers.rspamd(dns)
    engine = "native" if name == _NATIVE else "libmilter"
    return servers.earmark(dns, name=name, engine=engine, workers=2 if name == _TWO else 1, tcp=tcp)


def whole_path(conditions: Conditions, wanted: Sequence[str]) -> Iterator[Row]:
    """Compare the libmilter engine's CPU a message with the peers', one process each.

    Beside it two workers, the native engine, and callbacks into Python that do nothing.
    """
    with ExitStack() as stack:
        contenders = {
            name: Contender(stack.enter_context(_open(name, conditions.dns)), conditions.addresses)
            for name in dict.fromkeys((_LIBMILTER, _TWO, _NATIVE, _PYMILTER, *(_PEER[row] for row in wanted)))
        }
        alternate(list(contenders.values()), conditions.rounds)
    ours, two, native = contenders[_LIBMILTER], contenders[_TWO], contenders[_NATIVE]
    empty = contenders[_PYMILTER]
    for row in wanted:
        peer = contenders[_PEER[row]]
        figures = {
            "cpu_us": ours.cpu, "peer_cpu_us": peer.cpu, "native_cpu_us": native.cpu, "two_workers_cpu_us": two.cpu,
            "pymilter_cpu_us": empty.cpu,
            "messages_a_second": ours.rate, "peer_messages_a_second": peer.rate,
            "two_workers_messages_a_second": two.rate, "dropped": float(ours.dropped + two.dropped),
        }  # fmt: skip
        yield median_row(row, cpu_ratios(peer, ours), _GOAL[row], _WHAT[row], figures)


def crowds(conditions: Conditions, wanted: Sequence[str]) -> Iterator[Row]:
    """Compare messages a second of the engines and C libmilter at so many sessions at once."""
    for row in wanted:
        _, transport, sessions = row.split("-")
        with ExitStack() as stack:
            contenders = {
                name: Contender(
                    stack.enter_context(_open(name, conditions.dns, tcp=transport == "tcp")), conditions.addresses,
                    connections=int(sessions),
                )
                for name in (_LIBMILTER, _NATIVE, _C)
            }  # fmt: skip
            alternate(list(contenders.values()), conditions.rounds)
        ours, native, peer = contenders.values()
        ratios = [one.load.rate / other.load.rate for one, other in zip(ours.samples, peer.samples, strict=True)]
        figures = {
            "messages_a_second": ours.rate, "native_messages_a_second": native.rate, "c_messages_a_second": peer.rate,
            "cpu_us": ours.cpu, "native_cpu_us": native.cpu, "c_cpu_us": peer.cpu,
            "dropped": float(ours.dropped + native.dropped),
        }  # fmt: skip
        what = f"messages a second of the libmilter engine / of C libmilter, {sessions} sessions at once by {transport}"
        yield median_row(row, ratios, -math.inf, what, figures)


ROWS: dict[str, Measure] = {
    **dict.fromkeys(_WHAT, whole_path),
    **{f"engines-{transport}-{sessions}": crowds for transport in ("unix", "tcp") for sessions in _SESSIONS},
}
"""By name, in the order in which they are measured."""
