"""What a session asks: questions begin early, are waited for once, and a wait ends with the last answer or a deadline.

Answers come by callback and a wait is one timer, since a task for each look-up costs more than the look-up.
"""

import asyncio
import time
from collections.abc import Callable, Iterable

from earmark.core.checks import Asking
from earmark.core.evidence import Fact, Question, Stage, Status
from earmark.core.judge import MAX_ROUNDS, plan
from earmark.core.mail import Transaction
from earmark.engine.needs import Ask

_NOT_IN_TIME = Fact(Status.TEMPERROR, why="no answer in time")


class Inquiry:
    """The questions of one connection: under way, answered, and those that are waited for."""

    __slots__ = (
        "_ask",
        "_asking",
        "_done",
        "_fault",
        "_rounds",
        "_stage",
        "_started",
        "_timer",
        "_txn",
        "_waiting",
        "facts",
        "pending",
        "waited",
    )

    def __init__(self, ask: Ask, fault: Callable[[Exception], None] | None) -> None:
        """`fault` takes an exception that came up in `done`; without it, it goes to whoever delivered the answer."""
        self._ask = ask
        self._fault = fault
        self.facts: dict[Question, Fact] = {}
        self.pending: set[Question] = set()
        """Asked and not yet answered."""
        self.waited = 0.0
        """Seconds that waits have taken since this was last set to 0."""
        self._waiting: set[Question] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._done: Callable[[], None] | None = None
        self._stage = Stage.CONNECT
        self._txn: Transaction
        self._asking: Asking = ()
        self._rounds = 0
        self._started = 0.0

    def known(self) -> set[Question]:
        """Return what has been asked or answered."""
        return self.pending | self.facts.keys()

    def ask(self, questions: Iterable[Question]) -> None:
        """Begin to ask what is not asked yet."""
        for question in questions:
            if question not in self.pending:
                self.pending.add(question)
                self._ask(question, self._deliver)

    def _deliver(self, question: Question, fact: Fact) -> None:
        if question not in self.pending:
            return
        self.pending.discard(question)
        self.facts[question] = fact._replace(late=True) if question in self.facts else fact
        if self._waiting:
            self._waiting.discard(question)
            if not self._waiting:
                self.guard(self._ask_more)

    def guard(self, step: Callable[[], None]) -> None:
        """Take a step that no front has called, so that its exception cannot reach another session's look-ups."""
        try:
            step()
        except Exception as error:
            self.stop()
            if self._fault is None:
                raise
            self._fault(error)

    def gather(self, stage: Stage, txn: Transaction, asking: Asking, budget: float, done: Callable[[], None]) -> None:
        """Call `done` when each question of these checks has a fact, at the latest after `budget` seconds."""
        self._stage, self._txn, self._asking, self._done = stage, txn, asking, done
        self._rounds = 0
        self._started = time.monotonic()
        self._ask_more(budget)

    def _ask_more(self, budget: float = 0.0) -> None:
        """Ask round after round until nothing is missing. An answer may come before `ask` returns."""
        while missing := plan(self._stage, self._txn, self.facts, self._asking):
            self._rounds += 1
            if self._rounds > MAX_ROUNDS:
                self.facts.update(dict.fromkeys(missing, _NOT_IN_TIME))
                continue
            self.ask(missing)
            self._waiting = self.pending.intersection(missing)
            if self._waiting:
                if self._timer is None:  # the first round's deadline is that of all
                    self._timer = asyncio.get_running_loop().call_later(budget, self.guard, self._give_up)
                return
        self._finish()

    def _give_up(self) -> None:
        self._timer = None
        self._waiting.clear()
        while missing := plan(self._stage, self._txn, self.facts, self._asking):
            self.facts.update(dict.fromkeys(missing, _NOT_IN_TIME))
        self._finish()

    def _finish(self) -> None:
        done = self._done
        self.waited += time.monotonic() - self._started
        self.stop()
        if done is not None:
            done()

    def stop(self) -> None:
        """Wait no more. What is under way goes on for whoever else asked."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._waiting.clear()
        self._done = None

    def close(self) -> None:
        """Wait no more, and take no answer any more."""
        self.stop()
        self.pending.clear()
