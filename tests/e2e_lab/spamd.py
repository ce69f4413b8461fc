"""Real spamd with the rules that Debian ships, its site configuration private, and rules of the lab's own.

It uses the file of deploy/spamassassin as it stands. Without `resolver` no rule asks the network (spamd -L).
"""

import getpass
import math
import os
import shutil
import signal
import socket
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

from e2e_lab.configuration import OWN_NETWORK
from e2e_lab.processes import PATH, Process, free_port, told_by, wait_until

SHIPPED = Path(__file__).parents[2] / "deploy" / "spamassassin"
SITE = Path("/etc/spamassassin")
PACKAGED = Path("/usr/share/spamassassin")
"""The rules of Debian's package, whatever sa-update has fetched here since."""
REPLY_WITHIN = 60.0
GTUBE = b"XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X"

RULES = """
required_score 5.0
# the lab's own network; where none is named, SpamAssassin guesses which hosts it may trust
trusted_networks {own}
internal_networks {own}
# known scores; SpamAssassin shows the second as 4.9
body     LAB_SPAM_3  /LABSPAM3/
describe LAB_SPAM_3  Three points
score    LAB_SPAM_3  3.0
body     LAB_ROUND   /LABROUND/
describe LAB_ROUND   Just below five points
score    LAB_ROUND   4.96
# the documentation ranges, which all mails of the tests come from, count as illegal
score    RCVD_ILLEGAL_IP 0
# what it found, in a form that is not the one that earmark reads
add_header all Lab _LASTEXTERNALIP_ _TESTSSCORES(,)_
"""
LOCAL = "dns_available no\n"
NETWORK = "dns_available yes\ndns_server 127.0.0.1:{resolver}\nuse_pyzor 0\nuse_razor2 0\n"
LEARNING = "bayes_auto_learn 0\nbayes_path {top}/bayes\n"
NO_LEARNING = "use_bayes 0\n"


def missing() -> str:
    """Return why there can be none here; "" where there can."""
    return "" if shutil.which("spamd", path=PATH) else "not installed: spamd"


class Scan(NamedTuple):
    """What spamd says of a message."""

    score: int
    """The sum of the rules' scores in hundredths of a point, rounded down."""
    last_external: str
    """The address that it took for the host that handed the message over; "" for none."""
    rules: dict[str, Decimal]


class Spamd:
    """One spamd: `wait_ready` returns a second to three after the constructor, or after `reload`.

    `endpoint` is its address as server.toml wants it. `top` must be a directory that the account nobody can walk to.
    """

    def __init__(
        self,
        top: Path,
        *,
        children: int = 2,
        resolver: int | None = None,
        learning: bool = False,
        unix: bool = False,
        rules: str = "",
        preferences: Mapping[str, str] | None = None,
    ) -> None:
        """Begin to start it.

        `resolver` is a port of 127.0.0.1; `learning` allows TELL and uses Bayes; `rules` are further lines of the site;
        `preferences` are lines for those who ask as that `User:`.
        """
        self.port = 0 if unix else free_port()
        self.path = top / "spamd.sock"
        self.endpoint = f"unix:{self.path}" if unix else f"inet:127.0.0.1:{self.port}"
        self.log = top / "log"
        self._top = top
        top.mkdir()
        network = LOCAL if resolver is None else NETWORK.format(resolver=resolver)
        self._write_site(top / "site", network + (LEARNING.format(top=top) if learning else NO_LEARNING) + rules)
        for user, lines in (preferences or {}).items():
            (top / "users" / user).mkdir(parents=True)
            (top / "users" / user / "user_prefs").write_text(lines)
        listen = f"--socketpath={self.path}" if unix else f"--listen=127.0.0.1:{self.port}"
        options = [f"--configpath={PACKAGED}", f"--siteconfigpath={top / 'site'}", listen]
        options += [f"--max-children={children}", "--min-children=1"]
        options += ["--nouser-config", f"--virtual-config-dir={top / 'users'}/%u", "--syslog=stderr"]
        options += [f"--username={'nobody' if os.geteuid() == 0 else getpass.getuser()}"]
        options += ["--local"] if resolver is None else []
        options += ["--allow-tell"] if learning else []
        if os.geteuid() == 0:
            shutil.chown(top, "nobody", "nogroup")
        self._process = Process([*_as_nobody(), "spamd", *options], self.log)

    def _write_site(self, site: Path, text: str) -> None:
        """Write the site's configuration: Debian's plug-ins, what we ship, and the lab's lines, which come last."""
        site.mkdir()
        for file in (*SITE.glob("*.pre"), *SHIPPED.glob("*.cf")):
            shutil.copy(file, site)
        (site / "zz_lab.cf").write_text(RULES.format(own=OWN_NETWORK) + text)

    @property
    def pid(self) -> int:
        return self._process.pid

    def wait_ready(self) -> None:
        """Return once it answers; its port accepts long before the rules are compiled."""
        wait_until(self.answers, "spamd answers PING")

    def answers(self) -> bool:
        """Return whether it says PONG at once."""
        try:
            return b" PONG\r\n" in self.ask("PING", within=1)
        except OSError:
            return False

    def ask(self, command: str, message: bytes = b"", *headers: str, within: float = REPLY_WITHIN) -> bytes:
        """Send one request and return the whole reply. Raises OSError where there is none in time."""
        family, address = (socket.AF_INET, ("127.0.0.1", self.port)) if self.port else (socket.AF_UNIX, str(self.path))
        head = "".join(f"{line}\r\n" for line in (f"{command} SPAMC/1.5", *headers))
        with socket.socket(family) as connection:
            connection.settimeout(within)
            connection.connect(address)
            connection.sendall(f"{head}\r\n".encode() + message)
            connection.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: connection.recv(65536), b""))

    def scan(self, message: bytes) -> Scan:
        """Return what it says of these very bytes."""
        reply = self.ask("HEADERS", message, f"Content-length: {len(message)}")
        unfolded = reply.replace(b"\r\n", b"\n").replace(b"\n\t", b"").decode("latin-1")
        said = next(line for line in unfolded.split("\n") if line.startswith("X-Spam-Lab: "))
        external, _, tests = said.removeprefix("X-Spam-Lab: ").partition(" ")
        rules = [test.split("=") for test in tests.split(",") if "=" in test]
        scores = {name: Decimal(score) for name, score in rules}
        return Scan(math.floor(100 * sum(scores.values())), external, scores)

    def learnt(self) -> tuple[int, int]:
        """Return how many messages its Bayes database knows as spam and as ham, as SpamAssassin's own tool tells it."""
        if not (self._top / "bayes_toks").exists():
            return 0, 0
        alone = self._top / "alone"
        alone.mkdir(exist_ok=True)
        (alone / "bayes.pre").write_text("loadplugin Mail::SpamAssassin::Plugin::Bayes\n")
        dump = ["sa-learn", "--dump", "magic", f"--dbpath={self._top / 'bayes'}", "--prefspath=/dev/null"]
        rows = told_by(*_as_nobody(), *dump, f"--siteconfigpath={alone}", f"--configpath={alone}").stdout.splitlines()
        counted = {row.rpartition("non-token data: ")[2]: int(row.split()[2]) for row in rows}
        return counted["nspam"], counted["nham"]

    def reload(self) -> None:
        """Let it read its rules again, as after sa-update. It answers nobody meanwhile: wait with `wait_ready`."""
        self._process.send(signal.SIGHUP)

    def hang(self) -> None:
        """Stop parent and children: connections are taken, and nothing is said."""
        for pid in self._family():
            os.kill(pid, signal.SIGSTOP)

    def go_on(self) -> None:
        for pid in self._family():
            os.kill(pid, signal.SIGCONT)

    def stop(self) -> None:
        self.go_on()
        self._process.stop()

    def _family(self) -> list[int]:
        if not self._process.running:
            return []
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text()
        return [self.pid, *map(int, children.split())]


def _as_nobody() -> list[str]:
    """Return what starts a program as another than root; it need not be root for anything."""
    return ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"] if os.geteuid() == 0 else []
