"""Postfix on a host of the lab, with its queue and its mailboxes on the replicated disk."""

import re
from pathlib import Path

from cluster_lab.machines.host import Host
from cluster_lab.machines.storage import DEVICE

MOUNT = "/srv/earmark"
RECIPIENT = "user@example.org"
_SENDER = Path(__file__).with_name("sender.py")
_MAIN = f"""
compatibility_level = 3.6
queue_directory = {MOUNT}/queue
data_directory = {MOUNT}/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
maillog_file = /var/log/mail.log
myhostname = mx.example.org
mydestination =
mynetworks = 127.0.0.0/8
inet_interfaces = all
inet_protocols = ipv4
alias_maps =
alias_database =
virtual_mailbox_domains = example.org
virtual_mailbox_maps = static:mail/
virtual_mailbox_base = {MOUNT}
virtual_uid_maps = static:65534
virtual_gid_maps = static:65534
smtpd_recipient_restrictions = reject_unauth_destination
smtpd_peername_lookup = no
in_flow_delay = 0
"""
# "No delivery yet": what is taken stays in the queue.
_WAITING = "defer_transports = virtual\n"
_MASTER = """
smtp      inet  n  -  n  -  -  smtpd
pickup    unix  n  -  n  60 1  pickup
cleanup   unix  n  -  n  -  0  cleanup
qmgr      unix  n  -  n  2  1  qmgr
rewrite   unix  -  -  n  -  -  trivial-rewrite
bounce    unix  -  -  n  -  0  bounce
defer     unix  -  -  n  -  0  bounce
trace     unix  -  -  n  -  0  bounce
flush     unix  n  -  n  1000? 0 flush
proxymap  unix  -  -  n  -  -  proxymap
virtual   unix  -  n  n  -  -  virtual
error     unix  -  -  n  -  -  error
retry     unix  -  -  n  -  -  error
anvil     unix  -  -  n  -  1  anvil
showq     unix  n  -  n  -  -  showq
postlog   unix-dgram n - n  -  1  postlogd
"""
_QUEUES = ("incoming", "active", "deferred")
_NUMBER = re.compile(r"^Subject: message (\d+)$", re.MULTILINE)


class MailService:
    """Postfix on one host. Its disk must be primary there."""

    def __init__(self, host: Host) -> None:
        self._host = host

    def make_disk(self) -> None:
        """Make the file system with what Postfix needs on it."""
        run = self._host.run
        run("mkfs.ext4", "-q", DEVICE)
        self.mount()
        for part, owner in (("queue", "root"), ("data", "postfix"), ("mail", "nobody")):
            run("install", "-d", "-o", owner, f"{MOUNT}/{part}")

    def mount(self) -> None:
        self._host.run("mkdir", "-p", MOUNT)
        self._host.run("mount", DEVICE, MOUNT)

    def unmount(self) -> None:
        self._host.run("umount", MOUNT)

    def start(self, *, delivering: bool) -> None:
        """Start Postfix; without `delivering` all that it takes waits in its queue."""
        self._host.write("/etc/postfix/main.cf", _MAIN + ("" if delivering else _WAITING))
        self._host.write("/etc/postfix/master.cf", _MASTER)
        # postsuper writes there under its own account, and stops where it cannot: then Postfix does not start.
        self._host.run("install", "-o", "postfix", "-m", "0644", "/dev/null", "/var/log/mail.log")
        self._host.run("postfix", "start")

    def stop(self) -> None:
        self._host.run("postfix", "stop")

    def send_to(self, server: str) -> list[int]:
        """Send messages from this host to the one at an address until that is gone; return those it took."""
        said = self._host.run("python3", "-I", "-", server, RECIPIENT, given=_SENDER.read_text())
        return [int(line) for line in said.splitlines() if line.isdigit()]

    def wait_queued(self, number: int) -> None:
        """Return when so many messages are in the queue."""
        queues = " ".join(f"{MOUNT}/queue/{name}" for name in _QUEUES)
        self._host.run("sh", "-c", f"until [ $(find {queues} -type f | wc -l) -ge {number} ]; do sleep 0.1; done")

    def queued(self) -> list[int]:
        """Return the numbers of the messages in the queue, by Postfix's own reading of its files."""
        queues = " ".join(f"{MOUNT}/queue/{name}" for name in _QUEUES)
        text = self._host.run("sh", "-c", f"find {queues} -type f -exec postcat -h {{}} +")
        return [int(number) for number in _NUMBER.findall(text)]

    def leave_unfinished(self) -> None:
        """Leave in the queue what a crash can leave there: a file that was being made, under its first name."""
        name = f"{MOUNT}/queue/incoming/658806.443"
        self._host.run("install", "-o", "postfix", "-m", "0600", "/dev/null", name)

    def deliver(self) -> list[int]:
        """Have the queue delivered; return the numbers of all messages in the mailbox."""
        self._host.run("postqueue", "-f")
        self._host.wait_for("Mail queue is empty", "postqueue", "-p")
        text = self._host.run("sh", "-c", f"cat {MOUNT}/mail/new/*")
        return [int(number) for number in _NUMBER.findall(text)]
