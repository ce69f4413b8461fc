"""Whatever senders write, our Authentication-Results field says what was meant, and no more (RFC 8601)."""

import authres
from authres.core import AuthenticationResultsHeader
from hypothesis import given
from hypothesis import strategies as st

from earmark.core.authentication.assessment import assess
from earmark.core.authentication.authres import authentication_results, is_our_results
from earmark.core.authentication.signature import Signature, signature_text
from earmark.core.evidence import ArcChain, Fact, Facts, Question, ReverseName, Signatures, Stage, Status
from earmark.core.judge import decide, examine, plan
from earmark.core.mail import Client, Envelope, Header, Message, Transaction, parse_path
from earmark.core.policy import AfterData
from earmark.core.verdict import Action
from fakes.policies import SITE, policy
from fakes.strategies import DOMAINS, facts_for, known_worlds, transactions

US = "mx.example.org"
PIECES = [";", '"', "\\", "(", ")", "=", "@", ".", " ", "\t", "\r\n\t", "\n", "\x00", "\x7f", "ü", "\u202e", "'", "/"]
WORDS = ["dkim=pass", "header.d=bank.example", "; dmarc=pass", "bank.example", "a" * 300, "none", "mx.example.org; "]
hostile = st.lists(st.one_of(st.sampled_from(PIECES + WORDS), st.text(max_size=5)), max_size=8).map("".join)
statuses = st.sampled_from(list(Status))


@st.composite
def signatures(draw: st.DrawFn) -> Fact:
    words = st.one_of(st.sampled_from(DOMAINS), hostile)
    one = st.builds(Signature, statuses, words, words, words, words, st.integers(0, 9999), hostile)
    made = draw(st.lists(one, max_size=7))
    return Fact(draw(statuses), tuple(map(signature_text, made)))


@st.composite
def told(draw: st.DrawFn) -> tuple[Transaction, Facts]:
    address = draw(st.sampled_from(["192.0.2.7", "2001:db8::7"]))
    sender = parse_path(f"<{draw(hostile)}@{draw(hostile)}>".encode("utf-8", "replace"))
    fields = [Header(b"From", draw(hostile).encode("utf-8", "replace")) for _ in range(draw(st.integers(0, 2)))]
    fields += [Header(b"DKIM-Signature", b"v=1"), Header(b"ARC-Seal", b"i=1")]
    txn = Transaction(Envelope(Client(address), SITE, draw(hostile), sender), Message(fields, content="ID"))
    facts: dict[Question, Fact] = {
        ReverseName(address): Fact(draw(statuses), (draw(hostile),), why=draw(hostile)),
        Signatures("ID"): draw(signatures()),
        ArcChain("ID"): Fact(draw(statuses), (draw(hostile),)),
    }
    for question in assess(txn, facts).asked:
        if question not in facts:
            facts[question] = draw(facts_for(question))._replace(why=draw(hostile))
    return txn, facts


def intended(txn: Transaction, facts: Facts) -> list[tuple[str, str]]:
    found = assess(txn, facts)
    reverse = facts[ReverseName(txn.envelope.client.address)].status
    results: list[tuple[str, Status]] = [("iprev", Status.PERMERROR if reverse is Status.NONE else reverse)]
    if found.spf in facts and found.spf is not None:
        results.append(("spf", facts[found.spf].status))
    results += [("dkim", one.status) for one in found.signatures[:5]] or [("dkim", found.signed.status)]
    results.append(("arc", found.chain.status))
    if found.author.domain or found.author.ambiguous:
        results.append(("dmarc", found.dmarc.status))
    return [(method, str(status)) for method, status in results]


@given(told())
def test_anothers_parser_reads_the_results_that_were_meant_and_no_more(case: tuple[Transaction, Facts]) -> None:
    txn, facts = case
    value = authentication_results(txn, facts, US)
    field = AuthenticationResultsHeader.parse_value(authres.all_features(), value.replace("\n\t", " "))
    assert field.authserv_id == US
    assert [(one.method, one.result) for one in field.results] == intended(txn, facts)
    assert is_our_results(Header(b"Authentication-Results", value.encode()), US)


@given(told())
def test_the_field_is_plain_text_in_short_lines_and_not_long(case: tuple[Transaction, Facts]) -> None:
    value = authentication_results(*case, US)
    assert value.replace("\n\t", "").isascii()
    assert value.replace("\n\t", "").isprintable()
    assert len(value) < 8000
    for line in value.split("\n\t"):
        assert len(line) <= 78 or " " not in line.partition('"')[0]


@given(told())
def test_a_property_is_what_was_checked(case: tuple[Transaction, Facts]) -> None:
    txn, facts = case
    found = assess(txn, facts)
    value = authentication_results(txn, facts, US)
    field = AuthenticationResultsHeader.parse_value(authres.all_features(), value.replace("\n\t", " "))
    for one in field.results:
        if one.method == "dkim" and one.header_d is not None:
            assert one.header_d in {signature.domain for signature in found.signatures}
        if one.method == "dmarc" and one.header_from is not None:
            assert one.header_from == found.author.domain


@given(st.data(), transactions())
def test_nothing_unknown_turns_acceptance_after_data_into_a_refusal(data: st.DataObject, txn: Transaction) -> None:
    asked = policy(dmarc=AfterData.REJECT)
    facts = data.draw(known_worlds(txn, (asked,)))

    def refused(known: Facts) -> bool:
        return decide(Stage.EOM, txn, known, examine(Stage.EOM, txn, known, asked), asked).would is Action.REJECT

    if not facts or refused(facts):
        return
    question = data.draw(st.sampled_from(sorted(facts)))
    unknown: dict[Question, Fact] = {**facts, question: Fact(Status.TEMPERROR, why="timeout")}
    for missing in plan(Stage.EOM, txn, unknown, asked.asking):
        unknown[missing] = data.draw(facts_for(missing))
    assert not refused(unknown)
