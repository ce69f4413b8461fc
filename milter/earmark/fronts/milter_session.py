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

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import ClassVar

from earmark.core.mail import Client, Message, Transaction, domain_key, parse_address_text, parse_path
from earmark.core.stamp import Trace, unjudged
from earmark.core.text import decoded
from earmark.core.verdict import Action, Edit, Hold, Outcome, Reply, Verdict
from earmark.engine import Engine, Session
from earmark.fronts.events import Events, tell_fault
from earmark.fronts.milter_header import HeaderBlock
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

RECIPIENTS = 1000
"""Recipients of a message; more are told 452 4.5.3, and senders try again with them (RFC 5321 section 4.5.3.1.10)."""

_NEW, _NEGOTIATED, _CONNECTED, _IN_TRANSACTION = range(4)
_RCPT, _EOM = map(int, (Command.RCPT, Command.EOM))
_NO_TERMS = Terms()
_NO_HEADER = HeaderBlock()
"""What stands between two transactions, when no field can come."""


@dataclass(slots=True)
class Shared:
    """What all milter sessions of a worker share."""

    engine: Engine
    log: Events
    lack_told: bool = False
    """That the MTA lets us edit nothing has been logged."""


class MilterSession:
    """A milter connection: takes packets in order, appends answers to `out`."""

    __slots__ = (
        "_header_block",
        "_header_told",
        "_macros",
        "_paths",
        "_recipients",
        "_resume",
        "_session",
        "_shared",
        "_stage",
        "_terms",
        "_trouble",
        "_unjudged",
        "_wants_body",
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
        self._terms = _NO_TERMS
        self._macros: dict[int, bytes] = {}
        self._recipients = 0
        self._paths: dict[str, bytes] = {}
        """The recipients of this transaction, as the MTA gave them, by their text."""
        self._header_block = _NO_HEADER
        self._header_told = self._wants_body = False
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

    def failed(self, error: Exception) -> None:
        """Log a fault of ours, and accept what waits for it."""
        self._log(error)
        self._unjudged = True
        waited, self.waiting = self.waiting, 0
        if waited == _RCPT:
            self.out.append(CONTINUE)
        elif waited == _EOM:
            self._accept_unjudged()
        if waited:
            self._resume()

    def _log(self, error: Exception) -> None:
        tell_fault(self._shared.log, "milter", error, self._session.id if self._session else "")

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
        self._terms = terms = agree(payload, reads_body=self._shared.engine.policies.reads_body)
        if terms.lacking and not self._shared.lack_told:
            self._shared.lack_told = True
            why = "the MTA does not let us edit the header as we need: refusals work, marks may not"
            self._shared.log.event("degraded", level="warning", front="milter", lacking=terms.lacking, why=why)
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
        self.between_clients = self._trouble = False
        engine = self._shared.engine
        self._session = engine.session(self.failed)
        self._session.means = self._terms.means
        macros = self._use_macros(Command.CONNECT)
        host = domain_key(decoded(macros.get(b"j", b""), 255))
        self._session.connect(Client(address, told.port), reverse_name(macros, engine.clock()), host)

    def _helo(self, payload: bytes) -> None:
        name = decode_strings(payload)[0]
        self._stage = _CONNECTED
        if self._session and not self._trouble:
            self._session.helo(name)

    def _mail(self, payload: bytes) -> None:
        path = decode_strings(payload)[0]
        self._stage = _IN_TRANSACTION
        self._recipients = 0
        self._paths = {}
        self._header_block = HeaderBlock()
        self._header_told = self._wants_body = False
        self._unjudged = self._trouble
        macros = self._use_macros(Command.MAIL)
        if self._session and not self._unjudged:
            self._session.mail(parse_path(path), user=user_of(macros))
            self._session.queue_id = decoded(macros.get(b"i", b""), 100)

    def _rcpt(self, payload: bytes) -> None:
        path = decode_strings(payload)[0]
        self._recipients += 1
        if self._recipients > RECIPIENTS:
            self.out.append(reply_code(452, "4.5.3", "Too many recipients"))
        elif self._session is None or self._unjudged:
            self.out.append(CONTINUE)
        else:
            self.waiting = _RCPT
            recipient = parse_path(path)
            self._paths[recipient.text] = path
            self._session.rcpt(recipient, self._recipient_decided)

    def _recipient_decided(self, outcome: Outcome) -> None:
        if self.waiting == _RCPT:
            reply = outcome.reply
            self.out.append(reply_code(reply.code, reply.enhanced, reply.text) if reply else CONTINUE)
            self.waiting = 0
            self._resume()

    def _data(self, _payload: bytes) -> None:
        self._learn_queue_id(Command.DATA)

    def _learn_queue_id(self, command: Command) -> None:
        """Take the queue id from macros that came after MAIL: Postfix has none before the first recipient."""
        payload = self._macros.pop(command, None)
        if payload and self._session and not self._session.queue_id:
            self._session.queue_id = decoded(decode_macros(payload)[1].get(b"i", b""), 100)

    def _header(self, payload: bytes) -> None:
        name, value = decode_header(payload)
        self._header_block.add(name, value if self._terms.leading_space else b" " + value)

    def _ignore(self, _payload: bytes) -> None:
        """Take what tells nothing new: UNKNOWN."""

    def _end_of_header(self, _payload: bytes) -> None:
        """Tell the header, so that what it gives to look up is looked up while the body arrives."""
        self._header_told = True
        if self._session is not None and not self._unjudged:
            block = self._header_block
            self._wants_body = self._session.header(block.fields, truncated=block.truncated)

    def _body(self, payload: bytes) -> None:
        if self._wants_body and self._session is not None and not self._unjudged:
            self._session.body(payload)

    def _end_of_message(self, _payload: bytes) -> None:
        self._learn_queue_id(Command.EOM)
        if not self._header_told:
            self._end_of_header(b"")
        if self._session is None or self._unjudged:
            self._accept_unjudged()
        else:
            self.waiting = _EOM
            self._session.end_of_message(self._message_decided)

    def _message_decided(self, verdict: Verdict) -> None:
        if self.waiting == _EOM:
            if verdict.reply:
                self._refuse(verdict.reply)
            elif verdict.action is Action.QUARANTINE and not any(isinstance(edit, Hold) for edit in verdict.edits):
                self.out.append(DISCARD)
                self._end_transaction()
            else:
                self._accept(verdict.edits)
            self.waiting = 0
            self._resume()

    def _refuse(self, reply: Reply) -> None:
        self.out.append(reply_code(reply.code, reply.enhanced, reply.text))
        self._end_transaction()

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
        self.out += [*encode_edits(edits, self._terms, self._paths), CONTINUE]
        self._end_transaction()

    def _abort(self, _payload: bytes) -> None:
        if self._stage == _IN_TRANSACTION:
            self._end_transaction()
            if self._session:
                self._session.abort()

    def _end_transaction(self) -> None:
        self._stage = _CONNECTED
        self._header_block = _NO_HEADER

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
        Command.EOH: (_end_of_header, _IN_TRANSACTION),
        Command.BODY: (_body, _IN_TRANSACTION),
        Command.EOM: (_end_of_message, _IN_TRANSACTION),
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
