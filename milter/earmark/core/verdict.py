"""What is decided: Action, Reply, Edit, Outcome, Verdict."""

import re
from enum import IntEnum
from typing import NamedTuple

from earmark.core.effects import Effect
from earmark.core.evidence import Finding, Question
from earmark.core.text import printable


class Action(IntEnum):
    """What happens to the mail for one recipient, from the mildest to the harshest."""

    ACCEPT = 0
    MARK = 1
    QUARANTINE = 2
    DEFER = 3
    REJECT = 4

    @property
    def word(self) -> str:
        """The word for logs and JSON."""
        return _WORDS[self]


_WORDS = tuple(action.name.lower() for action in Action)

_ENHANCED = re.compile(r"[245]\.\d{1,3}\.\d{1,3}", re.ASCII)


class Reply:
    """An SMTP reply (RFC 5321 section 4.2) with its enhanced code (RFC 3463). It cannot be built wrong or unsafe.

    `code` is 400 to 599, `enhanced` is of the same class, `text` is made printable and cut to 400 characters here.
    """

    __slots__ = ("code", "enhanced", "text")

    def __init__(self, code: int, enhanced: str, text: str) -> None:
        if not 400 <= code <= 599:
            raise ValueError(f"not a refusing SMTP code: {code}")
        if not _ENHANCED.fullmatch(enhanced) or enhanced[0] != str(code)[0]:
            raise ValueError(f"enhanced code {enhanced!r} does not go with {code}")
        self.code = code
        self.enhanced = enhanced
        self.text = printable(text)

    def __str__(self) -> str:
        return f"{self.code} {self.enhanced} {self.text}"

    def __repr__(self) -> str:
        return f"Reply({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Reply) and str(self) == str(other)

    def __hash__(self) -> int:
        return hash(str(self))


class RemoveHeader(NamedTuple):
    """Remove the `nth` (from 1) field of this name, counted in the message as the edits before have left it."""

    name: str
    nth: int
    kind: str = "remove"


class InsertHeader(NamedTuple):
    """Put a field on top of the header, above the MTA's own Received. `value` may hold LF-and-tab folding, no CR."""

    name: str
    value: str
    kind: str = "insert"


class ChangeHeader(NamedTuple):
    """Give the `nth` (from 1) field of this name another value."""

    name: str
    nth: int
    value: str
    kind: str = "change"


class AddRecipient(NamedTuple):
    """Deliver to this address as well."""

    address: str
    kind: str = "add-recipient"


class RemoveRecipient(NamedTuple):
    """Do not deliver to this recipient. `address` is as the client gave it, without the angle brackets."""

    address: str
    kind: str = "remove-recipient"


class Hold(NamedTuple):
    """Have the MTA itself hold the message, for all its recipients."""

    why: str
    kind: str = "hold"


Edit = RemoveHeader | InsertHeader | ChangeHeader | AddRecipient | RemoveRecipient | Hold


class Outcome(NamedTuple):
    """What one policy says."""

    action: Action
    refuse_score: int
    mark_score: int
    findings: tuple[Finding, ...] = ()
    unknown: tuple[Question, ...] = ()
    """What the policy asked and nobody answered."""
    would: Action = Action.ACCEPT
    """What mode = "enforce" would have done; equal to `action` where the mode holds nothing back."""
    reply: Reply | None = None
    """What the client is told, for DEFER and REJECT."""
    effects: tuple[Effect, ...] = ()
    """What is to be kept, where this was decided at RCPT."""


class Verdict(NamedTuple):
    """What happens to the message as a whole."""

    action: Action
    """For the message, the mildest over the recipients: with QUARANTINE it is held for all, and goes no further."""
    outcomes: tuple[Outcome, ...] = ()
    """One for each distinct policy of the accepted recipients."""
    edits: tuple[Edit, ...] = ()
    reply: Reply | None = None
    """What the client is told at the end of a message that is refused or deferred."""
