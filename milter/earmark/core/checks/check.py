"""What a check is: a value that names its stage and origin, what it asks, and what it finds in the answers.

There are two kinds, and the types keep the header wall: an EnvelopeCheck is handed an Envelope, from which no way leads
to the message; only a MessageCheck sees the Transaction. A check decides nothing.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from earmark.core.effects import Effect
from earmark.core.evidence import Facts, Finding, Origin, Points, Question, Stage
from earmark.core.mail import Envelope, Transaction
from earmark.core.verdict import Action

Knobs = Any
"""The frozen dataclass beside a check; only that check knows its type."""

UNLESS_ALLOWED = Points(-50_00)
"""Only an entry of the allow lists takes a score below this: whom it names is not told to come back, and nothing that
is unknown is held against him."""


def no_relief(_question: Question, _envelope: Envelope, _facts: Facts, _knobs: Knobs) -> int:
    """Return 0: no answer to this question could help the sender."""
    return 0


def no_relief_of_message(_question: Question, _txn: Transaction, _facts: Facts, _knobs: Knobs) -> int:
    """Return 0, as `no_relief` does."""
    return 0


def no_effects(_envelope: Envelope, _facts: Facts, _knobs: Knobs, _action: Action) -> Iterable[Effect]:
    """Return nothing: what this check learns is kept nowhere."""
    return ()


@dataclass(frozen=True, slots=True)
class EnvelopeCheck:
    """A check of the connection or the envelope. Its findings count towards a refusal and towards a mark."""

    name: str
    """Also the name of its section in the policy files."""
    stage: Stage
    """From this stage on it has what it needs: CONNECT, HELO or MAIL. Of stage RCPT, it is asked for that recipient's
    own policy only, and never before the client has named the recipient."""
    origin: Origin
    knobs: type[Any]
    wants: Callable[[Envelope, Facts, Knobs], Iterable[Question]]
    examine: Callable[[Envelope, Facts, Knobs], Iterable[Finding]]
    relief: Callable[[Question, Envelope, Facts, Knobs], int] = no_relief
    """The lowest score, 0 or less, that an answer could bring: what an unanswered question must be credited with."""
    effects: Callable[[Envelope, Facts, Knobs, Action], Iterable[Effect]] = no_effects
    """What is to be kept of a recipient for whom this action was decided at RCPT."""
    per_recipient: bool = False
    """It looks at `envelope.recipient`, so that each recipient has an outcome of its own."""
    of_exempt: bool = False
    """It looks at exempt sessions too."""


@dataclass(frozen=True, slots=True)
class MessageCheck:
    """A check of the message: what it claims, and who vouches for it. Its findings count towards a mark only."""

    name: str
    stage: Stage
    """EOH or EOM."""
    origin: Origin
    knobs: type[Any]
    wants: Callable[[Transaction, Facts, Knobs], Iterable[Question]]
    examine: Callable[[Transaction, Facts, Knobs], Iterable[Finding]]
    reads_body: Callable[[Knobs], bool] = lambda _knobs: False
    """Whether it may ask what only the whole message can answer."""
    relief: Callable[[Question, Transaction, Facts, Knobs], int] = no_relief_of_message
    """As of an EnvelopeCheck."""
    of_exempt: bool = False
    """It looks at exempt sessions too."""


Check = EnvelopeCheck | MessageCheck

Asking = tuple[tuple[Check, Knobs], ...]
"""Checks, each with the knobs that it runs under."""
