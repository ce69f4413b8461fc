"""An SMTP dialogue as an MTA with earmark behind it would lead it (RFC 5321), as far as a verdict can show in it."""

from collections.abc import Iterator, Sequence

from earmark.cli.render import edit_text
from earmark.core.mail import Header, parse_path
from earmark.core.report import edits_report
from earmark.core.text import printable
from earmark.core.verdict import Action, Verdict
from earmark.playing import Player, end_of_message, rcpt
from earmark.wire.message import split_header

_OK = "250 2.1.0 Ok"


class Dialogue:
    """One SMTP session. `say` takes the client's lines one by one and returns what the server answers."""

    def __init__(self, player: Player, address: str, name: str = "", user: str = "") -> None:
        self._session = player.connect(address, name)
        self._user = user
        self._greeted = self._mail = self._data = False
        self._accepted = 0
        self._lines: list[bytes] = []
        self.ended = False

    def greeting(self) -> str:
        """Return the server's first line."""
        return "220 earmark ESMTP: nothing said here is delivered"

    async def say(self, line: bytes) -> list[str]:
        """Return the reply lines, and comments that begin with `>>> `; nothing inside DATA."""
        if self._data:
            return await self._message_line(line)
        verb, _, argument = line.strip().partition(b" ")
        match verb.upper():
            case b"HELO" | b"EHLO":
                reply = self._hello(argument.strip())
            case b"AUTH":
                reply = self._authenticate(argument.strip())
            case b"MAIL":
                reply = self._sender(argument)
            case b"RCPT":
                reply = await self._recipient(argument)
            case b"DATA":
                reply = self._begin_data()
            case b"RSET":
                self._reset()
                reply = ["250 2.0.0 Ok"]
            case b"NOOP":
                reply = ["250 2.0.0 Ok"]
            case b"QUIT":
                self.close()
                reply = ["221 2.0.0 Bye"]
            case _:
                reply = [f"502 5.5.2 {printable(verb.decode('latin-1'), 40)}: not a command known here"]
        return reply

    def close(self) -> None:
        """End the session, whatever stage it is at."""
        self._session.close()
        self.ended = True

    def _hello(self, name: bytes) -> list[str]:
        if not name:
            return ["501 5.5.4 HELO takes a name"]
        self._reset()
        self._session.helo(name)
        self._greeted = True
        return ["250 earmark"]

    def _authenticate(self, user: bytes) -> list[str]:
        if not user or self._mail:
            return ["503 5.5.1 AUTH USER comes before MAIL"]
        self._user = user.decode("utf-8", "replace")
        return [f"235 2.7.0 authenticated as {printable(self._user, 100)}"]

    def _sender(self, argument: bytes) -> list[str]:
        path = _path(argument, b"FROM:")
        if path is None:
            return ["501 5.5.4 expected MAIL FROM:<address>"]
        if self._mail:
            return ["503 5.5.1 there is a sender already"]
        self._session.mail(parse_path(path), user=self._user)
        self._mail = True
        return [_OK]

    async def _recipient(self, argument: bytes) -> list[str]:
        path = _path(argument, b"TO:")
        if path is None:
            return ["501 5.5.4 expected RCPT TO:<address>"]
        if not self._mail:
            return ["503 5.5.1 MAIL comes first"]
        outcome = await rcpt(self._session, parse_path(path))
        if outcome.reply is not None:
            return [str(outcome.reply)]
        self._accepted += 1
        held = f">>> would be {outcome.would.word} under mode = enforce"
        return ["250 2.1.5 Ok", held] if outcome.would > outcome.action else ["250 2.1.5 Ok"]

    def _begin_data(self) -> list[str]:
        if not self._accepted:
            return ["554 5.5.1 no valid recipients" if self._mail else "503 5.5.1 MAIL comes first"]
        self._data = True
        self._lines = []
        return ["354 end with a dot on a line by itself"]

    async def _message_line(self, line: bytes) -> list[str]:
        line = line.rstrip(b"\r\n")
        if line != b".":
            self._lines.append(line.removeprefix(b"."))  # RFC 5321 section 4.5.2
            return []
        raw = b"\r\n".join(self._lines) + b"\r\n"
        fields, offset = split_header(raw)
        headers = [Header(name, value) for name, value in fields]
        verdict = await end_of_message(self._session, headers, raw[offset:])
        self._clear()
        return list(_end(verdict))

    def _reset(self) -> None:
        self._session.abort()
        self._clear()

    def _clear(self) -> None:
        self._mail = self._data = False
        self._accepted = 0


def _path(argument: bytes, word: bytes) -> bytes | None:
    """Return the path after FROM: or TO:, without ESMTP parameters; None where it is not there."""
    argument = argument.strip()
    if argument[: len(word)].upper() != word:
        return None
    path = argument[len(word) :].strip()
    end = path.rfind(b">")
    return path[: end + 1] if path.startswith(b"<") and end > 0 else path.partition(b" ")[0]


def _end(verdict: Verdict) -> Iterator[str]:
    if verdict.reply:
        yield str(verdict.reply)
        return
    yield "250 2.0.0 accepted (marked)" if verdict.action is Action.MARK else "250 2.0.0 accepted"
    edits: Sequence[list[str | int]] = edits_report(verdict.edits)
    for edit in edits:
        yield f">>> {printable(edit_text(edit), 1000)}"
