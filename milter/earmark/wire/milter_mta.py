"""The MTA's side of the milter protocol, without I/O: for `earmark probe`, the try-out's receiver, and tests.

A dialogue: write `negotiate()`, feed what comes back until `agreed` is set, then write one command after the other.
Where `sends(command)` is false the filter does not want it; where `awaits(command)` is true, read until a final answer.
At end of message edits come before the final answer.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from earmark.wire import RemoteError
from earmark.wire.milter import (
    OLDEST_VERSION,
    VERSION,
    Actions,
    Command,
    Connect,
    Negotiation,
    Splitter,
    Steps,
    decode_header,
    decode_negotiation,
    encode_negotiation,
    packet,
)

ALL_ACTIONS = Actions(0x1FF)
"""What Postfix and Sendmail offer."""
ALL_STEPS = Steps(0x1FFFFF)


class Answer(NamedTuple):
    """A final answer without text."""

    word: str
    """ "continue", "accept", "reject", "tempfail", "discard", "skip", "conn_fail" or "shutdown"."""


class ReplyCode(NamedTuple):
    """A final answer that refuses or defers with the filter's own reply."""

    text: str
    """As the client shall read it, beginning with the code."""


class Progress(NamedTuple):
    """Not an answer: the filter is still at work."""


class HeaderEdit(NamedTuple):
    """An edit of the header."""

    kind: str
    """ "add" (at the end), "insert" (before field number `at`) or "change" (field number `at` of that name)."""
    at: int
    name: bytes
    value: bytes
    """Of a change: empty to remove the field. Begins with the blank after the colon where HDR_LEADSPC was agreed."""


class OtherEdit(NamedTuple):
    """An edit of something else: body, recipients, sender, quarantine."""

    letter: str
    payload: bytes


Response = Negotiation | Answer | ReplyCode | Progress | HeaderEdit | OtherEdit

_ANSWERS = {
    "c": "continue", "a": "accept", "r": "reject", "t": "tempfail", "d": "discard", "s": "skip", "f": "conn_fail",
    "4": "shutdown",
}  # fmt: skip
_HEADER_EDITS = {"h": "add", "i": "insert", "m": "change"}
_OTHER_EDITS = frozenset("b+-2eql")

_NOT_SENT = {
    Command.CONNECT: Steps.NO_CONNECT, Command.HELO: Steps.NO_HELO, Command.MAIL: Steps.NO_MAIL,
    Command.RCPT: Steps.NO_RCPT, Command.DATA: Steps.NO_DATA, Command.HEADER: Steps.NO_HEADER,
    Command.EOH: Steps.NO_EOH, Command.BODY: Steps.NO_BODY, Command.UNKNOWN: Steps.NO_UNKNOWN,
}  # fmt: skip
_NO_REPLY = {
    Command.CONNECT: Steps.NR_CONNECT, Command.HELO: Steps.NR_HELO, Command.MAIL: Steps.NR_MAIL,
    Command.RCPT: Steps.NR_RCPT, Command.DATA: Steps.NR_DATA, Command.HEADER: Steps.NR_HEADER,
    Command.EOH: Steps.NR_EOH, Command.BODY: Steps.NR_BODY, Command.UNKNOWN: Steps.NR_UNKNOWN,
}  # fmt: skip
_NEVER_ANSWERED = frozenset({Command.MACRO, Command.ABORT, Command.QUIT, Command.QUIT_NC})


class MtaSide:
    """One milter connection as the MTA sees it: makes commands, reads responses, knows what was agreed."""

    def __init__(self, version: int = VERSION, actions: Actions = ALL_ACTIONS, steps: Steps = ALL_STEPS) -> None:
        self.offer = Negotiation(version, actions, steps)
        self.agreed: Negotiation | None = None
        self._splitter = Splitter()

    def feed(self, data: bytes) -> list[Response]:
        """Return the responses that `data` completes. Raises RemoteError for what no filter may say."""
        responses = [decode_response(letter, payload) for letter, payload in self._splitter.feed(data)]
        for response in responses:
            if isinstance(response, Negotiation):
                self._agree(response)
        return responses

    def _agree(self, answer: Negotiation) -> None:
        if not OLDEST_VERSION <= answer.version <= self.offer.version:
            raise RemoteError(f"version {answer.version} in answer to {self.offer.version}")
        if int(answer.actions) & ~int(self.offer.actions):  # the complement of a flag has no bits without a name
            raise RemoteError(f"actions {answer.actions:#x} in answer to {self.offer.actions:#x}")
        if int(answer.steps) & ~int(self.offer.steps):
            raise RemoteError(f"steps {answer.steps:#x} in answer to {self.offer.steps:#x}")
        self.agreed = answer

    @property
    def _steps(self) -> Steps:
        return self.agreed.steps if self.agreed else Steps(0)

    def sends(self, command: Command) -> bool:
        """Return whether the filter wants this command."""
        return not self._steps & _NOT_SENT.get(command, 0)

    def awaits(self, command: Command) -> bool:
        """Return whether the filter answers this command."""
        return command not in _NEVER_ANSWERED and not self._steps & _NO_REPLY.get(command, 0)

    def negotiate(self) -> bytes:
        """Return the offer."""
        return encode_negotiation(self.offer)

    def header(self, name: bytes, value: bytes) -> bytes:
        """Return a header field; `value` is all that follows the colon, with LF where it is folded."""
        if not self._steps & Steps.HDR_LEADSPC:
            value = value.removeprefix(b" ")
        return packet(Command.HEADER, b"%b\0%b\0" % (name, value))


def decode_response(letter: int, payload: bytes) -> Response:
    """Read one packet from a filter."""
    word = chr(letter)
    response: Response
    if word in _ANSWERS:
        response = Answer(_ANSWERS[word])
    elif word == "y":
        response = ReplyCode(payload.removesuffix(b"\0").decode("latin-1").replace("%%", "%"))
    elif word == "p":
        response = Progress()
    elif word == "O":
        response = decode_negotiation(payload)
    elif word in _HEADER_EDITS:
        at, field = (0, payload) if word == "h" else (int.from_bytes(payload[:4], "big"), payload[4:])
        response = HeaderEdit(_HEADER_EDITS[word], at, *decode_header(field))
    elif word in _OTHER_EDITS:
        response = OtherEdit(word, payload)
    else:
        raise RemoteError(f"response {word!r}")
    return response


def macros(command: Command, values: Mapping[bytes, bytes]) -> bytes:
    """Return the MACRO that goes before `command`. Names longer than one letter stand in braces, as MTAs send them."""
    pairs = ((name if len(name) == 1 else b"{%b}" % name, value) for name, value in values.items())
    return packet(Command.MACRO, bytes([command]) + b"".join(b"%b\0%b\0" % pair for pair in pairs))


def connect(client: Connect) -> bytes:
    """Return a CONNECT."""
    rest = b"" if client.family == "U" else client.port.to_bytes(2, "big") + client.address + b"\0"
    return packet(Command.CONNECT, client.host + b"\0" + client.family.encode() + rest)


def helo(name: bytes) -> bytes:
    """Return a HELO; the protocol does not tell it from EHLO."""
    return packet(Command.HELO, name + b"\0")


def mail(path: bytes, parameters: Iterable[bytes] = ()) -> bytes:
    """Return a MAIL; `path` in angle brackets, then ESMTP parameters such as b"SIZE=100"."""
    return packet(Command.MAIL, b"".join(b"%b\0" % word for word in (path, *parameters)))


def rcpt(path: bytes, parameters: Iterable[bytes] = ()) -> bytes:
    """Return a RCPT."""
    return packet(Command.RCPT, b"".join(b"%b\0" % word for word in (path, *parameters)))


def body(chunk: bytes) -> bytes:
    """Return a chunk of the body: at most `wire.milter.CHUNK` bytes."""
    return packet(Command.BODY, chunk)
