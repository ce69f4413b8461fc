"""What the scanners say of the content: ClamAV of viruses, SpamAssassin of spam (docs/content.md).

A virus, an unscanned message and, where a domain opts in to it, a spam score say by a word of their own (`opt_in`) what
becomes of the message; SpamAssassin's ordinary score counts towards a mark, like everything else.

SpamAssassin looks at the message's claimed path. So a refusal needs a second opinion, the confirming scan of the
message without that path: a path can keep a message from being refused, and never bring that about. And it needs the
client's reverse name to be known, since SpamAssassin holds it against a client that it has none.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Literal, NewType

from earmark.core.checks.check import EnvelopeCheck, MessageCheck
from earmark.core.evidence import (
    NO_POINTS,
    UNKNOWN,
    Fact,
    Facts,
    Finding,
    Origin,
    Points,
    Question,
    ReverseName,
    Scanner,
    SpamScan,
    Stage,
    Status,
    VirusScan,
    points_text,
)
from earmark.core.mail import Envelope, Transaction
from earmark.core.spam_score import SpamScore, read_spam_score
from earmark.core.text import printable
from earmark.core.verdict import Action

_CLAMAV: Literal["clamav"] = "clamav"
_SPAMASSASSIN: Literal["spamassassin"] = "spamassassin"
_ALWAYS = Points(-1000_00)
"""A refuse score that none is below."""
_SHOWN = 6
"""Rules of SpamAssassin that a finding names."""


class Scanned(StrEnum):
    """Whose mail a scanner gets."""

    OFF = "off"
    STRANGERS = "strangers"
    """All but that of exempt sessions."""
    ALL = "all"


class OnVirus(StrEnum):
    """What becomes of a message in which ClamAV finds something."""

    MARK = "mark"
    QUARANTINE = "quarantine"
    REJECT = "reject"


class WhenUnscanned(StrEnum):
    """What becomes of a message that a scanner should have seen and did not."""

    STAMP = "stamp"
    MARK = "mark"
    DEFER = "defer"


class HeldBy(StrEnum):
    """Who holds what is quarantined."""

    EARMARK = "earmark"
    MTA = "mta"


class MixedRefusals(StrEnum):
    """What a recipient meets whose policy refuses or defers after DATA what another recipient's policy takes."""

    QUARANTINE = "quarantine"
    MARK = "mark"


class MixedMarks(StrEnum):
    """How a recipient is told whose policy marks what another recipient's policy does not."""

    LOWEST = "lowest"
    DETAIL = "detail"


class MixedRecipients(StrEnum):
    """Whether a recipient may share a message with one of another content class."""

    TOGETHER = "together"
    SEPARATE = "separate"


Kilobytes = Annotated[int, range(1, 1_000_001)]
Seconds = Annotated[int, range(1, 86_401)]
_Knobs = Literal["virus", "spam"]
"""How the names of a scanner's knobs begin."""
SpamUser = NewType("SpamUser", str)
"""A user's name as spamd may be told it (`wire.spamd`); "" for none."""
NO_USER = SpamUser("")


@dataclass(frozen=True, slots=True)
class ContentKnobs:
    """[content]: the scanners, what their words do, and several recipients of one message."""

    clamav: Scanned = Scanned.OFF
    virus: OnVirus = OnVirus.QUARANTINE
    virus_heuristic: OnVirus = OnVirus.MARK
    """For names that begin with "Heuristics."."""
    virus_unofficial: OnVirus = OnVirus.MARK
    """For names that end with ".UNOFFICIAL"."""
    virus_at_most: Kilobytes = 25_000
    virus_unscanned: WhenUnscanned = WhenUnscanned.STAMP
    virus_defer_for: Seconds = 600
    spamassassin: Scanned = Scanned.OFF
    spam_user: SpamUser = NO_USER
    spam_at_most: Kilobytes = 500
    spam_unscanned: WhenUnscanned = WhenUnscanned.STAMP
    spam_defer_for: Seconds = 600
    spam_reject_score: Points = NO_POINTS
    """0: off."""
    quarantine: HeldBy = HeldBy.EARMARK
    quarantine_days: Annotated[int, range(1, 3651)] = 30
    quarantine_megabytes: Annotated[int, range(1, 1_000_001)] = 500
    mixed_refusals: MixedRefusals = MixedRefusals.QUARANTINE
    mixed_marks: MixedMarks = MixedMarks.LOWEST
    mixed_recipients: MixedRecipients = MixedRecipients.TOGETHER

    def after_data(self) -> Mapping[str, Action]:
        """Return what each word of a finding does after DATA, whatever the scores."""
        words: list[str] = []
        if self.clamav is not Scanned.OFF:
            words += ["virus", "virus_heuristic", "virus_unofficial", "virus_unscanned"]
        if self.spamassassin is not Scanned.OFF:
            words.append("spam_unscanned")
        chosen = {word: getattr(self, word) for word in words}
        asked = {word: Action[does.name] for word, does in chosen.items() if does is not WhenUnscanned.STAMP}
        if self.spamassassin is not Scanned.OFF and self.spam_reject_score:
            asked["spam_reject_score"] = Action.REJECT
        return asked


def _scanned(chosen: Scanned, scanner: str, envelope: Envelope) -> bool:
    """Return whether a scanner that we have gets the mail of this session."""
    if chosen is Scanned.OFF or scanner not in envelope.site.scanners:
        return False
    return chosen is Scanned.ALL or not envelope.exempt


def _virus_scan(txn: Transaction, knobs: ContentKnobs) -> VirusScan:
    return VirusScan(txn.message.content, str(knobs.virus_at_most * 1000))


def _spam_scan(txn: Transaction, knobs: ContentKnobs, view: Literal["whole", "without-path"] = "whole") -> SpamScan:
    return SpamScan(txn.message.content, knobs.spam_user, str(knobs.spam_at_most * 1000), view)


def wants(txn: Transaction, facts: Facts, knobs: ContentKnobs) -> Iterator[Question]:
    """Ask both scanners; and for the confirming scan where the ordinary score would refuse."""
    if _scanned(knobs.clamav, _CLAMAV, txn.envelope):
        yield _virus_scan(txn, knobs)
    if _scanned(knobs.spamassassin, _SPAMASSASSIN, txn.envelope):
        ordinary = _spam_scan(txn, knobs)
        yield ordinary
        if _would_refuse(_score(facts.get(ordinary)), knobs, txn.envelope):
            yield _spam_scan(txn, knobs, "without-path")


def _score(fact: Fact | None) -> SpamScore | None:
    return read_spam_score(fact.data) if fact and fact.status is Status.PASS else None


def _would_refuse(found: SpamScore | None, knobs: ContentKnobs, envelope: Envelope) -> bool:
    """Return whether a score reaches the threshold, of a scan that took the right host for the one that came to us."""
    at = knobs.spam_reject_score
    return found is not None and 0 < at <= found.score and not _misled(found, envelope)


def _misled(found: SpamScore, envelope: Envelope) -> bool:
    """Return whether SpamAssassin took another for the client. One of our own networks or relays it may pass over."""
    return not envelope.exempt and not envelope.relay and found.last_external != envelope.client.address


def examine(txn: Transaction, facts: Facts, knobs: ContentKnobs) -> Iterator[Finding]:
    """Find a virus, the points of SpamAssassin, its refusal where it stands twice, and what was not scanned."""
    if _scanned(knobs.clamav, _CLAMAV, txn.envelope):
        question = _virus_scan(txn, knobs)
        fact = facts.get(question)
        if fact and fact.status is Status.FAIL:
            yield _virus(fact, question)
        yield from _unscanned(fact, question, "virus", txn.envelope, knobs)
    if _scanned(knobs.spamassassin, _SPAMASSASSIN, txn.envelope):
        ordinary = _spam_scan(txn, knobs)
        yield from _spam(txn, facts, knobs, ordinary)
        yield from _unscanned(facts.get(ordinary), ordinary, "spam", txn.envelope, knobs)


def _virus(fact: Fact, question: VirusScan) -> Finding:
    name = fact.data[0] if fact.data else "unnamed"
    word = "virus"
    if name.startswith("Heuristics."):
        word = "virus_heuristic"
    elif name.endswith(".UNOFFICIAL"):
        word = "virus_unofficial"
    why = f"ClamAV found {printable(name, 100)}"
    return Finding(word.upper(), Origin.CONTENT, NO_POINTS, why, f"content.{word}", question, opt_in=word)


def _spam(txn: Transaction, facts: Facts, knobs: ContentKnobs, ordinary: SpamScan) -> Iterator[Finding]:
    found = _score(facts.get(ordinary))
    if found is None:
        return
    if found.score:
        why = f"SpamAssassin gives {points_text(found.score)}: {_rules(found)}"
        yield Finding("SPAMASSASSIN", Origin.CONTENT, found.score, why, "content.spamassassin", ordinary)
    if _misled(found, txn.envelope):
        taken = found.last_external or "nobody"
        why = f"SpamAssassin took {taken} for the host that came to us, which was {txn.envelope.client.address}"
        yield Finding("SPAMASSASSIN_MISLED", Origin.CONTENT, NO_POINTS, why, "content.spamassassin", ordinary)
    confirming = _spam_scan(txn, knobs, "without-path")
    confirmed = _score(facts.get(confirming))
    reverse = facts.get(ReverseName(txn.envelope.client.address), UNKNOWN)
    known = bool(txn.envelope.exempt) or reverse.status is not Status.TEMPERROR
    if known and _would_refuse(found, knobs, txn.envelope) and _would_refuse(confirmed, knobs, txn.envelope):
        score = points_text(confirmed.score if confirmed else 0)
        why = f"SpamAssassin gives {points_text(found.score)}, and {score} whatever path the message claims"
        word = "spam_reject_score"
        yield Finding("SPAM_CONFIRMED", Origin.CONTENT, NO_POINTS, why, f"content.{word}", confirming, opt_in=word)


def _rules(found: SpamScore) -> str:
    named = ", ".join(f"{name}={points}" for name, points in found.rules[:_SHOWN])
    more = len(found.rules) - _SHOWN
    return (named or "no rule") + (f" and {more} more" if more > 0 else "")


def _unscanned(
    fact: Fact | None, question: Question, scanner: _Knobs, envelope: Envelope, knobs: ContentKnobs
) -> Iterator[Finding]:
    """Find that a message was not scanned, where the policy has it marked or deferred for that."""
    word = f"{scanner}_unscanned"
    chosen: WhenUnscanned = getattr(knobs, word)
    if fact is None or fact.status is not Status.TEMPERROR or chosen is WhenUnscanned.STAMP:
        return
    if chosen is WhenUnscanned.DEFER and not _is_worth_waiting(fact, envelope, knobs, scanner):
        return
    why = f"not scanned by {'ClamAV' if scanner == 'virus' else 'SpamAssassin'}: {printable(fact.why or 'no answer')}"
    yield Finding(word.upper(), Origin.CONTENT, NO_POINTS, why, f"content.{word}", question, opt_in=word)


def _is_worth_waiting(fact: Fact, envelope: Envelope, knobs: ContentKnobs, scanner: _Knobs) -> bool:
    """Return whether a scanner may yet see the message when it comes again: no limit is in the way, and it is time."""
    if fact.data == ("limit",):
        return False
    since = float(fact.data[-1]) if fact.data else envelope.at
    longest: Seconds = getattr(knobs, f"{scanner}_defer_for")
    return envelope.at - since <= longest


def wants_scanners(envelope: Envelope, _facts: Facts, knobs: ContentKnobs) -> Iterator[Question]:
    """Ask whether the scanners answer without which the message would be deferred."""
    if knobs.virus_unscanned is WhenUnscanned.DEFER and _scanned(knobs.clamav, _CLAMAV, envelope):
        yield Scanner(_CLAMAV)
    if knobs.spam_unscanned is WhenUnscanned.DEFER and _scanned(knobs.spamassassin, _SPAMASSASSIN, envelope):
        yield Scanner(_SPAMASSASSIN)


def examine_scanners(envelope: Envelope, facts: Facts, knobs: ContentKnobs) -> Iterator[Finding]:
    """Find a scanner that does not answer, as long as the message is to wait for it."""
    for question in wants_scanners(envelope, facts, knobs):
        fact = facts.get(question)
        scanner: _Knobs = "virus" if question == Scanner(_CLAMAV) else "spam"
        if fact and fact.status is Status.FAIL and _is_worth_waiting(fact, envelope, knobs, scanner):
            why = "The content scanner does not answer at this time; try again later"
            knob = f"content.{scanner}_unscanned"
            yield Finding("SCANNER_DOWN", Origin.ENVELOPE, NO_POINTS, why, knob, question, defer_at=_ALWAYS)


def reads_body(knobs: ContentKnobs) -> bool:
    """Return whether a scanner is to see the message."""
    return not knobs.clamav is knobs.spamassassin is Scanned.OFF


SCANNERS = EnvelopeCheck(
    "content", Stage.RCPT, Origin.ENVELOPE, ContentKnobs, wants_scanners, examine_scanners, of_exempt=True
)
CONTENT = MessageCheck("content", Stage.EOM, Origin.CONTENT, ContentKnobs, wants, examine, reads_body, of_exempt=True)
