"""A Postfix instance of its own, with the milter lines of deploy/postfix/main.cf.earmark as they stand."""

import shutil
import subprocess
from contextlib import suppress
from pathlib import Path

from e2e_lab.processes import Process, accepts, free_port, told_by, wait_until
from e2e_lab.store import VIRTUAL

LINES = Path(__file__).parents[2] / "deploy" / "postfix" / "main.cf.earmark"
DELEGATION = LINES.with_name("main.cf.earmark-delegation")

MAIN = """
compatibility_level = 3.6
config_directory = {top}/etc
queue_directory = {top}/queue
data_directory = {top}/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
maillog_file = {top}/mail.log
maillog_file_prefixes = {top}
myhostname = mx.lab.test
mydestination =
# else every client on loopback is a trusted relay
mynetworks = 127.0.0.99/32
# else Postfix adds Date, From and Message-Id for clients on loopback, and they look like the sender's
local_header_rewrite_clients =
inet_interfaces = 127.0.0.1
# "all" is what lets XCLIENT claim IPv6 addresses
inet_protocols = all
alias_maps =
alias_database =
enable_long_queue_ids = yes
virtual_mailbox_domains = {domains}
virtual_mailbox_maps = static:{virtual}/
virtual_mailbox_base = {store}
virtual_uid_maps = static:65534
virtual_gid_maps = static:65534
virtual_transport = lmtp:inet:127.0.0.1:{lmtp}
# Dovecot 2.3 speaks no SMTPUTF8 over LMTP: this domain is delivered by virtual(8)
transport_maps = inline:{{ {{ b\u00fccher.test = virtual: }} }}
smtpd_recipient_restrictions = reject_unauth_destination
smtpd_authorized_xclient_hosts = 127.0.0.1
smtpd_peername_lookup = no
smtp_dns_support_level = disabled
default_process_limit = 300
smtpd_client_connection_count_limit = 0
smtpd_hard_error_limit = 1000
smtpd_error_sleep_time = 0
in_flow_delay = 0
# else lines of more than 998 bytes are folded at delivery, and bodies cannot be compared
lmtp_line_length_limit = 0
message_size_limit = 50000000
recipient_delimiter = +
minimal_backoff_time = 1s
maximal_backoff_time = 2s
queue_run_delay = 1s
# else an smtpd that has nothing to do keeps its connection to the policy door, and earmark its descriptor
max_idle = 5s
"""

# The second smtpd has no milter: what it delivers shows what Postfix and Dovecot by themselves make of a message. The
# third and the fourth have one that is not there, with the two other default actions that the milter lines describe.
# The last two have no milter either, and ask by policy delegation: the policy door, and one that is not there.
MASTER = """
{smtp}    inet  n  -  n  -  -  smtpd
{plain}   inet  n  -  n  -  -  smtpd -o smtpd_milters=
{accepting} inet n - n - - smtpd -o {{ smtpd_milters = {{ inet:127.0.0.1:{closed}, default_action=accept }} }}
{quarantining} inet n - n - - smtpd -o {{ smtpd_milters = {{ inet:127.0.0.1:{closed}, default_action=quarantine }} }}
{delegating} inet n - n - - smtpd -o smtpd_milters= -o earmark_policy_socket=inet:127.0.0.1:{policy} {delegation}
{astray}     inet n - n - - smtpd -o smtpd_milters= -o earmark_policy_socket=inet:127.0.0.1:{nobody} {delegation}
pickup    unix  n  -  n  60 1  pickup
cleanup   unix  n  -  n  -  0  cleanup
qmgr      unix  n  -  n  2  1  qmgr
rewrite   unix  -  -  n  -  -  trivial-rewrite
bounce    unix  -  -  n  -  0  bounce
defer     unix  -  -  n  -  0  bounce
trace     unix  -  -  n  -  0  bounce
verify    unix  -  -  n  -  1  verify
flush     unix  n  -  n  1000? 0 flush
proxymap  unix  -  -  n  -  -  proxymap
smtp      unix  -  -  n  -  -  smtp
relay     unix  -  -  n  -  -  smtp
lmtp      unix  -  -  n  -  -  lmtp
virtual   unix  -  n  n  -  -  virtual
error     unix  -  -  n  -  -  error
retry     unix  -  -  n  -  -  error
discard   unix  -  -  n  -  -  discard
anvil     unix  -  -  n  -  1  anvil
scache    unix  -  -  n  -  1  scache
showq     unix  n  -  n  -  -  showq
postlog   unix-dgram n - n  -  1  postlogd
"""


class Postfix:
    """One running instance: `smtp` is the port with earmark before it, `plain` the one without a milter.

    `delegating` asks by policy delegation only, and so does `astray`, of the port `nobody`.
    """

    def __init__(
        self, top: Path, *, milter: int, lmtp: int, store: Path, domains: str, smtp: int = 0, policy: int = 0
    ) -> None:
        """Start it; `smtp` is a free port to use, `policy` the policy door's."""
        self.smtp = smtp or free_port()
        self.delegating, self.astray, self.nobody = (free_port() for _ in range(3))
        self._policy = policy or self.nobody
        self.plain, self.accepting, self.quarantining = (free_port() for _ in range(3))
        self.log = top / "mail.log"
        self.configuration = top / "etc"
        self._queue = top / "queue"
        for part in ("etc", "queue", "data"):
            (top / part).mkdir(parents=True)
        shutil.chown(top / "data", "postfix")
        main = MAIN.format(top=top, domains=domains, store=store, lmtp=lmtp, virtual=VIRTUAL)
        socket = f"earmark_socket = inet:127.0.0.1:{milter}\n"
        (self.configuration / "main.cf").write_text(main + _without_socket(LINES.read_text()) + socket)
        (self.configuration / "master.cf").write_text(self._master())
        self._process = Process(["postfix", "-c", self.configuration, "start-fg"], top / "out")

    def _master(self) -> str:
        return MASTER.format(
            smtp=self.smtp,
            plain=self.plain,
            accepting=self.accepting,
            quarantining=self.quarantining,
            closed=free_port(),
            delegating=self.delegating,
            policy=self._policy,
            astray=self.astray,
            nobody=self.nobody,
            delegation=_delegation(),
        )

    def wait_ready(self) -> None:
        wait_until(lambda: accepts(self.smtp) and accepts(self.plain), "Postfix accepts connections")

    def queued(self) -> list[Path]:
        """Return the queue files that are still to be delivered."""
        return [file for name in ("incoming", "active", "deferred") for file in _files(self._queue / name)]

    def held(self) -> list[Path]:
        """Return the queue files in quarantine."""
        return _files(self._queue / "hold")

    def discard_held(self) -> None:
        """Delete what is in quarantine."""
        told_by("postsuper", "-c", self.configuration, "-d", "ALL", "hold")

    def stop(self) -> None:
        """End the master, then the script in the foreground, which by itself would leave the master running."""
        with suppress(subprocess.CalledProcessError):  # it never got as far as a master
            told_by("postfix", "-c", self.configuration, "stop")
        self._process.stop()


def _without_socket(lines: str) -> str:
    """Postfix warns of a parameter that is set twice; the socket is the one thing that the tests set themselves."""
    return "".join(line for line in lines.splitlines(keepends=True) if not line.startswith("earmark_socket"))


def _delegation() -> str:
    """Return the restrictions of deploy/postfix/main.cf.earmark-delegation as an option of master.cf."""
    lines = [line for line in DELEGATION.read_text().splitlines() if not line.startswith("#")]
    start = lines.index("smtpd_recipient_restrictions =")
    end = lines.index("", start)
    return f"-o {{ {' '.join(' '.join(lines[start:end]).split())} }}"


def _files(directory: Path) -> list[Path]:
    return [file for file in directory.rglob("*") if file.is_file()] if directory.exists() else []
