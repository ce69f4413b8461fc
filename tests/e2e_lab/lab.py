"""The lab: Postfix, Exim or Sendmail -> earmark -> Dovecot; behind earmark rbldnsd, unbound, clamd and spamd."""

import io
import json
import os
import shutil
import tempfile
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from e2e_lab import exim, scanners, sendmail, smtp
from e2e_lab.configuration import DOMAINS as CONFIGURED
from e2e_lab.dovecot import IMAP, Dovecot
from e2e_lab.exim import Exim
from e2e_lab.lists import Lists
from e2e_lab.postfix import Postfix
from e2e_lab.processes import PATH, free_port, wait_until
from e2e_lab.scanners import Scanners
from e2e_lab.sendmail import Sendmail
from e2e_lab.service import Service, Usage
from e2e_lab.smtp import CLEAN, SENDER, Peer, Sent
from e2e_lab.store import Delivery, read_store
from earmark.log import Log
from earmark.stores.quarantine_files import ids, remove
from earmark.stores.quarantine_index import forget, opened

NEEDED = ("postfix", "dovecot", "sievec", "rbldnsd", "unbound")
DOMAINS = ", ".join((*CONFIGURED, "xn--bcher-kva.test"))
QUARANTINE = """
[quarantine]
submission = "inet:127.0.0.1:{smtp}"
"""
DOORS = """
[policy]
listen = ["inet:127.0.0.1:{policy}"]
[exim]
listen = ["inet:127.0.0.1:{content}"]
"""


def missing() -> str:
    """Return why the lab cannot run here; "" where it can."""
    absent = [name for name in NEEDED if shutil.which(name, path=PATH) is None]
    absent += [] if IMAP.exists() else ["dovecot-imapd"]
    if absent:
        return f"not installed: {', '.join(absent)}"
    if reason := scanners.missing():
        return reason
    return "" if os.geteuid() == 0 else "Postfix starts as root only"


class Lab:
    """All servers, up from the constructor to `stop`. Each test calls `begin` first: the store is then empty."""

    def __init__(self) -> None:
        # /tmp and 0755: the servers' own accounts must be able to walk here, and paths of unix sockets are short
        self.top = Path(tempfile.mkdtemp(prefix="earmark-e2e-", dir="/tmp"))
        self.top.chmod(0o755)
        self.store = self.top / "store"
        with ExitStack() as started:
            started.callback(shutil.rmtree, self.top)
            self.scanners = Scanners(self.top / "scanners")
            started.callback(self.scanners.stop)
            self.lists = Lists(self.top / "lists")
            started.callback(self.lists.stop)
            self.dovecot = Dovecot(self.top / "dovecot", self.store)
            started.callback(self.dovecot.stop)
            smtp_port, self.policy_door, self.content_door = free_port(), free_port(), free_port()
            more = self.scanners.server_toml() + QUARANTINE.format(smtp=smtp_port)
            more += DOORS.format(policy=self.policy_door, content=self.content_door)
            self.service = Service(self.top / "earmark", self.lists.port, more)
            started.callback(self.service.stop)
            self.postfix = Postfix(
                self.top / "postfix",
                milter=self.service.port,
                lmtp=self.dovecot.port,
                store=self.store,
                domains=DOMAINS,
                smtp=smtp_port,
                policy=self.policy_door,
            )
            started.callback(self.postfix.stop)
            self.exim = self._exim(started)
            self.sendmail = self._sendmail(started)
            self._started = started.pop_all()
        self.logs: tuple[Path, ...] = (
            self.service.log,
            self.postfix.log,
            self.dovecot.log,
            *self.lists.logs,
            *self.scanners.logs,
        )
        self.logs += self.exim.logs if self.exim else ()
        self.logs += self.sendmail.logs if self.sendmail else ()
        self._log_starts: dict[Path, int] = {}
        self._began = ""
        self.at_rest = Usage(0, 0, 0)

    def _exim(self, started: ExitStack) -> Exim | None:
        """Return Exim, where it has been unpacked."""
        if exim.missing():
            return None
        one = Exim(
            self.top / "exim",
            policy=self.policy_door,
            content=self.content_door,
            lmtp=self.dovecot.port,
            store=self.store,
            domains=DOMAINS,
        )
        started.callback(one.stop)
        return one

    def _sendmail(self, started: ExitStack) -> Sendmail | None:
        """Return Sendmail, where it has been unpacked and can have a network of its own."""
        if sendmail.missing():
            return None
        domains = " ".join(filter(str.isascii, CONFIGURED))
        one = Sendmail(self.top / "sendmail", milter=self.service.socket, lmtp=self.dovecot.socket, domains=domains)
        started.callback(one.stop)
        return one

    def wait_ready(self) -> None:
        """Wait for all servers, send a first message through them, and note what earmark then uses."""
        for server in (self.lists, self.dovecot, self.scanners, self.service, self.postfix):
            server.wait_ready()
        if self.exim:
            self.exim.wait_ready()
        if self.sendmail:
            self.sendmail.wait_ready()
        self.begin()
        self.send(b"Subject: first\n\nfirst\n", "first@lab.test")
        self.settle()
        self.at_rest = self.service.usage()

    def stop(self) -> None:
        self._started.close()

    def begin(self) -> None:
        """Empty the store and the quarantine, and forget what the logs have said so far."""
        for copy in self.deliveries():
            copy.file.unlink()
        self._empty_quarantine()
        self._began = datetime.now(UTC).isoformat(timespec="milliseconds")[:-6] + "Z"
        self._log_starts = {log: log.stat().st_size for log in self.logs if log.exists()}

    def _empty_quarantine(self) -> None:
        directory = self.service.quarantine
        if directory.is_dir() and (messages := ids(directory)):
            with opened(directory, Log(io.BytesIO())) as index:
                for message in messages:
                    remove(directory, message)
                    forget(index, message)

    def logged(self) -> list[tuple[str, str]]:
        """Return what each server has logged since `begin`, by its name."""
        return [(f"{log.parent.name}/{log.name}", _from(log, self._log_starts.get(log, 0))) for log in self.logs]

    def verdicts(self) -> list[dict[str, Any]]:
        """Return the verdict events since `begin`. Events are written in batches: an older one may be written later."""
        start = self._log_starts.get(self.service.log, 0)
        events = self.service.events(start)
        return [event for event in events if event["event"] == "verdict" and event["time"] >= self._began]

    def send(
        self,
        message: bytes,
        *recipients: str,
        peer: Peer = CLEAN,
        sender: str = SENDER,
        bdat: bool = False,
        parameters: str = "",
    ) -> Sent:
        """Send one message through Postfix with earmark before it."""
        return smtp.send(self.postfix.smtp, peer, sender, recipients, message, bdat=bdat, parameters=parameters)

    def settle(self) -> None:
        """Wait until all MTAs have delivered all that they took."""
        wait_until(lambda: not self.postfix.queued(), "Postfix's queue is empty", within=60)
        if self.exim:
            wait_until(self.exim.is_idle, "Exim's queue is empty", within=60)
        if self.sendmail:
            wait_until(self.sendmail.is_idle, "Sendmail's queue is empty", within=60)

    def deliveries(self, recipient: str = "") -> list[Delivery]:
        """Return the copies in the store: all of them, or one recipient's."""
        self.settle()
        return [copy for copy in read_store(self.store) if recipient in ("", copy.recipient)]

    def delivery(self, recipient: str) -> Delivery:
        """Return the one copy that a recipient got."""
        (copy,) = self.deliveries(recipient)
        return copy

    def take(self, recipient: str) -> list[Delivery]:
        """Return the copies that a recipient got, and take them out of the store."""
        copies = self.deliveries(recipient)
        for copy in copies:
            copy.file.unlink()
        return copies

    def held(self) -> list[dict[str, Any]]:
        """Return a row for each recipient for whom a message is in our quarantine."""
        directory = self.service.quarantine
        if not directory.is_dir() or not ids(directory):
            return []
        listed = self.service.run("quarantine", "list", "--json")
        assert listed.returncode == 0, listed.stderr
        rows: list[dict[str, Any]] = json.loads(listed.stdout)["held"]
        return rows

    def without_earmark(self, sent: Sent) -> bytes:
        """Return what the store holds of the same message when Postfix asks no milter."""
        alone = smtp.send(self.postfix.plain, sent.peer, sent.sender, ["alone@lab.test"], sent.message)
        assert alone.queue_id, alone
        (copy,) = self.take("alone@lab.test")
        return copy.message


def _from(log: Path, start: int) -> str:
    if not log.exists():  # its server never got that far
        return ""
    with log.open("rb") as file:
        file.seek(start)
        return file.read().decode("utf-8", "replace")
