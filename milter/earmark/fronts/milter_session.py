"""One milter connection as the engine sees it: packets in, answers out, no I/O.

Theory of operation

1. A packet is answered at once, but for RCPT and end of message, which may wait (`waiting`) until the engine decides;
   no packet is taken meanwhile.
2. A transaction lives from MAIL to end of message or ABORT. Nothing of it is left for the next one: macros are used up
   by the command that they came with.
3. A fault of the MTA is a RemoteError and ends the connection. A fault of ours ends nothing: it is logged with its
   traceback, what waits is accepted, and the message says that it was not judged.
4. "accept" is never answered, or the edits that come later would be left out; nor is "skip", which Postfix would take
   for the answer to end of message where body chunks have no reply.
"""

import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from earmark.core.mail import Client, Message, Transaction, parse_address_text, parse_path
from earmark.core.stamp import Trace, unjudged
from earmark.core.text import decoded
from earmark.core.verdict import Edit, Outcome, Verdict
from earmark.engine import Engine, Session
from earmark.fronts.milter_header import HeaderBlock
from earmark.fronts.milter_terms import EDITING, MACROS_USED, Terms, agree, encode_edits, reverse_name, user_of
from earmark.wire import RemoteError
from earmark.wire.milter import (
    CONTINUE,
    Command,
    decode_connect,
    decode_header,
    decode_macros,
    decode_negotiation,
    decode_strings,
    encode_negotiation,
    reply_code,
)

RECIPIENTS = 1000
"""Recipients of a message; more are told 452 4.5.3, and senders try again with them (RFC 5321 section 4.5.3.1.10)."""

_NEW, _NEGOTIATED, _CONNECTED, _IN_TRANSACTION = range(4)


class Events(Protocol):
    """Where events are told; see `earmark.log`."""

    def event(self, name: str, *, level: str = "info", **fields: Any) -> None:  # noqa: ANN401 - plain values, as JSON
        """Write one event."""


@dataclass(slots=True)
class Shared:
    """What all milter sessions of a worker share."""

    engine: Engine
    log: Events
    reads_body: bool
    """Some policy looks at content, so the MTA shall send the body."""
    draining: bool = False
    lack_told: bool = False
    """That the MTA lets us edit nothing has been logged."""


class MilterSession:
    """A milter connection: takes packets in order, appends answers to `out`."""

    __slots__ = (
        "_header_block",
        "_macros",
        "_recipients",
        "_resume",
        "_session",
        "_shared",
        "_stage",
        "_terms",
        "_trouble",
        "_unjudged",
        "between_clients",
        "ended",
        "out",
        "waiting",
    )

    def __init__(self, shared: Shared, resume: Callable[[], None]) -> None:
        """Begin; `resume` is called when what was waited for has been answered."""
        self._shared = shared
        self._resume = resume
        self._session: Session | None = None
        self._stage = _NEW
        self._terms = Terms()
        self._macros: dict[int, bytes] = {}
        self._recipients = 0
        self._header_block = HeaderBlock()
        self._trouble = False
        """A fault of ours at CONNECT or HELO: no transaction of this client can be judged."""
        self._unjudged = False
        """A fault of ours in this transaction."""
        self.out: list[bytes] = []
        self.waiting = 0
        """The command, RCPT or EOM, that the engine has yet to decide on; 0 for none."""
        self.between_clients = False
        """The MTA keeps the connection for a client to come."""
        self.ended = False

    def take(self, letter: int, payload: bytes) -> None:
        """Take one packet. Raises RemoteError where the MTA breaks the protocol."""
        known = self._COMMANDS.get(letter)
        if known is None:
            raise RemoteError(f"unknown command {letter:#04x}")
        handler, earliest, answered = known
        if self._stage < earliest:
            raise RemoteError(f"{Command(letter).name} out of sequence")
        try:
            handler(self, payload)
        except RemoteError:
            raise
        except Exception as error:  # noqa: BLE001 - rule 3
            self._trouble = self._trouble or letter in {Command.CONNECT, Command.HELO}
            self.failed(error)
        if answered and letter not in self._terms.no_reply:
            self.out.append(CONTINUE)

    def failed(self, error: Exception) -> None:
        """Log a fault of ours, and accept what waits for it."""
        self._log(error)
        self._unjudged = True
        waited, self.waiting = self.waiting, 0
        if waited == Command.RCPT:
            self.out.append(CONTINUE)
        elif waited == Command.EOM:
            self._accept_unjudged()
        if waited:
            self._resume()

    def _log(self, error: Exception) -> None:
        trace = "".join(traceback.format_exception(error))
        verdict_id = self._session.id if self._session else ""
        self._shared.log.event("error", front="milter", id=verdict_id, error=repr(error), traceback=trace)

    def close(self) -> None:
        """Forget the client: it is gone."""
        self.waiting = 0
        if self._session is not None:
            self._guarded(self._session.close)
            self._session = None

    def _guarded(self, step: Callable[[], None]) -> None:
        try:
            step()
        except Exception as error:  # noqa: BLE001 - rule 3
            self._log(error)

    def _negotiate(self, payload: bytes) -> None:
        if self._stage > _NEGOTIATED:
            raise RemoteError("NEGOTIATE out of sequence")
        offer = decode_negotiation(payload)
        answer, self._terms = agree(offer, reads_body=self._shared.reads_body)
        lacking = EDITING & ~offer.actions
        if lacking and not self._shared.lack_told:
            self._shared.lack_told = True
            why = "the MTA does not let us edit the header as we need: refusals work, marks may not"
            self._shared.log.event("degraded", front="milter", lacking=lacking.name, why=why)
        self._stage = _NEGOTIATED
        self.out.append(encode_negotiation(answer))

    def _macro(self, payload: bytes) -> None:
        if not payload:
            raise RemoteError("MACRO without a command")
        if payload[0] in MACROS_USED:
            self._macros[payload[0]] = payload

    def _use_macros(self, command: Command) -> dict[bytes, bytes]:
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
        self.between_clients = self._trouble = False
        engine = self._shared.engine
        self._session = engine.session(self.failed)
        known = reverse_name(self._use_macros(Command.CONNECT), engine.clock())
        self._session.connect(Client(address, told.port), known)

    def _helo(self, payload: bytes) -> None:
        name = decode_strings(payload)[0]
        self._stage = _CONNECTED
        if self._session and not self._trouble:
            self._session.helo(name)

    def _mail(self, payload: bytes) -> None:
        path = decode_strings(payload)[0]
        self._stage = _IN_TRANSACTION
        self._recipients = 0
        self._header_block = HeaderBlock()
        self._unjudged = self._trouble
        macros = self._use_macros(Command.MAIL)
        if self._session and not self._unjudged:
            self._session.mail(parse_path(path), user=user_of(macros))
            self._learn_queue_id(macros)

    def _rcpt(self, payload: bytes) -> None:
        path = decode_strings(payload)[0]
        self._recipients += 1
        if self._recipients > RECIPIENTS:
            self.out.append(reply_code(452, "4.5.3", "Too many recipients"))
        elif self._session is None or self._unjudged:
            self.out.append(CONTINUE)
        else:
            self.waiting = Command.RCPT
            self._session.rcpt(parse_path(path), self._recipient_decided)

    def _recipient_decided(self, outcome: Outcome) -> None:
        if self.waiting == Command.RCPT:
            reply = outcome.reply
            self.out.append(reply_code(reply.code, reply.enhanced, reply.text) if reply else CONTINUE)
            self.waiting = 0
            self._resume()

    def _data(self, _payload: bytes) -> None:
        self._learn_queue_id(self._use_macros(Command.DATA))

    def _learn_queue_id(self, macros: dict[bytes, bytes]) -> None:
        if self._session and macros.get(b"i"):
            self._session.queue_id = decoded(macros[b"i"], 100)

    def _header(self, payload: bytes) -> None:
        name, value = decode_header(payload)
        self._header_block.add(name, value if self._terms.leading_space else b" " + value)

    def _ignore(self, _payload: bytes) -> None:
        """Take what tells nothing new: EOH, UNKNOWN, and a body that nobody reads, chunk by chunk."""

    def _end_of_message(self, _payload: bytes) -> None:
        self._learn_queue_id(self._use_macros(Command.EOM))
        if self._session is None or self._unjudged:
            self._accept_unjudged()
        else:
            self.waiting = Command.EOM
            block = self._header_block
            self._session.end_of_message(block.fields, self._message_decided, truncated=block.truncated)

    def _message_decided(self, verdict: Verdict) -> None:
        if self.waiting == Command.EOM:
            self._accept(verdict.edits)
            self.waiting = 0
            self._resume()

    def _accept_unjudged(self) -> None:
        session = self._session
        if session is None:
            self._accept(())
            return
        engine = self._shared.engine
        message = Transaction(session.envelope, Message(self._header_block.fields))
        self._accept(unjudged(message, Trace(session.id or engine.new_id(), engine.generation)))
        self._guarded(session.abort)

    def _accept(self, edits: tuple[Edit, ...]) -> None:
        self.out += [*encode_edits(edits, self._terms), CONTINUE]
        self._end_transaction()

    def _abort(self, _payload: bytes) -> None:
        if self._stage == _IN_TRANSACTION:
            self._end_transaction()
            if self._session:
                self._session.abort()

    def _end_transaction(self) -> None:
        self._stage = _CONNECTED
        self._header_block = HeaderBlock()

    def _quit(self, _payload: bytes) -> None:
        self.close()
        self.ended = True

    def _quit_but_stay(self, _payload: bytes) -> None:
        self.close()
        self._macros.clear()
        self._stage = _NEGOTIATED
        self.between_clients = True
        self.ended = self._shared.draining

    _COMMANDS: ClassVar[dict[int, tuple[Callable[["MilterSession", bytes], None], int, bool]]] = {
        Command.NEGOTIATE: (_negotiate, _NEW, False),
        Command.MACRO: (_macro, _NEGOTIATED, False),
        Command.CONNECT: (_connect, _NEGOTIATED, True),
        Command.HELO: (_helo, _CONNECTED, True),
        Command.MAIL: (_mail, _CONNECTED, True),
        Command.RCPT: (_rcpt, _IN_TRANSACTION, False),
        Command.DATA: (_data, _IN_TRANSACTION, True),
        Command.HEADER: (_header, _IN_TRANSACTION, True),
        Command.EOH: (_ignore, _IN_TRANSACTION, True),
        Command.BODY: (_ignore, _IN_TRANSACTION, True),
        Command.EOM: (_end_of_message, _IN_TRANSACTION, False),
        Command.ABORT: (_abort, _NEGOTIATED, False),
        Command.UNKNOWN: (_ignore, _NEGOTIATED, True),
        Command.QUIT: (_quit, _NEW, False),
        Command.QUIT_NC: (_quit_but_stay, _NEGOTIATED, False),
    }
    """What each command does, the earliest stage that it may come in, and whether it is answered right after that."""
