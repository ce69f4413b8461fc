"""Exim, unpacked beside Postfix, with the files of deploy/exim as they stand."""

import shutil
from contextlib import suppress
from pathlib import Path

from e2e_lab import smtp
from e2e_lab.exim_sessions import Sessions
from e2e_lab.processes import Process, accepts, free_port, told_by, wait_until
from e2e_lab.smtp import CLEAN, SENDER, Peer, Sent
from e2e_lab.store import VIRTUAL

ROOT = Path(__file__).parents[2]
LINES = ROOT / "deploy" / "exim"
UNPACKED = ROOT / ".venv" / "exim"
"""Where `unpack-exim` puts Debian's packages."""
BINARY = UNPACKED / "usr/sbin/exim4"

MAIN = """
# else Exim runs an installed one for its children
exim_path = {binary}
# else deliveries want a set-uid program
deliver_drop_privilege = true
keep_environment =
spool_directory = {top}/spool
log_file_path = {top}/log/%slog
pid_file_path = {top}/pid
primary_hostname = mx.lab.test
domainlist local_domains = {domains}
acl_smtp_mail = MAIN_ACL_CHECK_MAIL
acl_smtp_rcpt = MAIN_ACL_CHECK_RCPT
acl_smtp_data = MAIN_ACL_CHECK_DATA
prdr_enable = true
# a reverse name is claimed, or there is none: never asked of the machine's own resolver
host_lookup =
host_lookup_order =
tls_advertise_hosts =
# bounces to nobody's addresses are not kept
ignore_bounce_errors_after = 0s
# as many as Postfix takes
received_headers_max = 50
message_size_limit = 50M
smtp_max_unknown_commands = 100
smtp_accept_max_nonmail = 1000
smtp_accept_queue_per_connection = 0
.ifdef DAEMON
daemon_smtp_ports = DAEMON
local_interfaces = 127.0.0.1
# who connects to the daemon says for whom, as a proxy does
hosts_proxy = 127.0.0.1
smtp_accept_max = 400
.endif
"""

SITE_ACLS = """
acl_check_mail:
  accept
acl_check_rcpt:
  discard
    local_parts = discarded
  require
    message = relay not permitted
    domains = +local_domains
  accept
acl_check_data:
  accept
"""

# Dovecot 2.3 speaks no SMTPUTF8 over LMTP: that domain is delivered into a Maildir, as by Postfix.
DELIVERY = """
idn:
  driver = accept
  domains = b\u00fccher.test : xn--bcher-kva.test
  transport = maildir
mailboxes:
  driver = accept
  domains = +local_domains
  transport = lmtp

begin transports

maildir:
  driver = appendfile
  maildir_format
  directory = {maildir}
  headers_add = Delivered-To: $local_part@$domain
lmtp:
  driver = smtp
  protocol = lmtp
  hosts = 127.0.0.1
  port = {lmtp}
  hosts_override
  allow_localhost
  # else longer lines than SMTP has make a bounce, and bodies cannot be compared
  message_linelength_limit = 100000000

begin retry

*  *  F,1h,1s

begin authenticators

plain:
  driver = plaintext
  public_name = PLAIN
  server_advertise_condition = true
  server_condition = true
  server_set_id = $auth2
"""

ALONE = """
MAIN_ACL_CHECK_MAIL = acl_check_mail
MAIN_ACL_CHECK_RCPT = acl_check_rcpt
MAIN_ACL_CHECK_DATA = acl_check_data
"""


def missing() -> str:
    """Return why there is no Exim here; "" where there is."""
    return "" if BINARY.exists() else f"not unpacked: Exim (tests/e2e_lab/unpack-exim {UNPACKED.relative_to(ROOT)})"


class Exim:
    """One running instance.

    `smtp` is a port where a client may claim to be anyone, as it may with Postfix; on `plain` Exim does not ask
    earmark. On `daemon` the daemon itself listens, to whom one speaks the PROXY protocol first.
    """

    def __init__(self, top: Path, *, policy: int, content: int, lmtp: int, store: Path, domains: str) -> None:
        """Start it; `policy` and `content` are the ports of earmark's doors, `domains` has commas as for Postfix."""
        self.top = top
        self.log = top / "log" / "mainlog"
        self.logs = (self.log, top / "log" / "paniclog")
        self._spool = top / "spool"
        maildir = store / f"{VIRTUAL}-exim"
        for directory in (top, self._spool, self.log.parent, maildir):
            directory.mkdir()
            shutil.chown(directory, "Debian-exim", "Debian-exim")
        # copies: Exim's own account need not be able to reach the checkout
        self._binary = Path(shutil.copy(BINARY, top))
        self._files = shutil.copytree(LINES, top / "earmark")
        self._values = {
            "top": top,
            "binary": self._binary,
            "maildir": maildir,
            "lmtp": lmtp,
            "domains": domains.replace(",", " :"),
        }
        self._doors = {
            "EARMARK_POLICY_DOOR": f"inet:127.0.0.1:{policy}",
            "EARMARK_CONTENT_DOOR": f"127.0.0.1 {content}",
        }
        self._sessions: list[Sessions] = []
        self.smtp = self.listen()
        self.plain = self._serve(self._write("plain", ALONE, "", ""))
        self.daemon = free_port()
        daemon: list[str | Path] = [self._binary, "-C", top / "earmark.conf", f"-DDAEMON={self.daemon}", "-bdf", "-q1s"]
        self._process = Process(daemon, top / "out")

    def listen(self, name: str = "earmark", **macros: str) -> int:
        """Return another port, with macros of deploy/exim/main as given here; `name` is new for each."""
        lines = "".join(f"{macro} = {value}\n" for macro, value in {**self._doors, **macros}.items())
        files = self._files
        lines += f"EARMARK_FILES = {files}\n.include {files}/main\n"
        return self._serve(self._write(name, lines, f".include {files}/acls\n", f".include {files}/routers\n"))

    def _write(self, name: str, main: str, acls: str, routers: str) -> Path:
        """Write a configuration. Exim reads none that others than root may write."""
        configuration = self.top / f"{name}.conf"
        parts = (main, MAIN.format(**self._values), "begin acl\n", acls, SITE_ACLS)
        configuration.write_text("".join((*parts, "begin routers\n", routers, DELIVERY.format(**self._values))))
        configuration.chmod(0o644)
        return configuration

    def _serve(self, configuration: Path) -> int:
        sessions = Sessions([self._binary, "-C", configuration])
        self._sessions.append(sessions)
        return sessions.port

    def wait_ready(self) -> None:
        wait_until(lambda: accepts(self.daemon), "Exim accepts connections")

    def send(
        self,
        message: bytes,
        *recipients: str,
        peer: Peer = CLEAN,
        sender: str = SENDER,
        bdat: bool = False,
        parameters: str = "",
    ) -> Sent:
        """Send one message through Exim with earmark before it."""
        return smtp.send(self.smtp, peer, sender, recipients, message, bdat=bdat, parameters=parameters)

    def is_idle(self) -> bool:
        """Return whether nothing is left to be delivered."""
        return all(_is_frozen(header) for _, header in self._queue())

    def held(self) -> list[str]:
        """Return the ids of the messages that are frozen."""
        return [id_ for id_, header in self._queue() if _is_frozen(header)]

    def _queue(self) -> list[tuple[str, bytes]]:
        """Return what waits, by id, with its spool file; delivery takes files away while we look."""
        found = []
        for file in self._spool.glob("input/*-H"):
            with suppress(FileNotFoundError):
                found.append((file.name.removesuffix("-H"), file.read_bytes()))
        return found

    def discard_held(self) -> None:
        """Delete what is frozen."""
        for id_ in self.held():
            told_by(self._binary, "-C", self.top / "earmark.conf", "-Mrm", id_)

    def stop(self) -> None:
        for sessions in self._sessions:
            sessions.stop()
        self._process.stop()


def _is_frozen(header: bytes) -> bool:
    """Return whether a message's spool file says so, before its list of recipients."""
    return b"\n-frozen " in header.partition(b"\nXX\n")[0]
