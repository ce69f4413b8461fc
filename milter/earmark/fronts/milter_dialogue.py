"""What both milter engines do with what an MTA tells: the stages of SMTP in, decisions out; neither protocol nor I/O.

Theory of operation

1. All is taken at once, but for RCPT and end of message, which wait (`waiting`) until the engine decides. Each of the
   two is answered exactly once, by one of the methods that the front gives: `_go_on`, `_refuse`, `_discard`, `_accept`.
2. A transaction lives from MAIL to end of message or ABORT. Nothing of it is left for the next one.
3. A fault of ours ends nothing: it is logged with its traceback, what waits is accepted, and the message says that it
   was not judged.
"""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from earmark.core.evidence import Fact
from earmark.core.mail import Client, Message, Transaction, mailbox_of, parse_path
from earmark.core.recipients import Means
from earmark.core.stamp import Trace, unjudged
from earmark.core.text import decoded
from earmark.core.verdict import Action, Edit, Hold, Outcome, Reply, Verdict
from earmark.engine import Engine, Session
from earmark.fronts.events import Events, tell_fault
from earmark.fronts.milter_header import HeaderBlock
from earmark.fronts.milter_terms import Terms
from earmark.wire.milter import Command

RECIPIENTS = 1000
"""Recipients of a message; more are told 452 4.5.3, and senders try again with them (RFC 5321 section 4.5.3.1.10)."""
_TOO_MANY = Reply(452, "4.5.3", "Too many recipients")
_ALIKE = Reply(452, "4.5.3", "This recipient cannot be told from another one; send it separately")
_RCPT, _EOM = map(int, (Command.RCPT, Command.EOM))
NO_HEADER = HeaderBlock()
"""What stands between two transactions, when no field can come."""


@dataclass(slots=True)
class Shared:
    """What all milter sessions of a worker share."""

    engine: Engine
    log: Events
    lack_told: bool = False
    """That the MTA lets us edit nothing has been logged."""

    def tell_lack(self, terms: Terms) -> None:
        """Log, once, that the MTA lets us edit less than we need."""
        if terms.lacking and not self.lack_told:
            self.lack_told = True
            why = "the MTA does not let us edit the header as we need: refusals work, marks may not"
            self.log.event("degraded", level="warning", front="milter", lacking=terms.lacking, why=why)


class MilterDialogue:
    """One milter connection, above its protocol."""

    __slots__ = (
        "_header_block",
        "_header_told",
        "_paths",
        "_recipients",
        "_session",
        "_shared",
        "_trouble",
        "_unjudged",
        "_wants_body",
        "waiting",
    )

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._session: Session | None = None
        self._recipients = 0
        self._paths: dict[str, bytes] = {}
        """The recipients of this transaction, as the MTA gave them but for source routes, by their text.

        With its source route Postfix takes no recipient away: he got what was held for him.
        """
        self._header_block = NO_HEADER
        self._header_told = self._wants_body = False
        self._trouble = False
        """A fault of ours at CONNECT or HELO: no transaction of this client can be judged."""
        self._unjudged = False
        """A fault of ours in this transaction."""
        self.waiting = 0
        """The command, RCPT or EOM, that the engine has yet to decide on; 0 for none."""

    @abstractmethod
    def _go_on(self) -> None:
        """Answer RCPT: this recipient may have the message."""

    @abstractmethod
    def _refuse(self, reply: Reply) -> None:
        """Answer with a reply that refuses or defers."""

    @abstractmethod
    def _discard(self) -> None:
        """Answer end of message: it was taken, and is delivered nowhere."""

    @abstractmethod
    def _accept(self, edits: Sequence[Edit]) -> None:
        """Answer end of message: it is taken, with these edits."""

    @abstractmethod
    def _resume(self) -> None:
        """Go on: what was waited for has been answered."""

    def failed(self, error: Exception) -> None:
        """Log a fault of ours, and accept what waits for it."""
        self._log(error)
        self._unjudged = True
        waited, self.waiting = self.waiting, 0
        if waited == _RCPT:
            self._go_on()
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

    def _begin(self, client: Client, reverse: Fact | None, host: str, means: Means) -> None:
        """Note that a client connected; `means` is what the MTA lets us do."""
        self._trouble = False
        self._session = self._shared.engine.session(self.failed)
        self._session.means = means
        self._session.connect(client, reverse, host)

    def helo(self, name: bytes) -> None:
        """Note HELO or EHLO."""
        if self._session and not self._trouble:
            self._session.helo(name)

    def _begin_transaction(self, path: bytes, user: str, queue_id: bytes) -> None:
        self._recipients = 0
        self._paths = {}
        self._header_block = HeaderBlock()
        self._header_told = self._wants_body = False
        self._unjudged = self._trouble
        if self._session and not self._unjudged:
            self._session.mail(parse_path(path), user=user)
            self._session.queue_id = decoded(queue_id, 100)

    def _ask_about(self, path: bytes) -> None:
        """Have the engine decide on a recipient."""
        self._recipients += 1
        if self._recipients > RECIPIENTS:
            self._refuse(_TOO_MANY)
        elif self._session is None or self._unjudged:
            self._go_on()
        else:
            recipient = parse_path(path)
            path = b"<%b>" % mailbox_of(path)
            if self._paths.setdefault(recipient.text, path) != path:  # to take one away would leave the other
                self._refuse(_ALIKE)
                return
            self.waiting = _RCPT
            self._session.rcpt(recipient, self._recipient_decided)

    def _recipient_decided(self, outcome: Outcome) -> None:
        if self.waiting == _RCPT:
            if outcome.reply:
                self._refuse(outcome.reply)
            else:
                self._go_on()
            self.waiting = 0
            self._resume()

    def _learn_queue_id(self, queue_id: bytes) -> None:
        """Take the queue id that came after MAIL: Postfix has none before the first recipient."""
        if queue_id and self._session and not self._session.queue_id:
            self._session.queue_id = decoded(queue_id, 100)

    def end_of_header(self) -> None:
        """Tell the header, so that what it gives to look up is looked up while the body arrives."""
        self._header_told = True
        if self._session is not None and not self._unjudged:
            block = self._header_block
            self._wants_body = self._session.header(block.fields, truncated=block.truncated)

    def body(self, chunk: bytes) -> None:
        """Take a part of the body, where somebody wants to read it."""
        if self._wants_body and self._session is not None and not self._unjudged:
            self._session.body(chunk)

    def end_of_message(self) -> None:
        """Have the engine decide on the message."""
        self.waiting = _EOM
        if not self._header_told:
            self.end_of_header()
        if self._session is None or self._unjudged:
            self.waiting = 0
            self._accept_unjudged()
        else:
            self._session.end_of_message(self._message_decided)

    def _message_decided(self, verdict: Verdict) -> None:
        if self.waiting == _EOM:
            if verdict.reply:
                self._refuse(verdict.reply)
            elif verdict.action is Action.QUARANTINE and not any(isinstance(edit, Hold) for edit in verdict.edits):
                self._discard()
            else:
                self._accept(verdict.edits)
            self._end_transaction()
            self.waiting = 0
            self._resume()

    def _accept_unjudged(self) -> None:
        self._accept(self._unjudged_edits(self._header_block))
        self._end_transaction()
        if self._session is not None:
            self._guarded(self._session.abort)

    def _unjudged_edits(self, block: HeaderBlock) -> Sequence[Edit]:
        session, engine = self._session, self._shared.engine
        if session is None:
            return ()
        message = Transaction(session.envelope, Message(block.fields))
        return unjudged(message, Trace(session.id or engine.new_id(), engine.generation))

    def abort(self) -> None:
        """End the transaction without a message."""
        self._end_transaction()
        if self._session:
            self._session.abort()

    def _end_transaction(self) -> None:
        self._header_block = NO_HEADER
