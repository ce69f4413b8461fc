"""What is asked of the world and what it said: Question, Fact, Finding, and the words they use.

A Question is a hashable value; its text form (`question_text`) is the same in golden cases, records and `explain`.
A Fact is the answer. A look-up that failed is a Fact too, with status TEMPERROR: errors are not evidence.
"""

from collections.abc import Mapping, Sequence
from enum import IntEnum, StrEnum
from typing import Literal, NamedTuple, NewType

Points = NewType("Points", int)
"""A score in hundredths of a point; one point equals one SpamAssassin point."""

NO_POINTS = Points(0)


class Stage(IntEnum):
    """The stages of a milter session, in order."""

    CONNECT = 0
    HELO = 1
    MAIL = 2
    RCPT = 3
    DATA = 4
    EOH = 5
    EOM = 6


class Origin(StrEnum):
    """Where a finding's evidence comes from. Only CONNECTION and ENVELOPE count towards a refusal."""

    CONNECTION = "connection"
    ENVELOPE = "envelope"
    HEADER = "header"
    CONTENT = "content"


class Status(StrEnum):
    """Result words of RFC 8601 section 2.7, and nothing else."""

    NONE = "none"
    PASS = "pass"  # noqa: S105 - a result word
    FAIL = "fail"
    SOFTFAIL = "softfail"
    NEUTRAL = "neutral"
    POLICY = "policy"
    TEMPERROR = "temperror"
    PERMERROR = "permerror"


class Listing(NamedTuple):
    """Is this address in this DNS list (RFC 5782)?

    FAIL: a block list has it; PASS: an allow list has it; `data` holds the codes, such as "127.0.0.4". NONE: not so.
    """

    zone: str
    address: str
    kind: Literal["list"] = "list"


class ReverseName(NamedTuple):
    """Which name does this address have, and does the name lead back to it (RFC 8601 section 2.7.3, "iprev")?

    PASS: `data` is the confirmed name. FAIL: `data` are names that do not lead back. NONE: there is no name.
    """

    address: str
    kind: Literal["iprev"] = "iprev"


class HostAddress(NamedTuple):
    """Which addresses does this host name have? PASS with `data`, or NONE."""

    name: str
    kind: Literal["host"] = "host"


class MailHosts(NamedTuple):
    """Where is mail for this domain delivered (RFC 5321 section 5.1)?

    PASS: `data` are the addresses of its mail hosts. POLICY: it says that it takes no mail (null MX, RFC 7505).
    NONE: it has neither mail host nor address; `why` says which.
    """

    domain: str
    kind: Literal["mx"] = "mx"


Question = Listing | ReverseName | HostAddress | MailHosts

_KINDS: dict[str, type[Question]] = {"list": Listing, "iprev": ReverseName, "host": HostAddress, "mx": MailHosts}


def question_text(question: Question) -> str:
    """Return the text form, such as "list zen.example 192.0.2.7"."""
    return " ".join((question[-1], *question[:-1]))


def question_from_text(text: str) -> Question:
    """Read what `question_text` wrote. Raises ValueError for anything else."""
    kind, _, rest = text.partition(" ")
    return question_from_parts((*rest.split(" "), kind))


def question_from_parts(parts: Sequence[str]) -> Question:
    """Return the question whose fields these are, in order. Raises ValueError for anything else."""
    made = _KINDS.get(parts[-1]) if parts else None
    if made is None or len(parts) != len(made._fields):
        raise ValueError(f"not a question: {parts!r}")
    return made._make(parts)


class Fact(NamedTuple):
    """The answer to one Question."""

    status: Status
    data: tuple[str, ...] = ()
    ttl: int = 0
    """Seconds that the answer is good for, from `at`."""
    at: float = 0.0
    """When the answer was learnt, seconds since the epoch."""
    source: str = ""
    """Who said it: a resolver's address and port, "mta", a file's name."""
    why: str = ""
    """For a status that needs one, such as "timeout" or "SERVFAIL"."""
    late: bool = False
    """The answer came after some recipient's decision had been made without it: it may mark, never refuse."""


Facts = Mapping[Question, Fact]

UNKNOWN = Fact(Status.TEMPERROR)


class Finding(NamedTuple):
    """One thing that a check holds for or against the sender."""

    name: str
    """Stable, UPPER_SNAKE."""
    origin: Origin
    score: Points
    why: str
    """One line with the evidence."""
    knob: str
    """The setting that gave the score its weight; the policy knows the file and line that set it."""
    question: Question | None = None
    """The question whose fact is the evidence, where one was asked."""
    late: bool = False
    """Its fact came too late to refuse on."""


def points_text(score: int) -> str:
    """Return a score for people: points with two decimals."""
    return f"{score / 100:.2f}"
