"""What a session needs of the engine that made it, and the engine of the world."""

from collections.abc import Callable
from typing import Protocol

from earmark.content import Content
from earmark.core.effects import Effect
from earmark.core.evidence import Fact, Question
from earmark.core.held import Held
from earmark.core.policy import PolicySet
from earmark.core.record import Judged

Ask = Callable[[Question, Callable[[Question, Fact], None]], None]
"""Begins to answer; see `Answers.ask`."""


class Answers(Protocol):
    """What the engine needs of the world; see `world.World`."""

    def ask(self, question: Question, deliver: Callable[[Question, Fact], None]) -> None:
        """Begin to answer."""

    def do(self, effect: Effect) -> None:
        """Have it written down."""

    def hold(self, content_id: str, content: Content) -> None:
        """Take the message that questions name by this id."""

    def drop(self, content_id: str) -> None:
        """Forget that message."""

    def keep(self, held: Held, content: Content, done: Callable[[str], None]) -> None:
        """Write a message to our quarantine; `done` gets "" when it is safely on disk, else why it is not."""


class Shared(Protocol):
    """What all sessions of a worker share; see `Engine`."""

    @property
    def policies(self) -> PolicySet:
        """The policies in force."""

    @property
    def world(self) -> Answers:
        """Whom to ask."""

    @property
    def generation(self) -> str:
        """The files that the policies are from."""

    @property
    def budget(self) -> float:
        """Seconds that RCPT and end of message each may wait for answers."""

    @property
    def scan_budget(self) -> float:
        """Seconds that the content scanners may take at the end of a message."""

    @property
    def clock(self) -> Callable[[], float]:
        """The time of day, in seconds since the epoch."""

    @property
    def new_id(self) -> Callable[[], str]:
        """Make a verdict's id."""

    def finish(self, judged: Judged) -> None:
        """Take a transaction that has ended."""
