"""One connection of the native milter engine: packets in, answers out, no I/O. What they mean is in `milter_dialogue`.

Theory of operation

1. A packet is answered at once, but for RCPT and end of message, which may wait (`waiting`) until the engine decides;
   no packet is taken meanwhile.
2. Macros are used up by the command that they came with.
3. A fault of the MTA is a RemoteError and ends the connection. A fault of ours ends nothing.
4. "accept" is never answered, or the edits that come later would be left out; nor is "skip", which Postfix would take
   for the answer to end of message where body chunks have no reply.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import ClassVar

from earmark.core.mail import Client, domain_key, parse_address_text
from earmark.core.text import decoded
from earmark.core.verdict import Edit, Reply
from earmark.fronts.milter_dialogue import MilterDialogue, Shared
from earmark.fronts.milter_terms import UNUSED_MACROS, Terms, agree, encode_edits, reverse_name, user_of
from earmark.wire import RemoteError
from earmark.wire.milter import (
    CONTINUE,
    DISCARD,
    Command,
    Packet,
    decode_connect,
    decode_header,
    decode_macros,
    decode_strings,
    reply_code,
)

_NEW, _NEGOTIATED, _CONNECTED, _IN_TRANSACTION = range(4)
_NO_TERMS = Terms()


class MilterSession(MilterDialogue):
    """A milter connection: takes packets in order, appends answers to `out`."""

    __slots__ = ("_macros", "_resumed", "_stage", "_terms", "between_clients", "ended", "out")

    def __init__(self, shared: Shared, resume: Callable[[], None]) -> None:
        """Begin; `resume` is called when what was waited for has been answered."""
        super().__init__(shared)
        self._resumed = resume
        self._stage = _NEW
        self._terms = _NO_TERMS
        self._macros: dict[int, bytes] = {}
        self.out: list[bytes] = []
        self.between_clients = False
        """The MTA keeps the connection for a client to come."""
        self.ended = False

    def take(self, packets: Iterator[Packet]) -> None:
        """Take packets up to one that waits for the engine or ends the connection; `packets` keeps the others.

        Raises RemoteError where the MTA breaks the protocol.
        """
        commands = self._COMMANDS
        for letter, payload in packets:
            known = commands.get(letter)
            if known is None or self._stage < known[1]:
                raise _unexpected(letter)
            try:
                known[0](self, payload)
            except RemoteError:
                raise
            except Exception as error:  # noqa: BLE001 - rule 3
                self._trouble = self._trouble or letter in {Command.CONNECT, Command.HELO}
                self.failed(error)
            if letter in self._terms.answered:
                self.out.append(CONTINUE)
            if self.waiting or self.ended:
                return

    def _go_on(self) -> None:
        self.out.append(CONTINUE)

    def _refuse(self, reply: Reply) -> None:
        self.out.append(reply_code(reply.code, reply.enhanced, reply.text))

    def _discard(self) -> None:
        self.out.append(DISCARD)

    def _accept(self, edits: Sequence[Edit]) -> None:
        self.out += [*encode_edits(edits, self._terms, self._paths), CONTINUE]

    def _resume(self) -> None:
        self._resumed()

    def _negotiate(self, payload: bytes) -> None:
        if self._stage > _NEGOTIATED:
            raise RemoteError("NEGOTIATE out of sequence")
        self._terms = terms = agree(payload, reads_body=self._shared.engine.policies.reads_body)
        self._shared.tell_lack(terms)
        self._stage = _NEGOTIATED
        self.out.append(terms.answer)

    def _macro(self, payload: bytes) -> None:
        if not payload:
            raise RemoteError("MACRO without a command")
        if payload[0] not in UNUSED_MACROS:
            self._macros[payload[0]] = payload

    def _use_macros(self, command: int) -> dict[bytes, bytes]:
        payload = self._macros.pop(command, None)
        return decode_macros(payload)[1] if payload else {}

    def _connect(self, payload: bytes) -> None:
        if self._stage != _NEGOTIATED:
            raise RemoteError("CONNECT out of sequence")
        told = decode_connect(payload)
        address = ""
        if told.family in {"4", "6"}:
            address = parse_address_text(told.address.decode("latin-1"))
            if not address:
                raise RemoteError("CONNECT with a bad address")
        self._stage = _CONNECTED
        self.between_clients = False
        macros = self._use_macros(Command.CONNECT)
        reverse = reverse_name(macros, self._shared.engine.clock())
        host = domain_key(decoded(macros.get(b"j", b""), 255))
        self._begin(Client(address, told.port), reverse, host, self._terms.means)

    def _helo(self, payload: bytes) -> None:
        name = decode_strings(payload)[0]
        self._stage = _CONNECTED
        self.helo(name)

    def _mail(self, payload: bytes) -> None:
        path = decode_strings(payload)[0]
        self._stage = _IN_TRANSACTION
        macros = self._use_macros(Command.MAIL)
        self._begin_transaction(path, user_of(macros), macros.get(b"i", b""))

    def _rcpt(self, payload: bytes) -> None:
        self._ask_about(decode_strings(payload)[0])

    def _data(self, _payload: bytes) -> None:
        self._learn_queue_id(self._use_macros(Command.DATA).get(b"i", b""))

    def _header(self, payload: bytes) -> None:
        if self._header_told:
            raise RemoteError("HEADER out of sequence")
        name, value = decode_header(payload)
        self._header_block.add(name, value if self._terms.leading_space else b" " + value)

    def _ignore(self, _payload: bytes) -> None:
        """Take what tells nothing new: UNKNOWN."""

    def _eoh(self, _payload: bytes) -> None:
        if self._header_told:
            raise RemoteError("EOH out of sequence")
        self.end_of_header()

    def _body(self, payload: bytes) -> None:
        if not self._header_told:
            self.end_of_header()
        self.body(payload)

    def _eom(self, payload: bytes) -> None:
        """Take the end, which may bring the last part of the body."""
        if payload:
            self._body(payload)
        self._learn_queue_id(self._use_macros(Command.EOM).get(b"i", b""))
        self.end_of_message()

    def _abort(self, _payload: bytes) -> None:
        if self._stage == _IN_TRANSACTION:
            self.abort()

    def _end_transaction(self) -> None:
        self._stage = _CONNECTED
        super()._end_transaction()

    def _quit(self, _payload: bytes) -> None:
        self.close()
        self.ended = True

    def _quit_but_stay(self, _payload: bytes) -> None:
        self.close()
        self._macros.clear()
        self._stage = _NEGOTIATED
        self.between_clients = True

    _COMMANDS: ClassVar[dict[int, tuple[Callable[["MilterSession", bytes], None], int]]] = {
        Command.NEGOTIATE: (_negotiate, _NEW),
        Command.MACRO: (_macro, _NEGOTIATED),
        Command.CONNECT: (_connect, _NEGOTIATED),
        Command.HELO: (_helo, _CONNECTED),
        Command.MAIL: (_mail, _CONNECTED),
        Command.RCPT: (_rcpt, _IN_TRANSACTION),
        Command.DATA: (_data, _IN_TRANSACTION),
        Command.HEADER: (_header, _IN_TRANSACTION),
        Command.EOH: (_eoh, _IN_TRANSACTION),
        Command.BODY: (_body, _IN_TRANSACTION),
        Command.EOM: (_eom, _IN_TRANSACTION),
        Command.ABORT: (_abort, _NEGOTIATED),
        Command.UNKNOWN: (_ignore, _NEGOTIATED),
        Command.QUIT: (_quit, _NEW),
        Command.QUIT_NC: (_quit_but_stay, _NEGOTIATED),
    }
    """What each command does, and the earliest stage that it may come in."""


def _unexpected(letter: int) -> RemoteError:
    try:
        return RemoteError(f"{Command(letter).name} out of sequence")
    except ValueError:
        return RemoteError(f"unknown command {letter:#04x}")
