"""What a session asks: questions begin early, are waited for once, and a wait ends with the last answer or a deadline.

The content scanners may take longer than all others, and have a deadline of their own for that.

Answers come by callback and a wait is one timer, since a task for each look-up costs more than the look-up.
"""

import asyncio
import time
from collections.abc import Callable, Iterable

from earmark.core.checks import Asking
from earmark.core.evidence import Fact, Question, SpamScan, Stage, Status, VirusScan
from earmark.core.judge import MAX_ROUNDS, plan
from earmark.core.mail import Transaction
from earmark.engine.needs import Ask

_SCANS = (VirusScan, SpamScan)
_NOT_IN_TIME = Fact(Status.TEMPERROR, why="no answer in time")


class Inquiry:
    """The questions of one connection: under way, answered, and those that are waited for."""

    __slots__ = (
        "_ask",
        "_asking",
        "_done",
        "_expired",
        "_fault",
        "_rounds",
        "_scans_longer",
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
        self._expired = 0
        """How many deadlines are over: that of the scanners is the second."""
        self._scans_longer = 0.0
        """Seconds between the two."""
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

    def gather(
        self,
        stage: Stage,
        txn: Transaction,
        asking: Asking,
        budget: float,
        done: Callable[[], None],
        *,
        scan_budget: float = 0.0,
    ) -> None:
        """Call `done` when each question of these checks has a fact, at the latest after `budget` seconds.

        `scan_budget` is for the content scanners, where it is longer.
        """
        self._stage, self._txn, self._asking, self._done = stage, txn, asking, done
        self._rounds = self._expired = 0
        self._scans_longer = max(scan_budget - budget, 0.0)
        self._started = time.monotonic()
        self._ask_more(budget)

    def _ask_more(self, budget: float = 0.0) -> None:
        """Ask round after round until nothing is missing. An answer may come before `ask` returns."""
        while missing := plan(self._stage, self._txn, self.facts, self._asking):
            late = [question for question in missing if self._is_late(question)]
            if late:
                self.facts.update(dict.fromkeys(late, _NOT_IN_TIME))
                continue
            self._rounds += 1
            self.ask(missing)
            self._waiting = self.pending.intersection(missing)
            if self._waiting:
                if self._timer is None:  # the first round's deadline is that of all
                    self._timer = asyncio.get_running_loop().call_later(budget, self.guard, self._expire)
                return
        self._finish()

    def _is_late(self, question: Question) -> bool:
        return self._rounds >= MAX_ROUNDS or self._expired > isinstance(question, _SCANS)

    def _expire(self) -> None:
        """Give up what has not come; what the scanners say is waited for until their own deadline."""
        self._timer = None
        self._waiting.clear()
        self._expired += 1 if self._scans_longer else 2
        self._rounds = 0
        self._ask_more(self._scans_longer)

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
