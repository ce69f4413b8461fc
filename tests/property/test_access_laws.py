"""The laws of the allow and deny lists."""

import asyncio
from collections.abc import Callable, Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from earmark.core.access import Entry, Kind, Verb, decide_among, entry_text, read_entry
from earmark.core.access_index import AccessIndex
from earmark.core.evidence import (
    CheckHost,
    Entries,
    Fact,
    HostAddress,
    Listing,
    Question,
    ReverseName,
    Status,
)
from earmark.core.mail import Address, Client, parse_path
from earmark.core.policy import PolicySet
from earmark.core.verdict import Action, Outcome
from earmark.engine import Engine
from fakes.policies import SITE, ZEN, policy
from fakes.strategies import ADDRESSES
from fakes.world import FakeWorld

words = st.text(st.characters(exclude_categories=["Z", "C"]), min_size=1, max_size=30).filter(
    lambda text: text not in ("-", "*")
)
lines = st.text(max_size=200).filter(str.isprintable)
names = st.sampled_from(["example.net", "a.example.net", "*.example.net", "*.net", "example.com"])
subjects = st.one_of(
    st.tuples(st.just(Kind.CLIENT), st.sampled_from(["192.0.2.7", "192.0.2.0/24", "2001:db8::/32", "128.0.0.0/1"])),
    st.tuples(st.sampled_from([Kind.REVERSE, Kind.HELO, Kind.DOMAIN]), names),
    st.tuples(st.just(Kind.SENDER), st.sampled_from(["a@example.net", "b@example.com"])),
)
scopes = st.sampled_from(["", "example.org", "bob@example.org", "eve@example.org"])
entries = st.builds(
    lambda verb, subject, scope: Entry(verb, subject[0], subject[1], scope), st.sampled_from(Verb), subjects, scopes
)
questions = st.builds(
    Entries,
    st.sampled_from(ADDRESSES),
    st.sampled_from(["", "a.example.net"]),
    st.sampled_from(["", "example.net", "x.example.com"]),
    st.sampled_from(["", "a@example.net", "b@a.example.net", "B@example.com"]),
    st.sampled_from(["bob@example.org", "bob+x@example.org", "Eve@example.org", "bob@example.com"]),
)


texts = st.one_of(st.just(""), words)
written: st.SearchStrategy[Entry] = st.builds(
    Entry, st.sampled_from(Verb), st.sampled_from(Kind), words, texts, st.integers(0, 10**12), st.booleans(), texts,
    texts, lines,
)  # fmt: skip


@given(written)
def test_an_entry_is_read_as_it_was_written(entry: Entry) -> None:
    text = entry_text(entry)
    assert text.isprintable()
    assert read_entry(text) == entry


@given(st.text(max_size=300))
def test_no_text_makes_reading_an_entry_raise(text: str) -> None:
    for line in (text, f"allow client {text}", f"deny helo a * never authenticated {text}"):
        entry = read_entry(line)
        assert entry is None or entry_text(entry).isprintable()


@given(st.lists(entries, unique=True), st.data())
def test_the_order_of_entries_changes_nothing(among: list[Entry], data: st.DataObject) -> None:
    known = {entry: data.draw(st.sampled_from([True, False, None])) for entry in among}
    shuffled = data.draw(st.permutations(among))
    assert decide_among(shuffled, known.__getitem__) == decide_among(among, known.__getitem__)
    question = data.draw(questions)
    assert AccessIndex(shuffled).find(question) == AccessIndex(among).find(question)


def width(entry: Entry) -> int:
    """0 for a recipient, 1 for a domain, 2 for everybody."""
    return 0 if "@" in entry.scope else 1 if entry.scope else 2


@given(st.lists(entries, unique=True, min_size=1))
def test_the_narrowest_scope_decides_and_in_it_whatever_allows(among: list[Entry]) -> None:
    entry = decide_among(among, lambda _: True).entry
    assert entry is not None
    assert width(entry) == min(map(width, among))
    beside = [other for other in among if width(other) == width(entry)]
    assert (entry.verb is Verb.DENY) == all(other.verb is Verb.DENY for other in beside)


@given(st.lists(entries, unique=True), questions)
def test_keys_find_what_looking_at_each_entry_finds(among: list[Entry], question: Entries) -> None:
    alone = [entry for entry in among if AccessIndex([entry]).find(question)]
    found = AccessIndex(among).find(question)
    if question.name:
        assert sorted(found) == sorted(alone)
        return
    for kind in Kind:
        of_kind = [[entry for entry in some if entry.kind is kind] for some in (alone, found)]
        if kind is Kind.REVERSE:
            assert {entry[:1] + entry[3:4] for entry in of_kind[0]} == {entry[:1] + entry[3:4] for entry in of_kind[1]}
        else:
            assert sorted(of_kind[0]) == sorted(of_kind[1])


CLIENT, HELO, SENDER = Client("192.0.2.7"), b"a.example.net", parse_path(b"<a@example.net>")
DOMAINS = ("example.org", "b.example")
RECIPIENTS = [parse_path(f"<{user}@{domain}>".encode()) for user in ("bob", "eve") for domain in DOMAINS]


class HeldByHand(FakeWorld):
    """Answers for the lists from these entries, and else what it is told."""

    def __init__(self, among: Sequence[Entry], told: dict[type[Question], Fact]) -> None:
        super().__init__()
        self._index = AccessIndex(among)
        self._told = told

    def ask(self, question: Question, deliver: Callable[[Question, Fact], None]) -> None:
        if isinstance(question, Entries):
            found = tuple(map(entry_text, self._index.find(question)))
            deliver(question, Fact(Status.PASS if found else Status.NONE, found))
        else:
            deliver(question, self._told.get(type(question), Fact(Status.NONE)))


async def decided(world: HeldByHand, order: Sequence[Address]) -> dict[str, Action]:
    policies = PolicySet(policy(zones=(ZEN,)), {}, SITE)
    session = Engine(policies, world, "f00d" * 16, lambda _judged: None).session()
    session.connect(CLIENT)
    session.helo(HELO)
    session.mail(SENDER)
    outcomes: list[Outcome] = []
    for recipient in order:
        session.rcpt(recipient, outcomes.append)
    session.abort()
    return {one.text: outcome.action for one, outcome in zip(order, outcomes, strict=True)}


answers = st.sampled_from(
    [
        Fact(Status.TEMPERROR),
        Fact(Status.NONE),
        Fact(Status.PASS, ("a.example.net",)),
        Fact(Status.PASS, ("192.0.2.7",)),
    ]
)
listed = Fact(Status.FAIL, ("127.0.0.4",))
worlds = st.fixed_dictionaries(
    {Listing: st.just(listed), CheckHost: answers, ReverseName: answers, HostAddress: answers}
)


@settings(max_examples=60)
@given(st.lists(entries, unique=True, max_size=6), worlds, st.permutations(RECIPIENTS))
def test_what_one_recipient_allows_is_nothing_to_another_whatever_their_order(
    among: list[Entry], told: dict[type[Question], Fact], order: list[Address]
) -> None:
    together = asyncio.run(decided(HeldByHand(among, told), order))
    alone = {one.text: asyncio.run(decided(HeldByHand(among, told), [one]))[one.text] for one in RECIPIENTS}
    assert together == alone


@settings(max_examples=60)
@given(st.lists(entries, unique=True, max_size=6), worlds, st.sampled_from([CheckHost, ReverseName, HostAddress]))
def test_an_unknown_proof_never_refuses_whom_an_answer_would_not(
    among: list[Entry], told: dict[type[Question], Fact], lost: type[Question]
) -> None:
    before = asyncio.run(decided(HeldByHand(among, told), RECIPIENTS))
    after = asyncio.run(decided(HeldByHand(among, {**told, lost: Fact(Status.TEMPERROR)}), RECIPIENTS))
    assert all(after[one] is not Action.REJECT or before[one] is Action.REJECT for one in before)
