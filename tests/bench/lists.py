"""Lists of addresses and of names, and a sender's domain: rbldnsd, behind a relay that is slow or leaves one dead."""

import os
import random
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.machine import LOAD_CORE, pinned
from bench.programs import program
from bench.signing import SELECTOR, key_record
from e2e_lab.processes import Process, free_port, wait_until

ZONES = tuple(f"bl{number}.test" for number in range(1, 6))
RECEIVED_ZONES = ZONES[:2]
DEAD_ZONE = ZONES[-1]
NAME_ZONE = "names.test"

_ENTRIES = 100_000
_LISTED_HOPS = ("80.0.0.7", "80.0.1.7", "80.0.2.7")
_HEAD = "$SOA 600 ns.{zone}. admin.{zone}. 1 600 300 86400 600\n$NS 600 ns.{zone}.\n"
_SENDER = """\
$SOA 600 ns.sender.test. admin.sender.test. 1 600 300 86400 600
$NS 600 ns.sender.test.
@ MX 10 mail.sender.test
mail A 203.0.113.10
@ TXT "v=spf1 mx include:_spf.sender.test -all"
_spf TXT "v=spf1 ip4:192.0.2.0/24 ip4:198.51.100.0/24 ip4:203.0.113.0/24 ip4:0.0.0.0/1 ~all"
_dmarc TXT "v=DMARC1; p=none; adkim=r; aspf=r"
{selector}._domainkey TXT "{key}"
"""
_NAMES = """\
$SOA 600 ns.{zone}. admin.{zone}. 1 600 300 86400 600
$NS 600 ns.{zone}.
:127.0.1.2:listed by {zone}
test
listed.test
"""


_REVERSE = "in-addr.arpa"
"""Nobody of the load's clients has a reverse name."""


def _write_zones(top: Path) -> None:
    """Each list has 100,000 of the 2^30 addresses that the load comes from, so nearly every client is on none."""
    (top / "sender").write_text(_SENDER.format(selector=SELECTOR, key=key_record()))
    (top / _REVERSE).write_text(_HEAD.format(zone=_REVERSE))
    (top / NAME_ZONE).write_text(_NAMES.format(zone=NAME_ZONE))
    for seed, zone in enumerate(ZONES):
        pick = random.Random(seed)  # noqa: S311 - the same lists in every run
        clients = {f"{pick.randrange(11, 75)}.{pick.randrange(256)}.{pick.randrange(256)}.{pick.randrange(256)}"
                   for _ in range(_ENTRIES)}  # fmt: skip
        hops = _LISTED_HOPS if zone in RECEIVED_ZONES else ()
        entries = "\n".join(("127.0.0.2", *hops, *sorted(clients)))
        (top / zone).write_text(f"{_HEAD.format(zone=zone)}:127.0.0.2:listed by {zone}\n{entries}\n")


@contextmanager
def lists(top: Path, also: str = "") -> Iterator[int]:
    """Run rbldnsd on the load's core; yields its port. It listens on port 53 of the address `also` too, if given."""
    top.mkdir()
    _write_zones(top)
    port = free_port()
    user = ["-u", "nobody"] if os.geteuid() == 0 else []
    zones = [
        *(f"{zone}:ip4set:{zone}" for zone in ZONES),
        f"{NAME_ZONE}:dnset:{NAME_ZONE}",
        "sender.test:generic:sender",
        f"{_REVERSE}:generic:{_REVERSE}",
    ]
    command: list[str | Path] = [
        "rbldnsd",
        "-n",
        "-t",
        "600",
        "-c",
        "1d",
        "-b",
        f"127.0.0.1/{port}",
        *(["-b", f"{also}/53"] if also else []),
        "-w",
        top,
        *user,
        *zones,
    ]
    server = Process(pinned(LOAD_CORE, *command), top / "log")
    try:
        wait_until(lambda: "started" in server.log.read_text(), f"rbldnsd starts; see {server.log}")
        yield port
    finally:
        server.stop()


@contextmanager
def relay(upstream: int, *, milliseconds: int = 0, dead: str = "") -> Iterator[int]:
    """Run a relay before the lists; yields its port. Queries under the zone `dead` get no answer."""
    zone = [dead] if dead else []
    command = pinned(LOAD_CORE, program("slowdns"), str(upstream), str(milliseconds), *zone)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            yield int(server.stdout.readline())
        finally:
            server.terminate()
