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


class DomainListing(NamedTuple):
    """Is this domain in this DNS list of names (RFC 5782 section 2.2)? Answered as a Listing is.

    `domain` is a name as `core.mail.domain_key` writes it; that an address is never asked is for the asker to see to.
    """

    zone: str
    domain: str
    kind: Literal["domain-list"] = "domain-list"


class CheckHost(NamedTuple):
    """May this address send mail in the name of this domain (RFC 7208 section 4, check_host())?

    The status is the result; `data` is how it came about, one line a step; `why` names the mechanism that decided.
    """

    address: str
    domain: str
    """Whose records are asked: the sender's domain or, with a null sender, the HELO name."""
    sender: str
    """local@domain, as macros need it."""
    helo: str
    kind: Literal["spf"] = "spf"


class Signatures(NamedTuple):
    """Which DKIM signatures does the message carry, and do they hold (RFC 6376, RFC 8463)?

    `data` is one line a signature, as `core.authentication.signature` reads it, the topmost first. PASS: at least one
    holds. TEMPERROR: none holds and one could not be verified. FAIL, POLICY, NEUTRAL, PERMERROR: what the first says.
    NONE: there is none.
    """

    content: str
    """The message, by its transaction's id."""
    kind: Literal["dkim"] = "dkim"


class ArcChain(NamedTuple):
    """Does the message's Authenticated Received Chain hold (RFC 8617 section 5.2)?

    PASS or FAIL with `data` the sealing domains, first instance first; NONE: there is no chain.
    """

    content: str
    """As in Signatures."""
    kind: Literal["arc"] = "arc"


class DmarcRecords(NamedTuple):
    """Which DMARC policy records stand at this domain and above it (RFC 9989, DNS Tree Walk)?

    PASS: `data` is one line "name record" for each name with exactly one valid record, the longest name first, down to
    where the walk ends. NONE: there is no record.
    """

    domain: str
    kind: Literal["dmarc"] = "dmarc"


class Greylisting(NamedTuple):
    """Has this triplet been seen before, and did it come back (docs/greylisting.md)?

    NONE: never seen. FAIL: seen, never passed; `data` is (first time seen, the id of the verdict then). PASS: let
    through before; `data` is (first time, last time that it was let through, how many times). Times are seconds since
    the epoch, as decimal text.
    """

    origin: str
    """The domain whose SPF passes, else the client's network, a /24 or /64."""
    sender: str
    """The sender's domain."""
    recipient: str
    """The recipient's domain; "*" for what is known of origin and sender, whoever the recipient."""
    kind: Literal["greylist"] = "greylist"


class Taking(NamedTuple):
    """Is there a token left in this bucket? The answer takes one: this is asked once for what is to be counted.

    PASS: there was. FAIL: there was none. `data` is (tokens left, seconds until the next), as decimal text.
    """

    bucket: str
    """What is limited: "client", "network", "sender", "recipient", "user"."""
    key: str
    """Whose bucket it is: an address, a network, a domain, an address of mail, a login."""
    limit: str
    """"tokens/seconds", such as "30/60": the size of the bucket and the time in which it fills from empty."""
    kind: Literal["rate"] = "rate"


class Entries(NamedTuple):
    """Which entries of the allow and deny lists are for this transaction and this recipient (docs/access.md)?

    PASS: `data` is one line an entry, as `core.access.Entry` reads it, in the order of precedence. NONE: there is none.
    """

    client: str
    name: str
    """The client's confirmed reverse name; "" where there is none or it is not known."""
    helo: str
    sender: str
    """local@domain, the domain as `core.mail.domain_key` writes it; "" for the null sender."""
    recipient: str
    """Likewise."""
    kind: Literal["access"] = "access"


class VirusScan(NamedTuple):
    """What does the virus scanner say of the message (docs/content.md)?

    NONE: it was scanned whole, and nothing was found. FAIL: `data` is the one name that was found, printable.
    TEMPERROR: it was not scanned, or not whole; `data` is ("limit",) where it never will be, being beyond a limit, else
    ("failing", since): from when on, in seconds since the epoch as decimal text, the scanner has failed, for all or for
    this message.
    """

    content: str
    """As in Signatures. The answer may be asked for before the body has come."""
    at_most: str
    """Bytes, as decimal text: a larger message is not scanned."""
    kind: Literal["virus"] = "virus"


class SpamScan(NamedTuple):
    """What score does SpamAssassin give the message (docs/content.md)?

    PASS: it was scanned; `data` is as `core.spam_score` reads it. TEMPERROR: as in VirusScan.
    """

    content: str
    """As in Signatures. To be asked when the body has come."""
    user: str
    """Whose preferences hold there; "" for the site's."""
    at_most: str
    """As in VirusScan."""
    view: Literal["whole", "without-path"]
    """The message as it came, under the Received field of our own MTA; or without all that says where it came from
    before that."""
    kind: Literal["spam"] = "spam"


class Scanner(NamedTuple):
    """Does this scanner answer, as far as it is known now? Nothing is waited for.

    PASS: so it seems. FAIL: none of its endpoints does; `data` is (since), as in VirusScan.
    """

    name: Literal["clamav", "spamassassin"]
    kind: Literal["scanner"] = "scanner"


class Release(NamedTuple):
    """Is this message one that the administrator is letting go from our quarantine at this moment?

    PASS: it is. NONE: it is not, whatever its header says.
    """

    id: str
    """The verdict that it was held by."""
    token: str
    """What proves it, from the field that `earmark quarantine release` writes."""
    kind: Literal["release"] = "release"


Question = (
    Listing
    | ReverseName
    | HostAddress
    | MailHosts
    | DomainListing
    | CheckHost
    | Signatures
    | ArcChain
    | DmarcRecords
    | Greylisting
    | Taking
    | Entries
    | VirusScan
    | SpamScan
    | Scanner
    | Release
)

_KINDS: dict[str, type[Question]] = {
    made._field_defaults["kind"]: made
    for made in (
        Listing,
        ReverseName,
        HostAddress,
        MailHosts,
        DomainListing,
        CheckHost,
        Signatures,
        ArcChain,
        DmarcRecords,
        Greylisting,
        Taking,
        Entries,
        VirusScan,
        SpamScan,
        Scanner,
        Release,
    )
}
_AS_TEXT = {ord(" "): r"\040", ord("\\"): r"\134"}


def question_text(question: Question) -> str:
    r"""Return the text form, such as "list zen.example 192.0.2.7". A space inside a field is written \040."""
    parts = (question[-1], *question[:-1])
    text = " ".join(parts)
    return text if text.count(" ") == len(parts) - 1 and "\\" not in text else " ".join(map(_escaped, parts))


def _escaped(part: str) -> str:
    return part.translate(_AS_TEXT)


def question_from_text(text: str) -> Question:
    """Read what `question_text` wrote. Raises ValueError for anything else."""
    kind, *fields = (part.replace(r"\040", " ").replace(r"\134", "\\") for part in text.split(" "))
    return question_from_parts((*fields, kind))


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
DISARMED = "disarmed"
"""How `why` begins where a list was not asked since its canaries, or its missing key, say not to."""


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
    defer_at: Points | None = None
    """From this refuse score on, where nothing refuses, the client is told to come back; None: not on this account."""
    opt_in: str = ""
    """The word under which a policy says what becomes of the message on its account after DATA, whatever the scores
    (`Policy.after_data`; docs/design.md, promise 1)."""


def points_text(score: int) -> str:
    """Return a score for people: points with two decimals."""
    return f"{score / 100:.2f}"
