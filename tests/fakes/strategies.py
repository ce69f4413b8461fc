"""Hypothesis strategies for transactions, facts and policies, over the literal zones of `fakes.policies`."""

from hypothesis import strategies as st

from earmark.core.evidence import (
    DomainListing,
    Fact,
    HostAddress,
    Listing,
    MailHosts,
    Question,
    ReverseName,
    Stage,
    Status,
)
from earmark.core.judge import plan
from earmark.core.mail import Client, Envelope, Header, Hop, Message, Transaction, parse_path
from earmark.core.policy import Mode, OnError, Policy, union
from fakes.policies import ALL_ZONES, NAME_ZONES, SITE, policy

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
        site=st.just(SITE),
        helo=st.sampled_from(HELOS),
        sender=st.sampled_from(SENDERS).map(parse_path),
        at=st.just(1_700_000_000.0),
        exempt=st.sampled_from(["", "", "", "authenticated as bob"]),
        relay=st.sampled_from(["", "", "", "own relay"]),
    )
    headers = st.lists(
        st.builds(Header, st.sampled_from([b"Subject", b"X-Spam-Flag", b"Received"]), st.binary(max_size=40))
    )
    messages = st.builds(Message, headers, st.lists(hops(), max_size=5))
    return st.builds(Transaction, envelopes, messages)


def facts_for(question: Question) -> st.SearchStrategy[Fact]:
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
        case ReverseName():
            names = st.sampled_from(["mail.example.net", "pool-7.example.net", "host.example.com"])
            known = st.builds(
                lambda status, name: Fact(status, (name,), 60), st.sampled_from(["pass", "fail"]).map(Status), names
            )
        case HostAddress():
            known = addresses.map(lambda address: Fact(Status.PASS, (address,), 60))
        case MailHosts():
            known = st.one_of(
                addresses.map(lambda address: Fact(Status.PASS, (address,), 60)), st.just(Fact(Status.POLICY, (), 60))
            )
    return st.one_of(unknown, absent, known)


def policies(name: str = "default") -> st.SearchStrategy[Policy]:
    return st.builds(
        lambda mode, on_error, refuse_at, mark_at, zones: policy(
            name, mode=mode, on_error=on_error, refuse_at=refuse_at, mark_at=min(mark_at, refuse_at), zones=tuple(zones)
        ),
        st.sampled_from(list(Mode)),
        st.sampled_from(list(OnError)),
        st.sampled_from([400, 800, 1200]),
        st.sampled_from([100, 500]),
        st.lists(st.sampled_from(ALL_ZONES), unique_by=lambda zone: zone.name),
    )


@st.composite
def known_worlds(
    draw: st.DrawFn, txn: Transaction, among: tuple[Policy, ...], *, late: bool = False
) -> dict[Question, Fact]:
    """Facts for everything that the policies ask up to the end of the message."""
    facts: dict[Question, Fact] = {}
    for _ in range(4):
        missing = plan(Stage.EOM, txn, facts, union(one.asking for one in among))
        for question in missing:
            fact = draw(facts_for(question))
            facts[question] = fact._replace(late=late and draw(st.booleans()))
        if not missing:
            break
    return facts
