"""The lab's configuration: the shipped policies and rules as they stand, and beside them the lab's lists and domains.

The shipped default asks live lists. In the lab the resolver refuses to answer for them, which may change nothing for
the lab's own domains.
"""

import shutil
from pathlib import Path

from e2e_lab.processes import service_account

ROOT = Path(__file__).parents[2]

OWN_NETWORK = "192.0.2.128/25"
OWN_RELAY = "192.0.2.25"
BUDGET = 2.0

SERVER = """
schema = 1
user = "{user}"
state = "{state}"
workers = 2
budget = {budget}
drain = 5

[milter]
listen = ["inet:127.0.0.1:{milter}"]

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

# What makes each domain differ from the default, by domain; and the list that it asks.
DOMAINS = {
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


def write_configuration(directory: Path, *, milter: int, resolver: int, state: Path, more: str = "") -> None:
    """Write a whole configuration directory; `more` are further lines of server.toml."""
    shutil.copytree(ROOT / "policies", directory / "policies", ignore=shutil.ignore_patterns("domains", "server.toml"))
    shutil.copytree(ROOT / "rules", directory / "rules")
    (directory / "rules" / "lab.toml").write_text(ZONES)
    server = SERVER.format(
        user=service_account(),
        state=state,
        budget=BUDGET,
        milter=milter,
        resolver=resolver,
        own_network=OWN_NETWORK,
        own_relay=OWN_RELAY,
    )
    (directory / "policies" / "server.toml").write_text(server + more)
    (directory / "policies" / "domains").mkdir()
    for number, (domain, (differs, zone)) in enumerate(DOMAINS.items()):
        policy = f'domains = ["{domain}"]\n{differs}\n{LISTS.format(zone=zone)}'
        (directory / "policies" / "domains" / f"{number}.toml").write_text(policy)
