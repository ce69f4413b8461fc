"""A Sendmail instance of its own, with deploy/sendmail/earmark.m4 as it stands, in a network of its own.

Sendmail has no XCLIENT: whoever is claimed to connect must connect. So it runs where this host has all addresses of the
documentation ranges (`network`), and reaches earmark and Dovecot by unix sockets.
"""

from pathlib import Path

from e2e_lab import network, smtp
from e2e_lab.network import Network
from e2e_lab.processes import Process, told_by, wait_until
from e2e_lab.smtp import CLEAN, SENDER, Client, Peer, Sent

ROOT = Path(__file__).parents[2]
UNPACKED = ROOT / ".venv" / "sendmail"
"""Where `./dev test` has tests/e2e_lab/unpack-sendmail put it."""
PROGRAM = UNPACKED / "usr" / "libexec" / "sendmail" / "sendmail"
M4 = UNPACKED / "usr" / "share" / "sendmail" / "cf"
LINES = ROOT / "deploy" / "sendmail" / "earmark.m4"
PORT = 25

FORGED, UNTOLD, NAMELESS = "192.0.2.11", "192.0.2.12", "192.0.2.13"
"""Addresses whose name does not lead back, cannot be asked for, and does not exist."""
NAMES = """
mx.lab.test.                      A     127.0.0.1
10.2.0.192.in-addr.arpa.          PTR   mail.sender.test.
mail.sender.test.                 A     192.0.2.10
25.2.0.192.in-addr.arpa.          PTR   relay.lab.test.
relay.lab.test.                   A     192.0.2.25
11.2.0.192.in-addr.arpa.          PTR   forged.sender.test.
forged.sender.test.               A     192.0.2.99
12.2.0.192.in-addr.arpa.          SERVFAIL
"""

# Names are asked for once, and no load of this machine holds mail up. A message is delivered before its sender goes on
# ("interactive"): by LMTP on a unix socket ("FILE"), with the whole address, and lines as long as they are ("L=0").
CONFIGURATION = """
OSTYPE(`linux')dnl
define(`QUEUE_DIR', `{top}/queue')dnl
define(`confPID_FILE', `{top}/pid')dnl
define(`STATUS_FILE', `')dnl
define(`ALIAS_FILE', `')dnl
define(`HELP_FILE', `')dnl
define(`confTO_IDENT', `0')dnl
define(`confQUEUE_LA', `1000')dnl
define(`confREFUSE_LA', `1000')dnl
define(`confDELIVERY_MODE', `interactive')dnl
define(`confALLOW_BOGUS_HELO', `True')dnl
define(`confAUTH_MECHANISMS', `ANONYMOUS')dnl
TRUST_AUTH_MECH(`ANONYMOUS')dnl
define(`confDONT_BLAME_SENDMAIL', `TrustStickyBit')dnl
FEATURE(`nocanonify')dnl
FEATURE(`accept_unresolvable_domains')dnl
FEATURE(`no_default_msa')dnl
RELAY_DOMAIN(`{domains}')dnl
DAEMON_OPTIONS(`Name=IPv4, Family=inet, Addr=127.0.0.1, Port={port}')dnl
DAEMON_OPTIONS(`Name=IPv6, Family=inet6, Addr=::1, Port={port}')dnl
define(`EARMARK_SOCKET', `unix:{milter}')dnl
include(`{lines}')dnl
MAILER(`smtp')dnl
LOCAL_RULE_0
R$* < @ $+ . > $*\t$#dovecot $@ dovecot $: $1 < @ $2 . > $3
R$* < @ $+ > $*\t$#dovecot $@ dovecot $: $1 < @ $2 > $3
MAILER_DEFINITIONS
Mdovecot, P=[IPC], F=8lsDFMnXz/:|, E=\\r\\n, L=0, S=EnvFromSMTP/HdrFromSMTP, R=EnvToSMTP/HdrFromSMTP,
\tT=DNS/RFC822/SMTP, A=FILE {lmtp}
"""


def missing() -> str:
    """Return why there can be none here; "" where there can."""
    if not PROGRAM.exists():
        return f"not unpacked: Sendmail (tests/e2e_lab/unpack-sendmail {UNPACKED.relative_to(ROOT)})"
    return network.missing()


class Sendmail:
    """One running instance."""

    def __init__(self, top: Path, *, milter: Path, lmtp: Path, domains: str) -> None:
        """Start it; `milter` and `lmtp` are the unix sockets of earmark and Dovecot, `domains` has blanks between."""
        self._queue = top / "queue"
        self._queue.mkdir(parents=True)
        self._configuration = top / "sendmail.cf"
        source = top / "sendmail.mc"
        source.write_text(
            CONFIGURATION.format(top=top, milter=milter, lmtp=lmtp, domains=domains, lines=LINES, port=PORT)
        )
        self._configuration.write_text(told_by("m4", f"-D_CF_DIR_={M4}/", M4 / "m4" / "cf.m4", source).stdout)
        self._network = Network(top / "network", "mx.lab.test", NAMES)
        self._network.wait_ready()
        traffic = top / "traffic"
        command = self._network.inside(PROGRAM, "-bD", f"-C{self._configuration}", "-X", traffic)
        self._process = Process(command, top / "out")
        self.logs = (traffic, self._process.log, self._network.log)

    def wait_ready(self) -> None:
        addresses = ("192.0.2.10", "2001:db8::10")
        wait_until(lambda: all(map(self._accepts, addresses)), "Sendmail accepts connections")

    def _accepts(self, address: str) -> bool:
        try:
            self._network.connect(address, PORT).close()
        except OSError:
            return False
        return True

    def connect(self, address: str) -> Client:
        """Return a connection from an address of the documentation ranges."""
        return Client(self._network.connect(address, PORT))

    def send(
        self, message: bytes, *recipients: str, peer: Peer = CLEAN, sender: str = SENDER, parameters: str = ""
    ) -> Sent:
        """Send one message through Sendmail with earmark before it.

        The peer's name is what NAMES says, and not for the test to claim; its login is "anonymous" or "".
        """
        sent = smtp.unanswered(peer, sender, recipients, message)
        with self.connect(peer.address) as client:
            greeted = client.command(f"EHLO {peer.helo}")
            if peer.login:
                greeted = greeted._replace(code=250 if client.command("AUTH ANONYMOUS bWU=").code == 235 else 535)
            client.transact_after(greeted, sent, parameters=parameters)
            client.command("QUIT")
        return sent

    def is_idle(self) -> bool:
        """Return whether nothing is left to be delivered."""
        return not any(self._queue.glob("[qx]f*"))

    def held(self) -> list[str]:
        """Return the queue ids of what is in quarantine."""
        return [file.name.removeprefix("hf") for file in self._queue.glob("hf*")]

    def run(self, *arguments: str) -> str:
        """Run Sendmail as a command with the same configuration, and return what it printed."""
        return told_by(*self._network.inside(PROGRAM, f"-C{self._configuration}", *arguments)).stdout

    def discard_held(self) -> None:
        """Delete what is in quarantine."""
        for queue_id in self.held():
            (self._queue / f"hf{queue_id}").unlink()
            (self._queue / f"df{queue_id}").unlink()

    def stop(self) -> None:
        self._process.stop()
        self._network.stop()
