"""Hypothesis strategies for transactions, facts and policies, over the literal zones of `fakes.policies`."""

from collections.abc import Sequence
from dataclasses import replace

from hypothesis import strategies as st

from earmark.core.access import Entry, Kind, Verb, entry_text
from earmark.core.access_index import AccessIndex
from earmark.core.authentication.signature import Signature, signature_text
from earmark.core.checks.content import (
    ContentKnobs,
    HeldBy,
    MixedMarks,
    MixedRecipients,
    MixedRefusals,
    OnVirus,
    Scanned,
    WhenUnscanned,
)
from earmark.core.checks.released import FIELD
from earmark.core.evidence import (
    ArcChain,
    CheckHost,
    DmarcRecords,
    DomainListing,
    Entries,
    Fact,
    Greylisting,
    HostAddress,
    Listing,
    MailHosts,
    Points,
    Question,
    Release,
    ReverseName,
    Scanner,
    Signatures,
    SpamScan,
    Stage,
    Status,
    Taking,
    VirusScan,
)
from earmark.core.judge import plan
from earmark.core.mail import Address, Client, Envelope, Header, Hop, Message, Transaction, parse_path
from earmark.core.policy import AfterData, Mode, OnError, Policy, union
from earmark.core.spam_score import SpamScore, spam_score_data
from fakes.policies import ALL_ZONES, GREYLISTING, LIMITS, NAME_ZONES, NO_SCANNERS, SCANNING, SITE, policy

ADDRESSES = ["192.0.2.7", "192.0.2.8", "198.51.100.9", "2001:db8::7", "10.0.0.1", "198.51.100.25"]
CODES = ["127.0.0.2", "127.0.0.4", "127.0.0.10", "127.0.5.3", "127.0.5.1"]
HELOS = ["mail.example.net", "[192.0.2.7]", "192.0.2.7", "localhost", "mx.example.org", "bad_\x00name!", "", None]
SENDERS = [
    b"<>",
    b"<a@example.net>",
    b"<a@example.org>",
    b"<nodomain>",
    b"<a@xn--bcher-kva.example>",
    b"<@h:u@d.example>",
]

RELEASE = Header(FIELD.encode(), b" 0123456789AB 00112233445566778899aabbccddeeff")
DOMAINS = ["example.net", "mail.example.net", "example.org", "lists.example.org", "other.example"]
FIELDS = [
    Header(b"From", b" Bob <bob@mail.example.net>"),
    Header(b"From", b" bob@example.org"),
    Header(b"From", b" bob@example.org(.example.net"),
    Header(b"DKIM-Signature", b" v=1"),
    Header(b"ARC-Seal", b" i=1"),
    Header(b"List-Id", b" Talk <talk.lists.example.org>"),
    Header(b"Authentication-Results", b" mx.example.org; dmarc=pass header.from=example.org"),
    RELEASE,
]
RECORDS = [
    "",
    "p=none",
    "p=reject",
    "p=reject; sp=quarantine; np=reject",
    "p=reject; adkim=s; aspf=s",
    "p=reject; psd=n",
]

AT = 1_700_000_000.0

RECIPIENTS = [b"<bob@example.org>", b"<eve@example.org>", b"<bob@example.com>"]
HELD_BY_HAND = (
    AccessIndex(),
    AccessIndex(
        [
            Entry(Verb.ALLOW, Kind.REVERSE, "*.example.net"),
            Entry(Verb.ALLOW, Kind.DOMAIN, "example.net", "eve@example.org"),
            Entry(Verb.ALLOW, Kind.CLIENT, "192.0.2.8"),
            Entry(Verb.DENY, Kind.CLIENT, "192.0.2.0/24", "example.org"),
            Entry(Verb.DENY, Kind.CLIENT, "2001:db8::/32"),
        ]
    ),
    AccessIndex(
        [
            Entry(Verb.ALLOW, Kind.DOMAIN, "example.net", "example.org"),
            Entry(Verb.ALLOW, Kind.HELO, "mail.example.net", "example.org"),
            Entry(Verb.ALLOW, Kind.CLIENT, "192.0.2.8", "bob@example.org", expires=int(AT)),
            Entry(Verb.DENY, Kind.REVERSE, "*.example.net", "bob@example.org"),
            Entry(Verb.DENY, Kind.SENDER, "a@example.net"),
        ]
    ),
)
"""Allow and deny lists; a client's address says which of them hold."""

addresses = st.sampled_from(ADDRESSES)


def hops() -> st.SearchStrategy[Hop]:
    return st.builds(
        Hop,
        address=st.one_of(st.just(""), addresses),
        helo=st.just(""),
        rdns=st.just(""),
        by=st.just("mx.example.net"),
        protocol=st.just("ESMTP"),
        authenticated=st.booleans(),
        trusted=st.booleans(),
        why=st.just(""),
        handed_over=st.booleans(),
    )


def transactions() -> st.SearchStrategy[Transaction]:
    envelopes = st.builds(
        Envelope,
        client=st.builds(Client, addresses),
        site=st.sampled_from([SITE, SCANNING, SCANNING]),
        helo=st.sampled_from(HELOS),
        sender=st.sampled_from(SENDERS).map(parse_path),
        at=st.just(AT),
        recipient=st.sampled_from(RECIPIENTS).map(parse_path),
        exempt=st.sampled_from(["", "", "", "authenticated as bob"]),
        relay=st.sampled_from(["", "", "", "own relay"]),
    )
    others = st.builds(Header, st.sampled_from([b"Subject", b"X-Spam-Flag", b"Received"]), st.binary(max_size=40))
    headers = st.lists(st.one_of(others, st.sampled_from(FIELDS)))
    messages = st.builds(Message, headers, st.lists(hops(), max_size=5))
    return st.builds(Transaction, envelopes, messages)


def facts_for(question: Question, client: str = ADDRESSES[0]) -> st.SearchStrategy[Fact]:
    """What may be answered. SpamAssassin may take `client`, or another host, for the one that came to us."""
    unknown = st.just(Fact(Status.TEMPERROR, why="timeout"))
    absent = st.just(Fact(Status.NONE, ttl=60))
    match question:
        case Listing():
            zone = next(zone for zone in ALL_ZONES if zone.name == question.zone)
            status = Status.PASS if zone.kind == "allow" else Status.FAIL
            codes = st.lists(st.sampled_from(CODES), min_size=1, max_size=3, unique=True).map(tuple)
            known = codes.map(lambda data: Fact(status, data, 60))
        case DomainListing():
            zone = next(zone for zone in NAME_ZONES if zone.name == question.zone)
            status = Status.PASS if zone.kind == "allow" else Status.FAIL
            known = st.sampled_from(["127.0.1.2", "127.0.1.102"]).map(lambda code: Fact(status, (code,), 60))
        case CheckHost():
            results = ["pass", "fail", "softfail", "neutral", "permerror"]
            known = st.sampled_from(results).map(lambda result: Fact(Status(result), ("a step",), 60, why="-all"))
        case Signatures() | ArcChain() | DmarcRecords():
            known = vouching_for(question)
        case ReverseName() | HostAddress() | MailHosts():
            known = named(question)
        case Greylisting() | Taking():
            known = counted(question)
        case Entries():
            known = absent = st.just(held_by_hand(question))
        case VirusScan() | SpamScan() | Scanner() | Release():
            return scanned(question, client)
    return st.one_of(unknown, absent, known)


def named(question: ReverseName | HostAddress | MailHosts) -> st.SearchStrategy[Fact]:
    found = addresses.map(lambda address: Fact(Status.PASS, (address,), 60))
    match question:
        case ReverseName():
            names = st.sampled_from(["mail.example.net", "pool-7.example.net", "host.example.com"])
            statuses = st.sampled_from(["pass", "fail"]).map(Status)
            return st.builds(lambda status, name: Fact(status, (name,), 60), statuses, names)
        case HostAddress():
            return found
        case MailHosts():
            return st.one_of(found, st.just(Fact(Status.POLICY, (), 60)))


UNSCANNED = [
    Fact(Status.TEMPERROR, data, why="no answer")
    for data in (("limit",), ("failing", str(AT - 10)), ("failing", str(AT - 10_000)))
]
VIRUSES = ["Eicar-Test-Signature", "Heuristics.Encrypted.Zip", "Local.Bad.UNOFFICIAL"]
SCORES = [3_10, 8_00, 12_40, 60_00, 0, 5_00, 7_95, 1_000_00, -100_00]


def scanned(question: VirusScan | SpamScan | Scanner | Release, client: str) -> st.SearchStrategy[Fact]:
    match question:
        case VirusScan():
            return st.sampled_from(
                [Fact(Status.NONE), *2 * [Fact(Status.FAIL, (name,)) for name in VIRUSES], *UNSCANNED]
            )
        case SpamScan():
            found = [
                SpamScore(Points(score), last_external, (("A_RULE", "1.000"),))
                for last_external in (*6 * [client], "203.0.113.77", "")
                for score in SCORES
            ]
            return st.sampled_from([*(Fact(Status.PASS, spam_score_data(score)) for score in found), *3 * UNSCANNED])
        case Scanner():
            down = [Fact(Status.FAIL, (fact.data[-1],)) for fact in UNSCANNED[1:]]
            return st.sampled_from([*3 * [Fact(Status.PASS)], *down])
        case Release():
            return st.sampled_from([Fact(Status.NONE), Fact(Status.PASS)])


def counted(question: Greylisting | Taking) -> st.SearchStrategy[Fact]:
    if isinstance(question, Taking):
        return st.sampled_from([Fact(Status.PASS, ("3", "0")), Fact(Status.FAIL, ("0", "5"))])
    return st.sampled_from(
        [
            Fact(Status.FAIL, (repr(AT - 10), "0123456789AB")),
            Fact(Status.FAIL, (repr(AT - 1000), "0123456789AB")),
            Fact(Status.PASS, (repr(AT - 9000), repr(AT - 5000), "1")),
            Fact(Status.PASS, (repr(AT - 9000), repr(AT - 10), "3")),
        ]
    )


def held_by_hand(question: Entries) -> Fact:
    """The answer of a store: questions about one transaction agree with each other."""
    lists = HELD_BY_HAND[ADDRESSES.index(question.client) % len(HELD_BY_HAND)]
    lines = tuple(map(entry_text, lists.find(question)))
    return Fact(Status.PASS if lines else Status.NONE, lines)


def vouching_for(question: Signatures | ArcChain | DmarcRecords) -> st.SearchStrategy[Fact]:
    match question:
        case Signatures():
            return st.lists(signatures(), min_size=1, max_size=3).map(signed)
        case ArcChain():
            return st.builds(
                lambda status, domains: Fact(status, tuple(domains), 60),
                st.sampled_from(["pass", "fail"]).map(Status),
                st.lists(st.sampled_from(DOMAINS), min_size=1, max_size=2),
            )
        case DmarcRecords():
            return dmarc_records(question.domain)


def signatures() -> st.SearchStrategy[Signature]:
    statuses = st.sampled_from(["pass", "pass", "fail", "temperror", "policy"]).map(Status)
    return st.builds(Signature, statuses, st.sampled_from(DOMAINS), bits=st.just(2048))


def signed(found: list[Signature]) -> Fact:
    statuses = [signature.status for signature in found]
    best = next((known for known in (Status.PASS, Status.TEMPERROR) if known in statuses), statuses[0])
    return Fact(best, tuple(map(signature_text, found)), 60)


def dmarc_records(domain: str) -> st.SearchStrategy[Fact]:
    names = [domain, *(above for _, _, above in [domain.partition(".")] if above)]
    texts = st.tuples(*(st.sampled_from(RECORDS) for _ in names))
    lines = texts.map(lambda drawn: tuple(f"{name} v=DMARC1; {text}" for name, text in zip(names, drawn, strict=True)))
    return lines.map(lambda data: Fact(Status.PASS, data, 60))


def content_knobs() -> st.SearchStrategy[ContentKnobs]:
    asked = st.sampled_from([Scanned.OFF, Scanned.STRANGERS, Scanned.ALL, Scanned.ALL])
    return st.builds(
        ContentKnobs,
        clamav=asked,
        virus=st.sampled_from(OnVirus),
        virus_heuristic=st.sampled_from(OnVirus),
        virus_unofficial=st.sampled_from(OnVirus),
        virus_at_most=st.sampled_from([1_000, 25_000]),
        virus_unscanned=st.sampled_from(WhenUnscanned),
        spamassassin=asked,
        spam_user=st.sampled_from(["", "example.org"]),
        spam_at_most=st.just(500),
        spam_unscanned=st.sampled_from(WhenUnscanned),
        spam_reject_score=st.sampled_from([0, 5_00, 5_00, 8_00]).map(Points),
        quarantine=st.sampled_from(HeldBy),
        mixed_refusals=st.sampled_from(MixedRefusals),
        mixed_marks=st.sampled_from(MixedMarks),
        mixed_recipients=st.sampled_from([*3 * [MixedRecipients.TOGETHER], MixedRecipients.SEPARATE]),
    )


def policies(
    name: str = "default", *, content: st.SearchStrategy[ContentKnobs] | None = None
) -> st.SearchStrategy[Policy]:
    """Policies that differ in all that matters; after DATA in what `content` says, and in nothing without it."""
    return st.builds(
        lambda mode, on_error, refuse_at, mark_at, zones, dmarc, knobs: policy(
            name,
            mode=mode,
            on_error=on_error,
            refuse_at=refuse_at,
            mark_at=min(mark_at, refuse_at),
            dmarc=dmarc,
            zones=tuple(zones),
            rates=LIMITS,
            greylist=GREYLISTING,
            content=knobs,
        ),
        st.sampled_from(list(Mode)),
        st.sampled_from(list(OnError)),
        st.sampled_from([400, 800, 1200]),
        st.sampled_from([100, 500]),
        st.lists(st.sampled_from(ALL_ZONES), unique_by=lambda zone: zone.name),
        st.just(AfterData.WEIGH) if content is None else st.sampled_from(AfterData),
        st.just(NO_SCANNERS) if content is None else content,
    )


@st.composite
def known_worlds(
    draw: st.DrawFn,
    txn: Transaction,
    among: tuple[Policy, ...],
    *,
    late: bool = False,
    recipients: Sequence[Address] = (),
) -> dict[Question, Fact]:
    """Facts for everything that the policies ask up to the end of the message, about each of the recipients."""
    facts: dict[Question, Fact] = {}
    asking = union(one.asking for one in among)
    for recipient in recipients or (txn.envelope.recipient,):
        own = replace(txn, envelope=replace(txn.envelope, recipient=recipient))
        for _ in range(4):
            missing = plan(Stage.EOM, own, facts, asking)
            for question in missing:
                fact = draw(facts_for(question, txn.envelope.client.address))
                facts[question] = fact._replace(late=late and draw(st.booleans()))
            if not missing:
                break
    return facts
