"""The milters that are measured: earmark as it is served, rspamd, and a C libmilter that does nothing."""

import re
import shutil
import sys
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import NamedTuple

from bench.lists import NAME_ZONE, RECEIVED_ZONES, ZONES
from bench.machine import SERVER_CORE, pinned, settle
from bench.programs import program
from e2e_lab.processes import Process, accepts, free_port, service_account, wait_until

_ROOT = Path(__file__).parents[2]
_RSPAMD_PLUGINS = Path("/usr/share/rspamd/plugins")
_RSPAMD_COMPILED = Path(__file__).parent / "build" / "rspamd"
"""Kept from run to run: rspamd takes half a minute to compile its table of top-level domains."""
_START_WITHIN = 180.0

_SERVER = """\
schema = 1
user = "{user}"
state = "{state}"
workers = {workers}
[milter]
engine = "{engine}"
listen = ["{listen}"]
socket_mode = 0o666
[dns]
resolvers = ["127.0.0.1:{dns}"]
[site]
names = ["mx.example.org"]
"""
_POLICY = """\
[policy]
listen = ["inet:127.0.0.1:{port}"]
"""
_SCANNER = """\
[{name}]
endpoints = ["unix:{socket}"]
"""

# Whoever is not measured is switched off: weights to nothing, lists to none, and what is on or off to off.
_SWITCHED_OFF = (
    (re.compile(r"= -?\d+\.\d\d$"), "= 0.00"),
    (re.compile(r"= true$"), "= false"),
    (re.compile(r"(zones|generic_names) = \[.*\]$"), r"\1 = []"),
)
_SECTION = re.compile(r"\[(\w+)(?:\.\w+)?\]$")
LISTS_AND_ENVELOPE = frozenset({"client", "listings", "helo", "sender", "received"})
"""The checks whose like the peers have."""

_ZONE = """\
[[zone]]
name = "{zone}"
owner = "{zone}"
kind = "block"
ask = ["connection", "received"]
[[zone.code]]
symbol = "{symbol}"
code = "127.0.0.2"
score = 4.00
meaning = "listed"
scope = "address"
deep = true
"""

_NAMES = """\
[[zone]]
name = "{zone}"
owner = "{zone}"
kind = "block"
ask = ["sender", "helo", "reverse"]
[[zone.code]]
symbol = "{symbol}"
code = "127.0.1.2"
score = 4.00
meaning = "listed"
scope = "domain"
deep = false
"""

# The same five lists for the client, two of them for Received; otherwise only what a milter needs to mark mail.
_RSPAMD = """\
options {{
  filters = ""; local_addrs = [127.0.0.0/8, 192.168.0.0/16]; disable_monitoring = true;
  dns {{ nameserver = ["127.0.0.1:{dns}"]; timeout = 2s; sockets = 16; retransmits = 3; }}
  tempdir = "{top}"; dynamic_conf = "{top}/dynamic"; history_file = "{top}/history";
  control_socket = "{top}/control mode=0600"; cache_file = "{top}/cache"; hs_cache_dir = "{compiled}"; rrd = "";
  stats_file = "{top}/stats"; pidfile = false; url_tld = "/usr/share/rspamd/effective_tld_names.dat";
}}
logging {{ type = "file"; filename = "{top}/log"; level = "info"; }}
lang_detection {{ enabled = false; }}
modules {{ path = "{top}/plugins/"; }}
actions {{ reject = 999; add_header = 5; }}
milter_headers {{ use = ["x-spam-status"]; skip_local = false; skip_authenticated = false; }}
worker "rspamd_proxy" {{
  bind_socket = "{socket} mode=0666"; milter = yes; timeout = 60s; count = 1; hyperscan = false;
  upstream "local" {{ default = yes; self_scan = yes; }}
}}
rbl {{ default_from = true; default_received = false; local_exclude_ip_map = []; rbls {{
{rbls}
}} }}
"""
_RBL = """\
  {symbol} {{ symbol = "{symbol}"; rbl = "{zone}"; ipv4 = true; ipv6 = false; checks = [{checks}];
    ignore_whitelist = true; disable_monitoring = true; returncodes {{ {symbol}_HIT = "127.0.0.2"; }} }}"""


class Server(NamedTuple):
    """A milter that runs: where it listens, and the process at the top of its tree."""

    name: str
    socket: Path | int
    """A unix socket, or a port of 127.0.0.1."""
    pid: int
    log: Path


Running = AbstractContextManager[Server]


def _symbol(zone: str) -> str:
    return zone.partition(".")[0].upper()


def write_configuration(
    top: Path,
    socket: Path | int,
    dns: int,
    *,
    zones: Sequence[str] = ZONES,
    received: Sequence[str] = RECEIVED_ZONES,
    checks: Collection[str] | None = None,
    scanners: Mapping[str, Path] | None = None,
    policy: int = 0,
    engine: str = "native",
    workers: int = 1,
) -> Path:
    """Write a configuration directory: the shipped policy, with these lists in place of those that it asks.

    Only `checks` look at anything, if given. `scanners` are the sockets of "clamd" and "spamd", `policy` is the port of
    the policy door; with 0 there is none.
    """
    directory = top / "configuration"
    shutil.copytree(_ROOT / "policies", directory / "policies", ignore=shutil.ignore_patterns("domains"))
    (directory / "rules").mkdir()
    shutil.copy(_ROOT / "rules" / "names.toml", directory / "rules")
    (directory / "rules" / "zones.toml").write_text(
        "".join(_ZONE.format(zone=zone, symbol=_symbol(zone)) for zone in ZONES)
        + _NAMES.format(zone=NAME_ZONE, symbol=_symbol(NAME_ZONE))
    )
    listen = f"inet:127.0.0.1:{socket}" if isinstance(socket, int) else f"unix:{socket}"
    server = _SERVER.format(
        user=service_account(), state=top / "state", listen=listen, dns=dns, engine=engine, workers=workers
    )
    server += "".join(_SCANNER.format(name=name, socket=path) for name, path in (scanners or {}).items())
    server += _POLICY.format(port=policy) if policy else ""
    (directory / "policies" / "server.toml").write_text(server)
    default = directory / "policies" / "default.toml"
    text = default.read_text().partition("\n[[test]]")[0]
    for section, names in (("listings", zones), ("domain_listings", [NAME_ZONE]), ("received", received)):
        quoted = ", ".join(f'"{name}"' for name in names)
        setting = re.compile(rf"(^\[{section}\]$.*?^zones = )\[.*?\]", re.MULTILINE | re.DOTALL)
        text = setting.sub(rf"\1[{quoted}]", text, count=1)
    default.write_text(text if checks is None else _only(checks, text))
    return directory


def _only(checks: Collection[str], text: str) -> str:
    """Return the policy with all sections but these switched off."""
    section, lines = "", []
    for line in text.splitlines():
        title = _SECTION.match(line)
        section = title[1] if title else section
        off = section and section not in checks
        lines.append(_switched_off(line) if off else line)
    return "\n".join([*lines, ""])


def _switched_off(line: str) -> str:
    for pattern, replacement in _SWITCHED_OFF:
        line = pattern.sub(replacement, line)
    return line


def _listens(socket: Path | int) -> bool:
    return accepts(socket) if isinstance(socket, int) else socket.is_socket()


@contextmanager
def served(name: str, command: Sequence[str | Path], socket: Path | int, log: Path) -> Iterator[Server]:
    """Run a milter on the server's core, from when it listens and rests."""
    process = Process(pinned(SERVER_CORE, *command), log)
    try:
        wait_until(lambda: not process.running or _listens(socket), f"{name} listens", _START_WITHIN)
        if not process.running:
            raise SystemExit(f"{name} does not start:\n{log.read_text()[-2000:]}")
        settle(process.pid)
        yield Server(name, socket, process.pid, log)
    finally:
        process.stop()


@contextmanager
def private_directory() -> Iterator[Path]:
    """A directory that a server which has given up root can reach."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        top = Path(name)
        top.chmod(0o755)
        yield top


@contextmanager
def earmark(
    dns: int,
    *,
    name: str = "earmark",
    zones: Sequence[str] = ZONES,
    received: Sequence[str] = RECEIVED_ZONES,
    checks: Collection[str] | None = LISTS_AND_ENVELOPE,
    scanners: Mapping[str, Path] | None = None,
    policy: int = 0,
    engine: str = "native",
    workers: int = 1,
    tcp: bool = False,
) -> Iterator[Server]:
    """`earmark serve`, its log in a file, its history on; with all checks where `checks` is None."""
    with private_directory() as top:
        socket = free_port() if tcp else top / "socket"
        directory = write_configuration(
            top, socket, dns, zones=zones, received=received, checks=checks, scanners=scanners, policy=policy,
            engine=engine, workers=workers,
        )  # fmt: skip
        options: list[str | Path] = ["-c", directory, "--state", top / "state"]
        command = [sys.executable, "-m", "earmark", "serve", *options]
        with served(name, command, socket, top / "log") as server:
            yield server


@contextmanager
def rspamd(dns: int) -> Iterator[Server]:
    """Debian's rspamd, scanning in its one milter worker, with its rbl module only and its log in a file."""
    with private_directory() as top:
        (top / "plugins").mkdir()
        for plugin in ("rbl.lua", "milter_headers.lua"):
            shutil.copy(_RSPAMD_PLUGINS / plugin, top / "plugins")
        asked = {zone: '"from", "received"' if zone in RECEIVED_ZONES else '"from"' for zone in ZONES}
        rbls = "\n".join(_RBL.format(symbol=_symbol(zone), zone=zone, checks=asked[zone]) for zone in ZONES)
        socket = top / "socket"
        _RSPAMD_COMPILED.mkdir(parents=True, exist_ok=True)
        text = _RSPAMD.format(top=top, compiled=_RSPAMD_COMPILED, dns=dns, socket=socket, rbls=rbls)
        (top / "rspamd.conf").write_text(text)
        with served("rspamd", ["rspamd", "-f", "-i", "-c", top / "rspamd.conf"], socket, top / "output") as server:
            yield server


@contextmanager
def libmilter(*, tcp: bool = False) -> Iterator[Server]:
    """The no-op on C libmilter."""
    with private_directory() as top:
        socket = free_port() if tcp else top / "socket"
        place = f"inet:{socket}@127.0.0.1" if tcp else str(socket)
        with served("libmilter", [program("noop_c"), place], socket, top / "log") as server:
            yield server


@contextmanager
def pymilter() -> Iterator[Server]:
    """The no-op on pymilter: its callbacks are Python's, and do nothing."""
    with private_directory() as top:
        socket = top / "socket"
        command: list[str | Path] = [sys.executable, Path(__file__).with_name("noop_pymilter.py"), socket]
        with served("pymilter", command, socket, top / "log") as server:
            yield server
