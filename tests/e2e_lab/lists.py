"""The lists: real rbldnsd behind real unbound, on ports of their own. Every name that the tests use is under .test."""

import os
import re
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from e2e_lab.processes import Process, free_port, wait_until

LISTED_NETWORK = "203.0.113.0/24"

ZONES = {
    # 203.0.113.0/24 and 2001:db8:bad::/48 are listed; 198.51.100.66 is in a policy range, which a Received hop may be
    "bl.ip4": """\
$TTL 60
:127.0.0.2:listed by the lab
127.0.0.2
203.0.113.0/24
198.51.100.66 :127.0.0.10:policy range
""",
    "bl.ip6": """\
$TTL 60
:127.0.0.2:listed by the lab
0:0:0:0:0:ffff:7f00:2
2001:db8:bad::/48
""",
    # RFC 5782 section 5: TEST is listed, INVALID is not
    "names.set": "$TTL 60\n:127.0.1.2:listed by the lab\ntest\nspam.test\n",
    # a list that answers every query with an error code
    "errors.ip4": "$TTL 60\n:127.255.255.254:query came through an open resolver\n0.0.0.0/0\n",
    # a list that is well until a test turns it
    "turning.ip4": "$TTL 60\n:127.0.0.2:listed by the lab\n127.0.0.2\n203.0.113.0/24\n",
}
_THE_WORLD = "$TTL 60\n:127.0.0.2:closed for good\n0.0.0.0/0\n!127.0.0.1\n"

UNBOUND = """
server:
  interface: 127.0.0.1
  port: {port}
  do-daemonize: no
  chroot: ""
  username: ""
  directory: "{top}"
  pidfile: "{top}/unbound.pid"
  use-syslog: no
  log-queries: yes
  do-ip6: no
  num-threads: 1
  access-control: 127.0.0.0/8 allow
  do-not-query-localhost: no
  module-config: "iterator"
  qname-minimisation: no
  local-zone: "." refuse
  local-zone: "test." static
  local-zone: "in-addr.arpa." static
  local-zone: "ip6.arpa." static
  local-zone: "lab.test." transparent
  local-data: "sender.test. 60 IN MX 10 mail.sender.test."
  local-data: "mail.sender.test. 60 IN A 192.0.2.10"
  local-data: "mail.sender.test. 60 IN AAAA 2001:db8::10"
  local-data-ptr: "192.0.2.10 60 mail.sender.test"
  local-data: "author.test. 60 IN MX 10 mail.sender.test."
  local-data: 'author.test. 60 IN TXT "v=spf1 ip4:192.0.2.77 -all"'
  local-data: '_dmarc.author.test. 60 IN TXT "v=DMARC1; p=reject"'
  local-data: 's2048._domainkey.author.test. 60 IN TXT {key}'
stub-zone:
  name: "lab.test."
  stub-addr: 127.0.0.1@{lists}
"""


def _key() -> str:
    """Return the record of `unit/dkim_data/rsa-2048.key` as it stands in a zone file."""
    lines = (Path(__file__).parent.with_name("unit") / "dkim_data" / "keys.zone").read_text().splitlines()
    (record,) = (line for line in lines if line.startswith("s2048._domainkey.example.org "))
    return record.partition(" TXT ")[2]


_QUERY = re.compile(rb"info: 127\.0\.0\.1 (\S+)\. \S+ IN$", re.MULTILINE)


class Lists:
    """One rbldnsd and one unbound; `port` is unbound's."""

    def __init__(self, top: Path) -> None:
        self.port = free_port()
        self._top = top
        lists = free_port()
        top.mkdir()
        for name, text in ZONES.items():
            (top / name).write_text(text)
        (top / "unbound.conf").write_text(UNBOUND.format(top=top, port=self.port, lists=lists, key=_key()))
        user = ["-u", "nobody"] if os.geteuid() == 0 else []
        zones = ["bl.lab.test:ip4set:bl.ip4", "bl.lab.test:ip6trie:bl.ip6", "names.lab.test:dnset:names.set"]
        zones += ["errors.lab.test:ip4trie:errors.ip4", "turning.lab.test:ip4trie:turning.ip4"]
        serve: list[str | Path] = ["rbldnsd", "-n", "-b", f"127.0.0.1/{lists}", "-w", top, *user, *zones]
        self._rbldnsd = Process(serve, top / "rbldnsd.log")
        self._unbound = Process(["unbound", "-d", "-c", top / "unbound.conf"], top / "unbound.log")
        self.logs = (self._rbldnsd.log, self._unbound.log)

    def wait_ready(self) -> None:
        wait_until(lambda: _answers(self.port, "2.0.0.127.bl.lab.test"), "the list answers through unbound")

    def queries(self) -> list[str]:
        """Return the names that the resolver has been asked for since it was started, in order."""
        return [name.decode("ascii") for name in _QUERY.findall(self._unbound.log.read_bytes())]

    @contextmanager
    def listing_the_world(self) -> Iterator[None]:
        """Let turning.lab.test list every address, as a list does that has been given up."""
        file = self._top / "turning.ip4"
        before = file.read_text()
        try:
            self._rewrite(file, _THE_WORLD)
            yield
        finally:
            self._rewrite(file, before)

    def _rewrite(self, file: Path, text: str) -> None:
        """Have rbldnsd read it again; it looks at the time of the file in whole seconds."""
        late = file.stat().st_mtime + 1
        file.write_text(text)
        os.utime(file, (late, late))
        self._rbldnsd.send(signal.SIGHUP)

    def hang(self) -> None:
        """Let the resolver take queries and answer none."""
        self._unbound.send(signal.SIGSTOP)

    def go_on(self) -> None:
        self._unbound.send(signal.SIGCONT)

    def stop(self) -> None:
        self._unbound.stop()
        self._rbldnsd.stop()


def _answers(port: int, name: str) -> bool:
    """Return whether an A query (RFC 1035) for `name` gets NOERROR and an answer."""
    question = b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0\0\1\0\1"
    with socket.socket(type=socket.SOCK_DGRAM) as client:
        client.settimeout(0.2)
        client.connect(("127.0.0.1", port))
        try:
            client.send(b"\x12\x34\x01\0\0\1\0\0\0\0\0\0" + question)
            reply = client.recv(512)
        except OSError:
            return False
    return reply[3] & 15 == 0 and reply[7] > 0
