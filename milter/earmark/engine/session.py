"""One SMTP connection: look-ups start early, are waited for once, and then it is decided.

A front tells a Session what happened, stage by stage. Look-ups start at CONNECT, HELO, MAIL and the end of the header
without waiting; RCPT and end of message wait for what their own policies need, until one deadline. An answer that
misses it is unknown; should it still come, it may mark, never refuse.

How a session asks and waits is in `inquiry`.
"""

from collections.abc import Callable, Sequence

from earmark.content import Content
from earmark.core.checks import Asking
from earmark.core.evidence import (
    ArcChain,
    Fact,
    Listing,
    Question,
    ReverseName,
    Signatures,
    SpamScan,
    Stage,
    Status,
    VirusScan,
)
from earmark.core.held import held
from earmark.core.judge import plan
from earmark.core.mail import Address, Client, Envelope, Header, Message, Transaction, within
from earmark.core.own_received import own_received
from earmark.core.policy import Policy, union
from earmark.core.received import read_chain
from earmark.core.recipients import (
    ALL_MEANS,
    Key,
    Recipient,
    conclude,
    key_of,
    outcome_at_rcpt,
    put_off,
    separated,
    shown,
    taken,
    taken_elsewhere,
)
from earmark.core.record import Judged
from earmark.core.stamp import Trace, edits
from earmark.core.text import decoded, printable
from earmark.core.verdict import Action, Hold, Outcome, Verdict
from earmark.engine.counted import asked_before
from earmark.engine.inquiry import Inquiry
from earmark.engine.keeping import keep
from earmark.engine.needs import Shared

_AUTHENTICATED = "authenticated as"
_NO_MESSAGE = Message()
_NO_VERDICT = Verdict(Action.ACCEPT)
_OF_THE_WHOLE = (Signatures, ArcChain, VirusScan, SpamScan)
"""What only the whole message answers."""
_AFTER_THE_BODY = (Signatures, ArcChain, SpamScan)
"""Those who want it at once. The virus scanner takes it as it comes."""
_BACKSTOP = 1.0
"""Seconds that we wait longer for the scanners than they have themselves."""


class Session:
    """One SMTP connection and its transactions, one after the other.

    `rcpt` and `end_of_message` answer by calling `done`, at once or later; a front tells nothing else in between.
    """

    __slots__ = (
        "_ahead",
        "_content",
        "_early",
        "_engine",
        "_inquiry",
        "_kept",
        "_not_kept",
        "_others",
        "_recipients",
        "_taken",
        "ended",
        "envelope",
        "id",
        "means",
        "queue_id",
        "txn",
    )

    def __init__(
        self,
        engine: Shared,
        fault: Callable[[Exception], None] | None = None,
        *,
        taken: bool = False,
        ahead: bool = True,
    ) -> None:
        """`taken`: whatever is found of them now, recipients have been taken before, at another door.

        Then nothing is written at RCPT, and what counts or waits is not asked: both have been done there.

        `ahead`: look-ups begin before the recipient is known, for whatever policy may want them. False where all is
        told at once: then only what his own policy asks is looked up.
        """
        self._engine = engine
        self._ahead = ahead
        self._taken = taken
        ask = engine.world.ask
        self._inquiry = Inquiry(asked_before(ask, engine.clock) if taken else ask, fault)
        self.envelope = Envelope(Client(""), engine.policies.site, at=engine.clock())
        self.txn = Transaction(self.envelope, _NO_MESSAGE)
        self._kept: set[Question] = set()
        """Questions about the connection: their answers are good for all its transactions."""
        self.means = ALL_MEANS
        self.ended: tuple[Recipient, ...] = ()
        """The recipients of the transaction that has ended last, with what became of them."""
        self._clear()

    @property
    def facts(self) -> dict[Question, Fact]:
        """What is known, for the transaction under way and of the connection."""
        return self._inquiry.facts

    def _clear(self) -> None:
        self._recipients: list[Recipient] = []
        self._others: list[Recipient] = []
        self._early: dict[Key, Outcome] = {}
        self._content: Content | None = None
        self.id = ""
        self.queue_id = ""
        self._not_kept = ""
        if not self.means.keep:
            self.means = self.means._replace(keep=True)
        self._inquiry.waited = 0.0

    def connect(self, client: Client, reverse: Fact | None = None, host: str = "") -> None:
        """Note that a client connected.

        `reverse` is what the MTA already knows of its reverse name, `host` the MTA's own name.
        """
        site = self._engine.policies.site
        exempt = relay = ""
        if not client.address:
            exempt = "local: the MTA named no client address"
        elif within(client.address, site.networks):
            exempt = f"own network: {client.address} is in [site] networks"
        elif within(client.address, site.relays):
            relay = f"own relay: {client.address} is in [site] relays"
        self.envelope = Envelope(
            client,
            site,
            at=self._engine.clock(),
            exempt=exempt,
            relay=relay,
            authserv_id=site.authserv_id or host,
        )
        self.txn = Transaction(self.envelope, _NO_MESSAGE)
        if reverse is not None and client.address:
            self.facts[ReverseName(client.address)] = reverse
        self._foresee(Stage.CONNECT)
        self._kept = self._inquiry.known()

    def helo(self, name: bytes) -> None:
        """Note HELO or EHLO; a client may say it again, after STARTTLS for one."""
        self.envelope.helo = decoded(name)
        before = self._inquiry.known()
        self._foresee(Stage.HELO)
        self._kept |= self._inquiry.known() - before  # not what an earlier transaction asked for itself

    def mail(self, sender: Address, *, user: str = "") -> None:
        """Begin a transaction. `user` is who authenticated, "" for nobody."""
        self._end("mail")
        self.id = self._engine.new_id()
        exempt = self.envelope.exempt if not self.envelope.exempt.startswith(_AUTHENTICATED) else ""
        if user and not exempt:
            exempt = f"{_AUTHENTICATED} {printable(user, 100)}"
        known = self.envelope
        self.envelope = Envelope(
            known.client,
            known.site,
            known.helo,
            sender,
            self._engine.clock(),
            exempt,
            known.relay,
            user,
            known.authserv_id,
            id=self.id,
        )
        self.txn = Transaction(self.envelope, _NO_MESSAGE)
        self._inquiry.pending &= self._kept
        self._inquiry.facts = self._good_facts()
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

    def took(self, recipient: Address) -> None:
        """Note a recipient of this transaction who has been taken elsewhere: others may not want to share with him."""
        one = taken_elsewhere(recipient, self._engine.policies)
        if all(one.policy.content_class != other.policy.content_class for other in self._others):
            self._others.append(one)

    def rcpt(self, recipient: Address, done: Callable[[Outcome], None]) -> None:
        """Decide on a recipient; `done` gets the outcome with its reply."""
        policy = self._engine.policies.find(recipient)
        self.envelope.recipient = recipient

        def decided() -> None:
            outcome = self._outcome_at_rcpt(policy, recipient)
            if self._taken:
                outcome = taken(outcome)
            else:
                outcome = separated(outcome, policy, (*self._others, *self._recipients), self.id)
            self._recipients.append(Recipient(recipient, policy, outcome))
            done(outcome)

        self._inquiry.gather(Stage.RCPT, self.txn, policy.asking, self._engine.budget, decided)

    def _outcome_at_rcpt(self, policy: Policy, recipient: Address) -> Outcome:
        key = key_of(policy, recipient)
        known = self._early.get(key)
        if known is None:
            known = outcome_at_rcpt(self.txn, self.facts, policy, recipient, self.id)
            self._early[key] = known
            for effect in () if self._taken else known.effects:
                self._engine.world.do(effect)
        return known

    def header(self, headers: Sequence[Header], *, truncated: bool = False) -> bool:
        """Take the whole header; what it gives to look up is begun. Return whether the body is wanted as well."""
        exempt = self.envelope.exempt
        hops = () if exempt else read_chain(headers, self.envelope.site, self.envelope.client.address)
        self.txn = Transaction(self.envelope, Message(headers, hops, truncated, self.id))
        wanted = plan(Stage.EOM, self.txn, self.facts, self._asking_of_message())
        if self._may_hold() or any(isinstance(question, _OF_THE_WHOLE) for question in wanted):
            self._content = Content(headers, truncated=truncated)
            self._engine.world.hold(self.id, self._content)
        self._inquiry.ask(question for question in wanted if not isinstance(question, _AFTER_THE_BODY))
        return self._content is not None

    def _may_hold(self) -> bool:
        """Return whether the message may have to go to our quarantine."""
        site = self.envelope.site
        return any(policy.may_hold(site) for policy in self._accepting())

    def body(self, chunk: bytes) -> None:
        """Take a part of the body, where `header` has asked for it."""
        if self._content is not None:
            self._content.add(chunk)

    def end_of_message(self, done: Callable[[Verdict], None]) -> None:
        """Decide on the message, whose header and body have been told; `done` gets the verdict with its edits."""
        if self._content is not None:
            self._content.received = own_received(self.envelope, self._reverse_name(), self.queue_id)
            self._content.finish()

        def ended(recipients: Sequence[Recipient], verdict: Verdict) -> None:
            self._recipients = list(recipients)
            try:
                self._end("eom", verdict)
            finally:  # a verdict that cannot be told to the log stands all the same
                done(verdict)

        self._inquiry.gather(
            Stage.EOM,
            self.txn,
            self._asking_of_message(),
            self._engine.budget,
            lambda: self._conclude(ended),
            scan_budget=self._engine.scan_budget + _BACKSTOP,
        )

    def _reverse_name(self) -> str:
        """Return the client's name for who scans the message; where it is unknown, in the kindest sense, its HELO."""
        fact = self.facts.get(ReverseName(self.envelope.client.address))
        if fact is None or fact.status is Status.TEMPERROR:
            return self.envelope.helo or ""
        return fact.data[0] if fact.status is Status.PASS else ""

    def _asking_of_message(self) -> Asking:
        asking = [policy.asking_of_message for policy in self._accepting()]
        return asking[0] if len(asking) == 1 else union(asking)

    def _accepting(self) -> set[Policy]:
        return {one.policy for one in self._recipients if one.outcome.action is Action.ACCEPT}

    def _conclude(self, ended: Callable[[Sequence[Recipient], Verdict], None]) -> None:
        """Make the verdict; what is to be held is on disk before it is told."""
        if self._content is not None and self._content.beyond_limits:
            self.means = self.means._replace(keep=False)
        recipients, verdict = conclude(self.txn, self.facts, self._recipients, self.id, self.means)
        if verdict.action < Action.QUARANTINE or verdict.edits:
            told, policies = shown(recipients, verdict)
            trace = Trace(self.id, self._engine.generation)
            verdict = verdict._replace(edits=(*edits(self.txn, self.facts, told, policies, trace), *verdict.edits))
        kept = held(self.txn, self.queue_id, recipients)
        if kept is None or any(isinstance(edit, Hold) for edit in verdict.edits):
            ended(recipients, verdict)
            return

        def written(why: str) -> None:
            if self.id == kept.id:  # else the client has gone meanwhile
                self._not_kept = why
                told = put_off(recipients, self.id) if why else (recipients, verdict)
                self._inquiry.guard(lambda: ended(*told))

        keep(self._engine, kept, self._content, written)

    def abort(self) -> None:
        """End the transaction without a message: RSET, or the MTA gave up."""
        self._end("abort")

    def answered(self) -> None:
        """End the transaction where one recipient was all that was asked about."""
        self._end("policy")

    def close(self) -> None:
        """Forget the connection. Look-ups under way go on for whoever else asked; nobody waits here any more."""
        self._end("disconnect")
        self._inquiry.close()

    def _end(self, ended: str, verdict: Verdict | None = None) -> None:
        self._inquiry.stop()
        if self._content is not None:
            self._engine.world.drop(self.id)
            self._content.close()
        if self.id:  # lists are asked again: the cache knows what one said, unless it has been disarmed meanwhile
            self._kept = {question for question in self._kept if not isinstance(question, Listing)}
        self.ended = tuple(self._recipients)
        judged = Judged(
            self.id, self.txn, self.facts, self.ended, verdict or _NO_VERDICT, self.queue_id, ended,
            self._engine.generation, self._inquiry.waited, means=self.means, not_kept=self._not_kept, taken=self._taken,
            others=tuple(one.address for one in self._others),
        )  # fmt: skip
        self._clear()  # before it is told: a fault in telling must not come up again with what is next here
        if judged.id and judged.recipients:
            self._engine.finish(judged)

    def _foresee(self, stage: Stage) -> None:
        if self._ahead:
            self._inquiry.ask(plan(stage, self.txn, self.facts, self._engine.policies.asking_at[stage]))
