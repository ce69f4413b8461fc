"""The second opinion: what another set of policies says of a transaction that has ended (docs/shadow.md).

Nobody waits for it: each step is a turn of the event loop of its own, so that neither the time that it takes nor a
fault of ours in it reaches a session or a client.
"""

import asyncio
from collections.abc import Callable
from dataclasses import replace

from earmark.core.evidence import (
    ArcChain,
    Fact,
    Greylisting,
    Question,
    Release,
    Signatures,
    SpamScan,
    Stage,
    Status,
    Taking,
    VirusScan,
)
from earmark.core.judge import MAX_ROUNDS, plan
from earmark.core.mail import Transaction
from earmark.core.policy import PolicySet
from earmark.core.recipients import judge_all
from earmark.core.record import Judged, Shadowed
from earmark.engine.needs import Answers

_NOT_IN_TIME = Fact(Status.TEMPERROR, why="no answer in time")
_NOT_ASKED = (Signatures, ArcChain, VirusScan, SpamScan, Release, Greylisting, Taking)
"""The body is gone by now, and what counts or waits must not count or wait twice."""
_NO_ANSWER = Fact(Status.TEMPERROR, ("limit",), why="not asked for a shadow")


class Shadow:
    """One transaction and what only the shadow asks about it."""

    def __init__(
        self,
        judged: Judged,
        policies: PolicySet,
        generation: str,
        done: Callable[["Shadow", Judged], None],
    ) -> None:
        """`done` gets the transaction with what the shadow says, or without it where we failed; it is called once.

        The session goes on to change its facts and its envelope, so they are copied.
        """
        txn = replace(judged.txn, envelope=replace(judged.txn.envelope))
        self._judged = judged = replace(judged, txn=txn, facts=dict(judged.facts))
        self._policies = policies
        self._generation = generation
        self._done = done
        self._txn = Transaction(replace(txn.envelope, site=policies.site), txn.message)
        self._own: dict[Question, Fact] = {}
        self._pending: set[Question] = set()
        self._rounds = 0
        self._over = False
        self._timer: asyncio.TimerHandle | None = None

    def judge(self, world: Answers, budget: float) -> None:
        """Ask, round after round, what is missing; judge when all is there or `budget` seconds have passed."""
        self._world = world
        self._loop = asyncio.get_running_loop()
        self._timer = self._loop.call_later(budget, self.give_up)
        self._loop.call_soon(self._ask_more)

    def _ask_more(self) -> None:
        if self._over:
            return
        self._rounds += 1
        missing = self._missing()
        if not missing or self._rounds > MAX_ROUNDS:
            self.give_up()
            return
        self._pending.update(missing)
        for question in missing:
            self._world.ask(question, self._deliver)

    def _missing(self) -> list[Question]:
        known = {**self._own, **self._judged.facts}
        missing: dict[Question, None] = {}
        for address, _, _ in self._judged.recipients:
            self._txn.envelope.recipient = address
            asking = self._policies.find(address).asking
            missing.update(dict.fromkeys(plan(self._stage, self._txn, known, asking)))
        not_asked = [question for question in missing if isinstance(question, _NOT_ASKED)]
        self._own.update(dict.fromkeys(not_asked, _NO_ANSWER))
        return [question for question in missing if question not in self._own]

    @property
    def _stage(self) -> Stage:
        return Stage.EOM if self._judged.ended == "eom" else Stage.RCPT

    def _deliver(self, question: Question, fact: Fact) -> None:
        if question not in self._pending:
            return
        self._own[question] = fact
        self._pending.discard(question)
        if not self._pending:
            self._loop.call_soon(self._ask_more)

    def give_up(self) -> None:
        """Judge with what is known now."""
        if self._over:
            return
        self._over = True
        if self._timer is not None:
            self._timer.cancel()
        self._pending.clear()
        judged = self._judged
        try:
            judged = replace(judged, shadow=self._judge())
        except Exception as error:  # noqa: BLE001 - told to the loop; the record itself must not be lost with it
            self._loop.call_exception_handler({"message": "the shadow cannot judge", "exception": error})
        self._done(self, judged)

    def _judge(self) -> Shadowed:
        while missing := self._missing():
            self._own.update(dict.fromkeys(missing, _NOT_IN_TIME))
        judged = self._judged
        facts = {**self._own, **judged.facts}
        paths = [address for address, _, _ in judged.recipients]
        recipients, _ = judge_all(
            self._txn,
            facts,
            self._policies,
            paths,
            judged.id,
            ended=judged.ended,
            means=judged.means,
            before=judged.taken,
            others=judged.others,
        )
        return Shadowed(self._generation, recipients, self._own)
