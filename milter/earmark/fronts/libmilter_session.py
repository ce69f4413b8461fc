"""One connection of the libmilter engine, in two halves: libmilter's threads tell, the worker's event loop decides.

Theory of operation

1. libmilter calls back on threads of its own, one command of a connection at a time; engine and world live on the
   loop. A `Link` is the threads' half. It collects what is told and hands it over when look-ups are to begin (CONNECT,
   MAIL) and when a decision is needed (RCPT, end of message): a hand-over costs more than all it carries.
2. Only RCPT and end of message wait, each until a deadline of its own, beyond that of the engine: should the loop be
   late, the recipient or the message is accepted, and the message says that it was not judged.
3. The loop's half, `LibmilterSession`, answers through the `Waiter` that came with the question. What is answered to a
   waiter that has left is lost, which is what is meant.
"""

import asyncio
from _thread import allocate_lock
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from earmark.core.evidence import Fact
from earmark.core.mail import Client
from earmark.core.verdict import Edit, RemoveRecipient, Reply
from earmark.fronts.milter_dialogue import NO_HEADER, MilterDialogue, Shared
from earmark.fronts.milter_header import HeaderBlock
from earmark.fronts.milter_terms import Terms
from earmark.wire.milter import CHUNK


class Answer(NamedTuple):
    """What RCPT or end of message is answered: with none of these, to go on."""

    reply: Reply | None = None
    discard: bool = False
    """The message was taken, and is delivered nowhere."""
    edits: Sequence[Edit] = ()
    put_off: bool = False
    """Nobody decides any more: the MTA has gone, or the worker ends."""


_GO_ON = Answer()
_DISCARD = Answer(discard=True)
_PUT_OFF = Answer(put_off=True)


class Waiter:
    """A thread that waits for one answer from the loop."""

    __slots__ = ("_answer", "_lock")

    def __init__(self) -> None:
        self._answer: Answer | None = None
        self._lock = allocate_lock()
        self._lock.acquire()

    def tell(self, answer: Answer) -> None:
        """Give the answer; at most once."""
        self._answer = answer
        self._lock.release()

    def wait(self, seconds: float) -> Answer | None:
        """Return the answer; None when it does not come in time. May be called again."""
        self._lock.acquire(timeout=seconds)
        return self._answer


GLANCE = 0.5
"""Seconds after which a thread that waits looks whether the MTA is still there."""
Told = tuple[Callable[..., None], tuple[Any, ...]]
"""A step of LibmilterSession, and its arguments."""


class LibmilterSession(MilterDialogue):
    """The loop's half."""

    __slots__ = ("_closed", "_terms", "_waiter")

    def __init__(self, shared: Shared, terms: Terms) -> None:
        super().__init__(shared)
        self._terms = terms
        self._closed = False
        self._waiter: Waiter | None = None

    def take(self, told: Sequence[Told], waiter: Waiter | None) -> None:
        """Take what was told, in order. A step that asks comes last, and `waiter` gets its answer."""
        self._waiter = waiter
        for step, arguments in told:
            if self._closed:
                self._tell(_PUT_OFF)
                return
            try:
                step(self, *arguments)
            except Exception as error:  # noqa: BLE001 - a fault of ours ends nothing
                self._trouble = self._trouble or step in (LibmilterSession.connect, LibmilterSession.helo)
                self.failed(error)

    def connect(self, client: Client, reverse: Fact | None, host: str) -> None:
        """Note that a client connected."""
        self._begin(client, reverse, host, self._terms.means)

    def close(self) -> None:
        """Forget the client, and put off what waits."""
        self._closed = True
        super().close()
        self._tell(_PUT_OFF)

    def stranger(self, error: Exception) -> None:
        """Note that a client connected of whom nothing is known, so that nothing of his can be judged."""
        self._trouble = True
        self.failed(error)

    def mail(self, path: bytes, user: str, queue_id: bytes) -> None:
        """Begin a transaction."""
        self._begin_transaction(path, user, queue_id)
        if self._session is not None:
            self._session.means = self._terms.means

    def rcpt(self, path: bytes) -> None:
        """Ask about a recipient."""
        if self._session is not None and not _is_text(path):  # pymilter could not say whom to take away
            self._session.means = self._session.means._replace(readdress=False)
        self._ask_about(path)

    def header(self, block: HeaderBlock) -> None:
        """Note the whole header."""
        self._header_block = block
        self.end_of_header()

    def message_ended(self, queue_id: bytes) -> None:
        """Ask about the message."""
        self._learn_queue_id(queue_id)
        self.end_of_message()

    def aborted(self, queue_id: bytes) -> None:
        """End the transaction without a message."""
        self._learn_queue_id(queue_id)
        self.abort()

    def late(self, seconds: float) -> None:
        """Note that a question was not waited for any longer."""
        self._waiter = None
        self.failed(TimeoutError(f"no decision within {seconds:g} s"))

    def unjudged_edits(self, block: HeaderBlock) -> Sequence[Edit]:
        """Return the edits for a message that the loop had no time for. To be called from the thread that waited."""
        return self._unjudged_edits(block)

    def _tell(self, answer: Answer) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None:
            waiter.tell(answer)

    def _go_on(self) -> None:
        self._tell(_GO_ON)

    def _refuse(self, reply: Reply) -> None:
        self._tell(Answer(reply))

    def _discard(self) -> None:
        self._tell(_DISCARD)

    def _accept(self, edits: Sequence[Edit]) -> None:
        self._tell(Answer(edits=[self._as_given(edit) for edit in edits]))

    def _as_given(self, edit: Edit) -> Edit:
        """Return the edit with recipients as the MTA gave them."""
        return RemoveRecipient(self._paths[edit.address].decode()) if isinstance(edit, RemoveRecipient) else edit

    def _resume(self) -> None:
        """Do nothing: the thread goes on by itself."""


def _is_text(raw: bytes) -> bool:
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return True


class Link:
    """The threads' half: one connection, of which one thread at a time does something."""

    __slots__ = ("_header_told", "_loop", "_size", "_told", "block", "connected", "session", "terms")

    def __init__(self, loop: asyncio.AbstractEventLoop, shared: Shared, terms: Terms) -> None:
        self._loop = loop
        self._told: list[Told] = []
        self._size = 0
        self._header_told = False
        self.terms = terms
        self.session = LibmilterSession(shared, terms)
        self.connected = False
        self.block = NO_HEADER
        """The header of the message that comes in; NO_HEADER between transactions."""

    def tell(self, step: Callable[..., None], *arguments: Any) -> None:  # noqa: ANN401 - as the step has them
        """Keep what is told for the next hand-over."""
        self._told.append((step, arguments))

    def hand_over(self, waiter: Waiter | None = None) -> None:
        """Have the loop take what was told."""
        told, self._told = self._told, []
        self._size = 0
        self._loop.call_soon_threadsafe(self.session.take, told, waiter)

    def ask(self, seconds: float, still_there: Callable[[], bool] | None = None) -> Answer | None:
        """Have the loop take what was told, and wait for the answer; None when it does not come in time.

        `still_there` is asked each GLANCE; when it says no, the session is closed, and the answer is to put off.
        """
        waiter = Waiter()
        self.hand_over(waiter)
        left, glance = seconds, GLANCE if still_there else seconds
        while (answer := waiter.wait(min(glance, left))) is None:
            left -= glance
            if left <= 0:
                self._hand_over_this(LibmilterSession.late, seconds)
                return None
            if still_there and not still_there():
                self._hand_over_this(LibmilterSession.close)
                return _PUT_OFF
        return answer

    def _hand_over_this(self, step: Callable[..., None], *arguments: Any) -> None:  # noqa: ANN401 - as the step has them
        self.tell(step, *arguments)
        self.hand_over()

    def begin_transaction(self) -> None:
        """Expect a header."""
        self.block = HeaderBlock()
        self._header_told = False

    def end_of_header(self) -> None:
        """Tell the header, if that has not been done."""
        if not self._header_told:
            self._header_told = True
            self.tell(LibmilterSession.header, self.block)

    def body(self, chunk: bytes) -> None:
        """Tell a part of the body; a long one is handed over as it comes, so that who reads along can."""
        self.end_of_header()
        self.tell(LibmilterSession.body, chunk)
        self._size += len(chunk)
        if self._size >= CHUNK:
            self.hand_over()
