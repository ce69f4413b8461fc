"""The lab's configuration: the shipped policies and rules as they stand, and beside them the lab's lists and domains.

The shipped default asks live lists. In the lab the resolver refuses to answer for them, which may change nothing for
the lab's own domains.
"""

import json
import os
import shutil
from pathlib import Path
from typing import NamedTuple

from e2e_lab.processes import service_account

ROOT = Path(__file__).parents[2]

ENGINE = os.environ.get("EARMARK_ENGINE", "native")
"""The milter engine that the lab begins with."""
MILTER_SOCKET = "milter.sock"
"""A second door for MTAs, in the state directory."""
OWN_NETWORK = "192.0.2.128/25"
OWN_RELAY = "192.0.2.25"
BUDGET = 2.0
SCAN_BUDGET = 4.0
DEFER_FOR = 3
"""Seconds for which the domains that wait for scanners do so."""
VIRUS_AT_MOST = 300
"""Kilobytes of a message that the domains with a limit of their own have scanned."""

SERVER = """
schema = 1
user = "{user}"
state = "{state}"
workers = {workers}
budget = {budget}
scan_budget = {scan_budget}
drain = 5

[milter]
engine = "{engine}"
listen = {listen}
# MTAs of any account are to reach it
socket_mode = 0o666

[dns]
resolvers = ["127.0.0.1:{resolver}"]

[site]
names = ["mx.lab.test"]
networks = ["127.0.0.0/8", "{own_network}"]
relays = ["{own_relay}"]
"""

ZONES = """
[[zone]]
name = "bl.lab.test"
owner = "lab"
kind = "block"
ask = ["connection", "received"]
ipv6 = true

[[zone.code]]
symbol = "LAB_LISTED"
code = "127.0.0.2"
score = 8.00
meaning = "listed by the lab"
scope = "address"
deep = true

[[zone.code]]
symbol = "LAB_POLICY"
code = "127.0.0.10"
score = 8.00
meaning = "policy range"
scope = "policy"
deep = false

[[zone]]
name = "errors.lab.test"
owner = "errors"
kind = "block"
ask = ["connection", "received"]

[[zone.code]]
symbol = "ERRORS_LISTED"
code = "127.0.0.2"
score = 8.00
meaning = "listed"
scope = "address"
deep = true

[[zone]]
name = "turning.lab.test"
owner = "turning"
kind = "block"
ask = ["connection", "received"]

[[zone.code]]
symbol = "TURNING_LISTED"
code = "127.0.0.2"
score = 8.00
meaning = "listed"
scope = "address"
deep = true

[[zone]]
name = "names.lab.test"
owner = "names"
kind = "block"
ask = ["sender", "helo", "reverse"]

[[zone.code]]
symbol = "LAB_DOMAIN"
code = "127.0.1.2"
score = 4.00
meaning = "a domain listed by the lab"
scope = "domain"
"""

LISTS = """
[listings]
zones = ["{zone}"]

[domain_listings]
zones = ["names.lab.test"]

[received]
zones = ["{zone}"]
"""

# What makes each domain differ from the default, by domain; and the list that it asks. Nobody scans their mail.
UNSCANNED = {
    "lab.test": ("", "bl.lab.test"),
    "marks.test": ('mode = "mark"', "bl.lab.test"),
    "watches.test": ('mode = "observe"', "bl.lab.test"),
    "tagged.test": ('subject_tag = "[SPAM?]"', "bl.lab.test"),
    "lenient.test": ("mark_at = 6.00", "bl.lab.test"),
    "strict.test": ('dmarc = "reject"', "bl.lab.test"),
    "grey.test": ("[greylist]\nenabled = true\nfrom_score = 1.00\nwait_seconds = 2", "bl.lab.test"),
    "limited.test": ('[rates]\nrecipient = "2/86400"\ndefer = true', "bl.lab.test"),
    "errors.test": ("", "errors.lab.test"),
    "turning.test": ("", "turning.lab.test"),
    "b\u00fccher.test": ('help_url = "https://help.example/"', "bl.lab.test"),
}

_OFF = 'clamav = "off"\nspamassassin = "off"\n'
_CLAMAV = 'spamassassin = "off"\n'
_SPAMASSASSIN = 'clamav = "off"\n'


def _virus(action: str) -> str:
    """Return what becomes of viruses; those of the lab's own signatures are "unofficial"."""
    return f'virus = "{action}"\nvirus_unofficial = "{action}"\n'


def _unscanned(action: str) -> str:
    waiting = f"virus_defer_for = {DEFER_FOR}\nspam_defer_for = {DEFER_FOR}\n"
    return f'virus_unscanned = "{action}"\nspam_unscanned = "{action}"\n{waiting}'


# The domains whose mail is scanned, and what makes their [content] differ from the default.
SCANNED = {
    "refuses.test": _CLAMAV + _virus("reject"),
    "held.test": _CLAMAV + _virus("quarantine"),
    "kept.test": _CLAMAV + _virus("quarantine") + 'quarantine = "mta"',
    "viruses.test": _CLAMAV + _virus("mark"),
    "sized.test": f"{_CLAMAV}virus_at_most = {VIRUS_AT_MOST}\n",
    "detail.test": _CLAMAV + 'mixed_marks = "detail"',
    "alone.test": _CLAMAV + 'mixed_recipients = "separate"',
    "scored.test": _SPAMASSASSIN,
    "confirmed.test": f"{_SPAMASSASSIN}spam_reject_score = 5.00",
    "stamped.test": "",
    "marked-unscanned.test": _unscanned("mark"),
    "waits.test": _unscanned("defer"),
}
DOMAINS = (*UNSCANNED, *SCANNED)
_MOST = "bl.lab.test"
"""The list that is asked for all but some of UNSCANNED."""
MAY_REFUSE_AFTER_DATA = frozenset({"strict.test", "refuses.test", "confirmed.test"})

_POLICIES = {
    **{name: f"{differs}\n{LISTS.format(zone=zone)}\n[content]\n{_OFF}" for name, (differs, zone) in UNSCANNED.items()},
    **{name: f"{LISTS.format(zone=_MOST)}\n[content]\n{differs}" for name, differs in SCANNED.items()},
}


def list_of(address: str) -> str:
    """Return the list of addresses that is asked for this recipient."""
    _, zone = UNSCANNED.get(address.rpartition("@")[2].lower(), ("", _MOST))
    return zone


class Server(NamedTuple):
    """What server.toml says of one service."""

    milter: int
    """The port of its milter, which is also on the unix socket MILTER_SOCKET."""
    resolver: int
    state: Path
    more: str = ""
    """Further lines."""

    def write(self, directory: Path, engine: str = ENGINE, workers: int = 2) -> None:
        """Write the file. libmilter listens on one socket: the lab's Postfix has its port, others the unix one."""
        listen = [f"inet:127.0.0.1:{self.milter}", f"unix:{self.state / MILTER_SOCKET}"]
        if engine == "libmilter":
            listen = [listen[ENGINE == "native"]]
        text = SERVER.format(
            user=service_account(),
            state=self.state,
            workers=workers,
            budget=BUDGET,
            scan_budget=SCAN_BUDGET,
            engine=engine,
            listen=json.dumps(listen),
            resolver=self.resolver,
            own_network=OWN_NETWORK,
            own_relay=OWN_RELAY,
        )
        (directory / "policies" / "server.toml").write_text(text + self.more)


def write_configuration(directory: Path, server: Server) -> None:
    """Write a whole configuration directory."""
    shutil.copytree(ROOT / "policies", directory / "policies", ignore=shutil.ignore_patterns("domains", "server.toml"))
    shutil.copytree(ROOT / "rules", directory / "rules")
    (directory / "rules" / "lab.toml").write_text(ZONES)
    server.write(directory)
    (directory / "policies" / "domains").mkdir()
    for number, (domain, policy) in enumerate(_POLICIES.items()):
        (directory / "policies" / "domains" / f"{number}.toml").write_text(f'domains = ["{domain}"]\n{policy}')
