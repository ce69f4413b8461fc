"""An SMTP client that says exactly what it is told, claims any client by XCLIENT, and can retry as an MTA does."""

import re
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Self

_QUEUED = re.compile(r"(?:queued as |\bid=|2\.0\.0 (?=\w+ Message))([\w-]+)")
"""As Postfix and Exim put it."""
_VERDICT = re.compile(r"\(id (\w{12})\)")
REPLY_WITHIN = 60.0


class Reply(NamedTuple):
    """An SMTP reply; `lines` without their codes."""

    code: int
    lines: tuple[str, ...]

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    @property
    def said(self) -> str:
        """The text on one line: Exim breaks a long one, and begins each line with the enhanced code."""
        first, *others = self.lines or ("",)
        return " ".join([first, *(line.removeprefix(first.partition(" ")[0] + " ") for line in others)])

    @property
    def verdict_ids(self) -> set[str]:
        """The verdict ids that it quotes: one at most, but for what a test makes up."""
        return set(_VERDICT.findall(self.said))


class Peer(NamedTuple):
    """Whom the client claims to be."""

    address: str = "192.0.2.10"
    name: str = "mail.sender.test"
    helo: str = "mail.sender.test"
    login: str = ""
    """The user as whom it has authenticated; "" for nobody."""


CLEAN = Peer()
SENDER = "someone@sender.test"


@dataclass(slots=True)
class Sent:
    """One transaction as the client saw it."""

    peer: Peer
    sender: str
    message: bytes
    recipients: dict[str, Reply] = field(default_factory=dict)
    final: Reply | None = None
    """The answer to the message; None where no recipient was left to send it to, or the connection broke."""
    after_data: dict[str, Reply] = field(default_factory=dict)
    """The answers for single recipients after DATA, where PRDR was asked for and granted."""
    stored_as: bytes | None = None
    """What the store should hold where that is not the message as sent: what Postfix alone makes of it."""

    @property
    def queue_id(self) -> str:
        """The queue id of a message that was answered 250 for somebody; "" for any other."""
        found = _QUEUED.search(self.final.text) if self.final and self.final.code == 250 and self.taken else None
        return found[1] if found else ""

    @property
    def accepted(self) -> list[str]:
        return [recipient for recipient, reply in self.recipients.items() if reply.code == 250]

    @property
    def taken(self) -> list[str]:
        """Those of the accepted who were accepted after DATA as well."""
        return [one for one in self.accepted if one not in self.after_data or self.after_data[one].code == 250]

    @property
    def put_off(self) -> bool:
        """Whether anything was answered 4xx."""
        return any(400 <= reply.code < 500 for reply in self._replies)

    @property
    def _replies(self) -> list[Reply]:
        return [*self.recipients.values(), *self.after_data.values(), *([self.final] if self.final else [])]

    @property
    def verdict_ids(self) -> set[str]:
        """The verdict ids quoted in refusals."""
        return {found for reply in self._replies for found in reply.verdict_ids}


class Client:
    """One SMTP connection."""

    def __init__(self, server: int | socket.socket) -> None:
        """Connect to a port of 127.0.0.1, or speak on a connection that has been made."""
        if isinstance(server, int):
            server = socket.create_connection(("127.0.0.1", server), REPLY_WITHIN)
        self._socket = server
        self._replies = self._socket.makefile("rb")
        self.greeting = self.reply()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def close(self) -> None:
        self._replies.close()
        self._socket.close()

    def send(self, raw: bytes) -> None:
        self._socket.sendall(raw)

    def reply(self) -> Reply:
        """Read one reply, of any number of lines. Raises ConnectionError where the server has gone."""
        lines = []
        while True:
            line = self._replies.readline()
            if not line.endswith(b"\n"):
                raise ConnectionResetError("the server closed the connection")
            lines.append(line[4:].decode("utf-8", "replace").rstrip("\r\n"))
            if line[3:4] != b"-":
                return Reply(int(line[:3]), tuple(lines))

    def command(self, line: str) -> Reply:
        self.send(line.encode() + b"\r\n")
        return self.reply()

    def introduce(self, peer: Peer) -> Reply:
        """Claim to be `peer` and say EHLO."""
        self.command("EHLO xclient.test")
        address = f"IPV6:{peer.address}" if ":" in peer.address else peer.address
        login = f" LOGIN={peer.login}" if peer.login else ""
        greeting = self.command(f"XCLIENT ADDR={address} NAME={peer.name or '[UNAVAILABLE]'}{login}")
        if greeting.code != 220:
            return greeting
        return self.command(f"EHLO {peer.helo}")

    def transact_after(self, greeted: Reply, sent: Sent, *, bdat: bool = False, parameters: str = "") -> None:
        """Play one transaction, unless the greeting was a refusal: then that is the answer to all recipients."""
        if greeted.code == 250:
            self.transact(sent, bdat=bdat, parameters=parameters)
        else:
            sent.recipients = dict.fromkeys(sent.recipients, greeted)

    def transact(self, sent: Sent, *, bdat: bool = False, parameters: str = "") -> None:
        """Play one transaction, writing each answer into `sent`."""
        mail = self.command(f"MAIL FROM:<{sent.sender}>{parameters}")
        for recipient in list(sent.recipients):
            sent.recipients[recipient] = self.command(f"RCPT TO:<{recipient}>") if mail.code == 250 else mail
        if not sent.accepted:
            self.command("RSET")
        elif bdat:
            chunk = sent.message.replace(b"\n", b"\r\n")
            self.send(b"BDAT %d LAST\r\n" % len(chunk) + chunk)
            self._finish(sent)
        else:
            sent.final = self.command("DATA")
            if sent.final.code == 354:
                self.send(stuffed(sent.message))
                self._finish(sent)

    def _finish(self, sent: Sent) -> None:
        """Read the answer to the message; after 353 there is one for each recipient before it (PRDR)."""
        sent.final = self.reply()
        if sent.final.code == 353:
            sent.after_data = {recipient: self.reply() for recipient in sent.accepted}
            sent.final = self.reply()


def stuffed(message: bytes) -> bytes:
    """Return a message, whose lines end in LF, as DATA carries it (RFC 5321 section 4.5.2)."""
    lines = message.removesuffix(b"\n").split(b"\n")
    return b"".join((b"." if line.startswith(b".") else b"") + line + b"\r\n" for line in lines) + b".\r\n"


def unanswered(peer: Peer, sender: str, recipients: Sequence[str], message: bytes) -> Sent:
    """Return a transaction that is still to be played."""
    return Sent(peer, sender, message, dict.fromkeys(recipients, Reply(0, ())))


def send(
    port: int,
    peer: Peer,
    sender: str,
    recipients: Sequence[str],
    message: bytes,
    *,
    bdat: bool = False,
    parameters: str = "",
) -> Sent:
    """Send one message on a connection of its own."""
    sent = unanswered(peer, sender, recipients, message)
    with Client(port) as client:
        client.transact_after(client.introduce(peer), sent, bdat=bdat, parameters=parameters)
        client.command("QUIT")
    return sent


def send_until_settled(
    attempt: Callable[[list[str]], Sent], recipients: Sequence[str], within: float = 90.0
) -> list[Sent]:
    """Retry for whoever was answered 4xx, or not at all, as an MTA does (RFC 5321 section 4.5.4.1).

    `attempt` sends to the recipients that it is given. A break before the final answer may have been a delivery: such a
    message is not to be counted on, and the tests' Postfix never breaks there.
    """
    deadline = time.monotonic() + within
    pause = 0.1
    attempts: list[Sent] = []
    left = list(recipients)
    while left:
        try:
            attempts.append(attempt(left))
        except OSError:
            pass
        else:
            left = [recipient for recipient in left if not _settled(attempts[-1], recipient)]
        if left and time.monotonic() > deadline:
            raise AssertionError(f"still deferred after {within:g} s: {left} {attempts[-1:]}")
        if left:
            time.sleep(pause)
            pause = min(2 * pause, 1.0)
    return attempts


def _settled(sent: Sent, recipient: str) -> bool:
    answer = sent.recipients[recipient]
    if answer.code == 250 and sent.final is not None:
        answer = sent.final
    return answer.code == 250 or answer.code >= 500
