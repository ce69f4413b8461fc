"""The service: Postfix with earmark before it. Queue, state and delivered mail lie on the replicated disk."""

import re
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from e2e_lab.configuration import ROOT
from e2e_lab.postfix import LINES
from e2e_lab.processes import service_account

MOUNT = "/run/earmark-disk"
POSTFIX = "postfix"
RECIPIENT = "user@lab.test"
CLEAN_CLIENT = "192.0.2.19"
LISTED_CLIENT = "192.0.2.20"
_MILTER = "inet:127.0.0.1:8890"

ZONE = """
2.0.0.127.bl.lab.test. A 127.0.0.2
20.2.0.192.bl.lab.test. A 127.0.0.2
sender.test. A 192.0.2.19
"""
LIST = """
[[zone]]
name = "bl.lab.test"
owner = "lab"
kind = "block"
ask = ["connection", "received"]

[[zone.code]]
symbol = "LAB_LISTED"
code = "127.0.0.2"
score = 8.00
meaning = "listed by the lab"
scope = "address"
deep = true
"""
SERVER = """
schema = 1
user = "{user}"
state = "{mount}/earmark"
workers = 1
budget = 2.0
drain = 5

[milter]
listen = ["{milter}"]

[dns]
resolvers = ["127.0.0.1:53"]

[site]
names = ["mx.lab.test"]
"""
DOMAIN = """
domains = ["lab.test"]
[listings]
zones = ["bl.lab.test"]
[domain_listings]
zones = []
[received]
zones = ["bl.lab.test"]
[content]
clamav = "off"
spamassassin = "off"
"""
MAIN = """
compatibility_level = 3.6
config_directory = {top}
queue_directory = {mount}/queue
data_directory = {mount}/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
maillog_file = /var/log/mail.log
# the host's own name, so that a greeting tells which host it comes from
mydomain = lab.test
mydestination =
mynetworks = 127.0.0.0/8
local_header_rewrite_clients =
inet_interfaces = all
inet_protocols = ipv4
alias_maps =
alias_database =
enable_long_queue_ids = yes
virtual_mailbox_domains = lab.test
virtual_mailbox_maps = static:mail/
virtual_mailbox_base = {mount}
virtual_uid_maps = static:65534
virtual_gid_maps = static:65534
virtual_transport = virtual
smtpd_recipient_restrictions = reject_unauth_destination
smtpd_peername_lookup = no
smtp_dns_support_level = disabled
smtpd_client_connection_count_limit = 0
in_flow_delay = 0
earmark_socket = {milter}
"""
MASTER = """
smtp      inet  n  -  n  -  -  smtpd
pickup    unix  n  -  n  60 1  pickup
cleanup   unix  n  -  n  -  0  cleanup
qmgr      unix  n  -  n  2  1  qmgr
rewrite   unix  -  -  n  -  -  trivial-rewrite
bounce    unix  -  -  n  -  0  bounce
defer     unix  -  -  n  -  0  bounce
trace     unix  -  -  n  -  0  bounce
proxymap  unix  -  -  n  -  -  proxymap
virtual   unix  -  n  n  -  -  virtual
error     unix  -  -  n  -  -  error
retry     unix  -  -  n  -  -  error
anvil     unix  -  -  n  -  1  anvil
showq     unix  n  -  n  -  -  showq
postlog   unix-dgram n - n  -  1  postlogd
"""
_NUMBER = re.compile(rb"^Subject: message (\d+)$", re.MULTILINE)
_UNASKED = re.compile(rb"^X-Earmark:[^;\n]*;(?:[^\n]|\n[ \t])*unchecked=(?:[^\n]|\n[ \t])*bl\.lab\.test", re.MULTILINE)
_QUEUE_ID = re.compile(rb"\bid ([0-9A-Za-z]+)\b")


def write_configuration(top: Path) -> None:
    """Write what both hosts' /etc would hold of Postfix and earmark."""
    policies = top / "earmark" / "policies"
    shutil.copytree(ROOT / "policies", policies, ignore=shutil.ignore_patterns("domains", "server.toml"))
    shutil.copytree(ROOT / "rules", top / "earmark" / "rules")
    (top / "earmark" / "rules" / "lab.toml").write_text(LIST)
    (policies / "server.toml").write_text(SERVER.format(user=service_account(), mount=MOUNT, milter=_MILTER))
    (policies / "domains").mkdir()
    (policies / "domains" / "lab.toml").write_text(DOMAIN)
    (top / POSTFIX).mkdir()
    lines = [line for line in LINES.read_text().splitlines() if not line.startswith("earmark_socket")]
    main = MAIN.format(top=top / POSTFIX, mount=MOUNT, milter=_MILTER)
    (top / POSTFIX / "main.cf").write_text(main + "\n".join([*lines, ""]))
    (top / POSTFIX / "master.cf").write_text(MASTER)


class Copy(NamedTuple):
    """A message on the disk."""

    number: int
    queue_id: str
    """"" for one in the queue."""


class Disk:
    """The replicated disk as it is seen from outside of all hosts."""

    def __init__(self, top: Path) -> None:
        """Make an empty one; `top` is what the agent calls the device."""
        self.top = top
        self.data = top / "data"
        for part, owner in (("queue", "root"), ("data", "postfix"), ("earmark", service_account()), ("mail", "nobody")):
            (self.data / part).mkdir(parents=True)
            shutil.chown(self.data / part, owner)
        (top / "log").touch()

    def opened(self) -> list[str]:
        """Return what the agent has written down: time, host, and what it did."""
        return (self.top / "log").read_text().splitlines()

    def opened_twice(self) -> list[str]:
        """Return what must never be there: a host that wanted the disk while another had it."""
        return [line for line in self.opened() if line.split()[2:] not in (["opened"], ["closed"])]

    def queued(self) -> list[Copy]:
        """Return the messages in Postfix's queue."""
        names = ("maildrop", "incoming", "active", "deferred", "hold")
        files = (file for name in names for file in (self.data / "queue" / name).rglob("*") if file.is_file())
        return [Copy(int(number), "") for file in files for number in _NUMBER.findall(file.read_bytes())]

    def delivered(self) -> list[Copy]:
        """Return the delivered messages, with the queue id that Postfix gave them when it took them."""
        files = (file for part in ("new", "cur") for file in (self.data / "mail" / part).glob("*"))
        return [_copy(file.read_bytes()) for file in files]

    def unjudged(self) -> list[int]:
        """Return the delivered messages that earmark has not written its trace header into."""
        return [_copy(text).number for text in self._texts() if b"\nX-Earmark" not in text]

    def let_pass_unasked(self) -> set[int]:
        """Return the delivered messages whose trace header says that the blocklist could not be asked about them."""
        return {_copy(text).number for text in self._texts() if _UNASKED.search(text)}

    def _texts(self) -> Iterator[bytes]:
        for file in (self.data / "mail" / "new").glob("*"):
            yield file.read_bytes()


def _copy(text: bytes) -> Copy:
    (number,) = _NUMBER.findall(text)
    received = text[text.index(b"\nReceived: ") :]
    found = _QUEUE_ID.search(received)
    assert found, text
    return Copy(int(number), found[1].decode())


def copies(messages: list[Copy]) -> Counter[int]:
    """Return how many transactions brought each message: two copies of one queue id are one."""
    return Counter(number for number, _ in set(messages))
