"""The engine: a short loop around `core.judge` that starts look-ups early, waits for them once, and decides.

One Session goes with one SMTP connection; a front tells it what happened, stage by stage. Look-ups start at CONNECT,
HELO and MAIL without waiting; RCPT and end of message wait for what their own policies need, until one deadline. An
answer that misses it is unknown; should it still come, it may mark, never refuse.

Answers come by callback and a wait is one Future, since a task for each look-up costs more than the look-up.
"""

import asyncio
import time
from base64 import b32encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from os import urandom
from typing import Protocol

from earmark.core.checks import Asking
from earmark.core.evidence import Fact, Question, ReverseName, Stage, Status
from earmark.core.judge import MAX_ROUNDS, combine, decide, examine, plan
from earmark.core.mail import Address, Client, Envelope, Header, Message, Transaction, within
from earmark.core.phrase import reply_for
from earmark.core.policy import Policy, PolicySet, union
from earmark.core.received import read_chain
from earmark.core.record import Judged
from earmark.core.stamp import Trace, edits
from earmark.core.text import decoded, printable
from earmark.core.verdict import Action, Outcome, Verdict

_AUTHENTICATED = "authenticated as"
# Crockford's base 32: nothing to confuse when it is read out on the phone.
_TO_CROCKFORD = bytes.maketrans(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", b"0123456789ABCDEFGHJKMNPQRSTVWXYZ")
_NOT_IN_TIME = Fact(Status.TEMPERROR, why="no answer in time")


def new_verdict_id() -> str:
    """Return 12 random base-32 digits: short enough to quote, long enough not to meet another."""
    return b32encode(urandom(8))[:12].translate(_TO_CROCKFORD).decode("ascii")


class Answers(Protocol):
    """What the engine needs of the world."""

    def ask(self, question: Question, deliver: Callable[[Question, Fact], None]) -> None:
        """Begin to answer; see `world.World.ask`."""


@dataclass(frozen=True, slots=True)
class Engine:
    """What all sessions of a worker share: one generation of policies, the world, and where verdicts are told."""

    policies: PolicySet
    world: Answers
    generation: str
    tell: Callable[[Judged], None]
    budget: float = 6.0
    """Seconds that RCPT and end of message each may wait for answers; well under half of the MTA's own limit."""
    clock: Callable[[], float] = time.time
    new_id: Callable[[], str] = new_verdict_id

    def session(self, fault: Callable[[Exception], None] | None = None) -> "Session":
        """Return the session for a new connection.

        `fault` takes an exception of ours that came up when an answer arrived, or at the deadline; what was waited for
        is then not decided. Without it such an exception goes to whoever delivered the answer.
        """
        return Session(self, fault)


class Session:
    """One SMTP connection and its transactions, one after the other.

    `rcpt` and `end_of_message` answer by calling `done`, at once or later; a front tells nothing else in between.
    """

    __slots__ = (
        "_asking",
        "_done",
        "_early",
        "_engine",
        "_fault",
        "_kept",
        "_pending",
        "_recipients",
        "_rounds",
        "_stage",
        "_started",
        "_timer",
        "_waited",
        "_waiting",
        "envelope",
        "facts",
        "id",
        "queue_id",
        "txn",
        "user",
    )

    def __init__(self, engine: Engine, fault: Callable[[Exception], None] | None = None) -> None:
        self._engine = engine
        self._fault = fault
        self.envelope = Envelope(Client(""), engine.policies.site, at=engine.clock())
        self.txn = Transaction(self.envelope, Message())
        self.facts: dict[Question, Fact] = {}
        self.user = ""
        self._kept: set[Question] = set()
        """Questions about the connection: their answers are good for all its transactions."""
        self._pending: set[Question] = set()
        self._waiting: set[Question] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._done: Callable[[], None] | None = None
        self._stage = Stage.CONNECT
        self._asking: Asking = ()
        self._rounds = 0
        self._started = 0.0
        self._clear()

    def _clear(self) -> None:
        self._recipients: list[tuple[Address, Policy, Outcome]] = []
        self._early: dict[Policy, Outcome] = {}
        self.id = ""
        self.queue_id = ""
        self._waited = 0.0

    def connect(self, client: Client, reverse: Fact | None = None) -> None:
        """Note that a client connected. `reverse` is what the MTA already knows of its reverse name."""
        site = self._engine.policies.site
        exempt = relay = ""
        if not client.address:
            exempt = "local: the MTA named no client address"
        elif within(client.address, site.networks):
            exempt = f"own network: {client.address} is in [site] networks"
        elif within(client.address, site.relays):
            relay = f"own relay: {client.address} is in [site] relays"
        self.envelope = Envelope(client, site, at=self._engine.clock(), exempt=exempt, relay=relay)
        self.txn = Transaction(self.envelope, Message())
        if reverse is not None and client.address:
            self.facts[ReverseName(client.address)] = reverse
        self._foresee(Stage.CONNECT)
        self._kept = self._pending | self.facts.keys()

    def helo(self, name: bytes) -> None:
        """Note HELO or EHLO; a client may say it again, after STARTTLS for one."""
        self.envelope.helo = decoded(name)
        self._foresee(Stage.HELO)
        self._kept |= self._pending | self.facts.keys()

    def mail(self, sender: Address, *, user: str = "") -> None:
        """Begin a transaction. `user` is who authenticated, "" for nobody."""
        self._end("mail")
        self.id = self._engine.new_id()
        self.user = user
        exempt = self.envelope.exempt if not self.envelope.exempt.startswith(_AUTHENTICATED) else ""
        if user and not exempt:
            exempt = f"{_AUTHENTICATED} {printable(user, 100)}"
        known = self.envelope
        self.envelope = Envelope(
            known.client, known.site, known.helo, sender, self._engine.clock(), exempt, known.relay
        )
        self.txn = Transaction(self.envelope, Message())
        self._pending &= self._kept
        self.facts = self._good_facts()
        self._foresee(Stage.MAIL)

    def _good_facts(self) -> dict[Question, Fact]:
        """Return what earlier transactions learnt of the connection and is still good: unknowns are asked again."""
        now = self.envelope.at
        return {
            question: fact._replace(late=False) if fact.late else fact
            for question, fact in self.facts.items()
            if question in self._kept
            and fact.status is not Status.TEMPERROR
            and (not fact.ttl or now < fact.at + fact.ttl)
        }

    def rcpt(self, recipient: Address, done: Callable[[Outcome], None]) -> None:
        """Decide on a recipient; `done` gets the outcome with its reply."""
        policy = self._engine.policies.find(recipient)

        def decided() -> None:
            outcome = self._outcome_at_rcpt(policy)
            self._recipients.append((recipient, policy, outcome))
            done(outcome)

        self._gather(Stage.RCPT, policy.asking, decided)

    def _outcome_at_rcpt(self, policy: Policy) -> Outcome:
        known = self._early.get(policy)
        if known is None:
            findings = examine(Stage.RCPT, self.txn, self.facts, policy)
            known = decide(Stage.RCPT, self.txn, self.facts, findings, policy)
            known = known._replace(reply=reply_for(known, self.envelope, policy, self.id))
            self._early[policy] = known
        return known

    def end_of_message(
        self, headers: Sequence[Header], done: Callable[[Verdict], None], *, truncated: bool = False
    ) -> None:
        """Decide on the message; `done` gets the verdict with its edits."""
        hops = () if self.envelope.exempt else read_chain(headers, self.envelope.site, self.envelope.client.address)
        self.txn = Transaction(self.envelope, Message(headers, hops, truncated))
        asking = [policy.asking_of_message for policy, early in self._early.items() if early.action is Action.ACCEPT]

        def decided() -> None:
            verdict = self._verdict_at_eom()
            self._end("eom", verdict)
            done(verdict)

        self._gather(Stage.EOM, asking[0] if len(asking) == 1 else union(asking), decided)

    def _verdict_at_eom(self) -> Verdict:
        final: dict[Policy, Outcome] = {}
        for position, (recipient, policy, early) in enumerate(self._recipients):
            if early.action is not Action.ACCEPT:
                continue
            if policy not in final:
                findings = examine(Stage.EOM, self.txn, self.facts, policy, early=early)
                final[policy] = decide(Stage.EOM, self.txn, self.facts, findings, policy, early=early)
            self._recipients[position] = (recipient, policy, final[policy])
        verdict = combine(list(final.values()))
        trace = Trace(self.id, self._engine.generation)
        return verdict._replace(edits=edits(self.txn, verdict, list(final), trace))

    def abort(self) -> None:
        """End the transaction without a message: RSET, or the MTA gave up."""
        self._end("abort")

    def close(self) -> None:
        """Forget the connection. Look-ups under way go on for whoever else asked; nobody waits here any more."""
        self._end("disconnect")
        self._pending.clear()
        self._waiting.clear()

    def _end(self, ended: str, verdict: Verdict | None = None) -> None:
        self._stop_waiting()
        if self.id and self._recipients:
            self._engine.tell(
                Judged(
                    self.id, self.txn, self.facts, tuple(self._recipients), verdict or combine([]), self.user,
                    self.queue_id, ended, self._engine.generation, self._waited,
                )
            )  # fmt: skip
        self._clear()

    def _foresee(self, stage: Stage) -> None:
        for question in plan(stage, self.txn, self.facts, self._engine.policies.asking_at[stage]):
            self._ask(question)

    def _ask(self, question: Question) -> None:
        if question not in self._pending:
            self._pending.add(question)
            self._engine.world.ask(question, self._deliver)

    def _deliver(self, question: Question, fact: Fact) -> None:
        if question not in self._pending:
            return
        self._pending.discard(question)
        self.facts[question] = fact._replace(late=True) if question in self.facts else fact
        if self._waiting:
            self._waiting.discard(question)
            if not self._waiting:
                self._guarded(self._ask_more)

    def _guarded(self, step: Callable[[], None]) -> None:
        """Take a step that no front has called, so that its exception cannot reach another session's look-ups."""
        try:
            step()
        except Exception as error:
            self._stop_waiting()
            if self._fault is None:
                raise
            self._fault(error)

    def _gather(self, stage: Stage, asking: Asking, done: Callable[[], None]) -> None:
        """Call `done` when each question of these checks has a fact, or at the deadline, whichever comes first."""
        self._stage, self._asking, self._done = stage, asking, done
        self._rounds = 0
        self._started = time.monotonic()
        self._ask_more()

    def _ask_more(self) -> None:
        """Ask round after round until nothing is missing. An answer may come before `_ask` returns."""
        while missing := plan(self._stage, self.txn, self.facts, self._asking):
            self._rounds += 1
            if self._rounds > MAX_ROUNDS:
                self.facts.update(dict.fromkeys(missing, _NOT_IN_TIME))
                continue
            for question in missing:
                self._ask(question)
            self._waiting = self._pending.intersection(missing)
            if self._waiting:
                self._set_deadline()
                return
        self._finish()

    def _set_deadline(self) -> None:
        if self._timer is None:
            left = self._started + self._engine.budget - time.monotonic()
            self._timer = asyncio.get_running_loop().call_later(left, self._expire)

    def _expire(self) -> None:
        self._guarded(self._give_up)

    def _give_up(self) -> None:
        self._timer = None
        self._waiting.clear()
        while missing := plan(self._stage, self.txn, self.facts, self._asking):
            self.facts.update(dict.fromkeys(missing, _NOT_IN_TIME))
        self._finish()

    def _finish(self) -> None:
        done = self._done
        self._waited += time.monotonic() - self._started
        self._stop_waiting()
        if done is not None:
            done()

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._waiting.clear()
        self._done = None
