"""The check of message authentication: what it asks, and what it finds."""

from collections.abc import Sequence

import pytest

from earmark.core.authentication.signature import Signature
from earmark.core.authentication.spf_identity import identity
from earmark.core.checks import authentication as check
from earmark.core.checks.authentication import AuthenticationKnobs
from earmark.core.evidence import (
    ArcChain,
    DmarcRecords,
    Fact,
    Finding,
    MailHosts,
    Points,
    Question,
    Signatures,
    Stage,
    Status,
)
from earmark.core.judge import plan
from earmark.core.mail import Client, Envelope, Header, Message, Transaction, parse_path
from fakes.policies import AUTHENTICATION as KNOBS
from fakes.policies import SITE
from fakes.strategies import signed

FROM = Header(b"From", b" Bob <bob@example.org>")
SIGNED = Header(b"DKIM-Signature", b" v=1")
SEALED = Header(b"ARC-Seal", b" i=1")
LISTED = Header(b"List-Id", b" Talk <talk.lists.example.net>")
AUTHOR, DKIM, ARC = DmarcRecords("example.org"), Signatures("ID"), ArcChain("ID")
PASS, FAIL, TEMPERROR = Status.PASS, Status.FAIL, Status.TEMPERROR
REJECT = Fact(PASS, ("example.org v=DMARC1; p=reject",))
Facts = dict[Question, Fact]


def mail(
    *headers: Header, sender: bytes = b"<bob@example.net>", relay: str = "", truncated: bool = False
) -> Transaction:
    envelope = Envelope(Client("192.0.2.7"), SITE, "mail.example.net", parse_path(sender), relay=relay)
    return Transaction(envelope, Message(headers, truncated=truncated, content="ID"))


def spf(txn: Transaction) -> Question:
    question = identity(txn.envelope)
    assert question is not None
    return question


def signatures(*pairs: tuple[Status, str]) -> Fact:
    return signed([Signature(status, domain) for status, domain in pairs])


def found(txn: Transaction, facts: Facts, knobs: AuthenticationKnobs = KNOBS) -> list[Finding]:
    return list(check.examine(txn, facts, knobs))


def told(findings: Sequence[Finding]) -> list[tuple[str, int, str]]:
    return [(finding.name, finding.score, finding.opt_in) for finding in findings]


FAILING = mail(FROM)
FAILED: Facts = {AUTHOR: REJECT, spf(FAILING): Fact(FAIL)}


def test_what_the_message_has_not_is_not_asked() -> None:
    assert list(check.wants(FAILING, {}, KNOBS)) == [spf(FAILING), AUTHOR]
    assert list(check.wants(mail(), {}, KNOBS)) == []
    assert list(check.wants(mail(SIGNED, SEALED), {}, KNOBS)) == [DKIM, ARC]


def test_without_verify_nothing_is_asked_and_only_the_author_is_looked_at() -> None:
    knobs = AuthenticationKnobs(verify=False, dmarc_reject=Points(500), author_ambiguous=Points(200))
    assert list(check.wants(mail(FROM, SIGNED, SEALED), {}, knobs)) == []
    assert found(FAILING, FAILED, knobs) == []
    assert told(found(mail(FROM, FROM), {}, knobs)) == [("AUTHOR_AMBIGUOUS", 200, "")]


def test_all_is_asked_in_three_rounds() -> None:
    txn = mail(Header(b"From", b" bob@no.example.org"), SIGNED, SEALED)
    author, sibling, exists = (
        DmarcRecords("no.example.org"),
        DmarcRecords("news.example.org"),
        MailHosts("no.example.org"),
    )
    answers: Facts = {
        DKIM: signatures((PASS, "news.example.org"), (PASS, "example.com")),
        ARC: Fact(PASS, ("example.com",)),
        spf(txn): Fact(FAIL),
        author: Fact(PASS, ("example.org v=DMARC1; p=none; np=reject",)),
        sibling: Fact(PASS, ("news.example.org v=DMARC1; psd=n",)),
        exists: Fact(Status.NONE, why="NXDOMAIN"),
    }
    facts: Facts = {}
    rounds = []
    while asked := plan(Stage.EOM, txn, facts, ((check.AUTHENTICATION, KNOBS),)):
        rounds.append(asked)
        facts.update({question: answers[question] for question in asked})
    assert rounds == [[DKIM, ARC, spf(txn), author], [sibling], [exists]]
    assert told(found(txn, facts)) == [("DMARC_REJECT", 500, "dmarc")]


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        ("p=none", ("DMARC_FAIL", 50, "")),
        ("p=quarantine", ("DMARC_QUARANTINE", 300, "")),
        ("p=reject", ("DMARC_REJECT", 500, "dmarc")),
        ("p=reject; t=y", ("DMARC_QUARANTINE", 300, "")),
    ],
)
def test_a_failure_weighs_what_the_authors_domain_asks(record: str, expected: tuple[str, int, str]) -> None:
    facts = {**FAILED, AUTHOR: Fact(PASS, (f"example.org v=DMARC1; {record}",))}
    assert told(found(FAILING, facts)) == [expected]


def test_the_finding_names_its_evidence() -> None:
    (finding,) = found(FAILING, FAILED)
    why = "DMARC fails for example.org, whose policy is reject: neither SPF nor DKIM authenticates example.org"
    assert (finding.why, finding.question, finding.knob) == (why, AUTHOR, "authentication.dmarc_reject")


def test_a_weight_of_nothing_takes_the_opt_in_not_away() -> None:
    assert told(found(FAILING, FAILED, AuthenticationKnobs())) == [("DMARC_REJECT", 0, "dmarc")]
    milder = {**FAILED, AUTHOR: Fact(PASS, ("example.org v=DMARC1; p=quarantine",))}
    assert found(FAILING, milder, AuthenticationKnobs()) == []


@pytest.mark.parametrize(
    ("sender", "spf_status", "dkim", "clean"),
    [
        (b"<a@example.org>", PASS, FAIL, True),
        (b"<a@example.net>", PASS, PASS, True),
        (b"<a@example.net>", PASS, FAIL, False),
        (b"<a@example.org>", Status.SOFTFAIL, FAIL, False),
        (b"<a@example.org>", TEMPERROR, FAIL, True),
        (b"<a@example.net>", TEMPERROR, FAIL, False),
        (b"<a@example.net>", FAIL, TEMPERROR, True),
    ],
)
def test_a_failure_takes_that_all_is_known(sender: bytes, spf_status: Status, dkim: Status, *, clean: bool) -> None:
    txn = mail(FROM, SIGNED, sender=sender)
    facts: Facts = {AUTHOR: REJECT, spf(txn): Fact(spf_status), DKIM: signatures((dkim, "example.org"))}
    names = [finding.name for finding in found(txn, facts)]
    assert ("DMARC_REJECT" not in names) is clean


@pytest.mark.parametrize("missing", [AUTHOR, DKIM])
def test_what_nobody_answered_finds_nothing(missing: Question) -> None:
    txn = mail(FROM, SIGNED)
    facts = {**FAILED, DKIM: signatures((FAIL, "example.net"))}
    assert "DMARC_REJECT" in [finding.name for finding in found(txn, facts)]
    del facts[missing]
    assert "DMARC_REJECT" not in [finding.name for finding in found(txn, facts)]


def test_the_null_sender_is_its_helo_name() -> None:
    txn = mail(Header(b"From", b" postmaster@example.net"), sender=b"<>")
    facts: Facts = {DmarcRecords("example.net"): Fact(PASS, ("example.net v=DMARC1; p=reject",)), spf(txn): Fact(PASS)}
    aligned = DmarcRecords("mail.example.net")
    assert list(check.wants(txn, facts, KNOBS))[-1] == aligned
    assert found(txn, {**facts, aligned: facts[DmarcRecords("example.net")]}) == []


def test_of_mail_that_our_relay_hands_over_spf_is_not_known() -> None:
    txn = mail(FROM, sender=b"<bob@example.org>", relay="198.51.100.5")
    assert list(check.wants(txn, {}, KNOBS)) == [AUTHOR]
    assert found(txn, {AUTHOR: REJECT}) == []
    other = mail(FROM, relay="198.51.100.5")
    assert told(found(other, {AUTHOR: REJECT})) == [("DMARC_REJECT", 500, "dmarc")]


def test_of_a_header_that_we_cut_no_signature_fails() -> None:
    txn = mail(FROM, SIGNED, truncated=True)
    assert found(txn, {**FAILED, DKIM: signatures((FAIL, "example.org"))}) == []
    assert found(mail(truncated=True), {}) == []


def test_a_trusted_seal_takes_the_weight_and_says_so() -> None:
    txn = mail(FROM, SEALED)
    facts = {**FAILED, ARC: Fact(PASS, ("example.com", "lists.example.org"))}
    (finding,) = found(txn, facts)
    assert told([finding]) == [("DMARC_SEALED", 0, "")]
    assert "lists.example.org" in finding.why


@pytest.mark.parametrize(
    "chain",
    [
        Fact(FAIL, ("lists.example.org",)),
        Fact(PASS, ("lists.example.org", "example.com")),
        Fact(PASS),
        Fact(Status.NONE),
    ],
)
def test_no_other_chain_takes_anything_away(chain: Fact) -> None:
    assert told(found(mail(FROM, SEALED), {**FAILED, ARC: chain})) == [("DMARC_REJECT", 500, "dmarc")]


def test_a_chain_that_could_not_be_verified_keeps_from_refusing_where_one_could_be_trusted() -> None:
    txn = mail(FROM, SEALED)
    assert told(found(txn, FAILED)) == [("DMARC_REJECT", 500, "")]
    nobody = AuthenticationKnobs(dmarc_reject=Points(500))
    assert told(found(txn, FAILED, nobody)) == [("DMARC_REJECT", 500, "dmarc")]


@pytest.mark.parametrize(
    ("status", "domain", "expected"),
    [
        (PASS, "talk.lists.example.net", "DMARC_QUARANTINE"),
        (PASS, "lists.example.net", "DMARC_QUARANTINE"),
        (PASS, "example.net", "DMARC_QUARANTINE"),
        (TEMPERROR, "example.net", "DMARC_QUARANTINE"),
        (FAIL, "example.net", "DMARC_REJECT"),
        (PASS, "example.com", "DMARC_REJECT"),
        (PASS, "mail.example.net", "DMARC_QUARANTINE"),
        (PASS, "anexample.net", "DMARC_REJECT"),
        (PASS, "net", "DMARC_REJECT"),
        (PASS, "", "DMARC_REJECT"),
    ],
)
def test_a_mailing_list_that_signs_is_a_step_milder_and_never_refused(
    status: Status, domain: str, expected: str
) -> None:
    facts = {**FAILED, DKIM: signatures((FAIL, "example.org"), (status, domain))}
    findings = [finding for finding in found(mail(FROM, SIGNED, LISTED), facts) if finding.name.startswith("DMARC")]
    assert [finding.name for finding in findings] == [expected]
    assert (findings[0].opt_in == "dmarc") is (expected == "DMARC_REJECT")


def test_an_answer_that_came_late_refuses_nothing() -> None:
    facts = {**FAILED, spf(FAILING): Fact(FAIL, late=True)}
    assert told(found(FAILING, facts)) == [("DMARC_REJECT", 500, "")]


def test_an_author_who_cannot_be_told_is_found_and_passes_nothing() -> None:
    txn = mail(Header(b"From", b" bob@example.org, eve@example.net"))
    (finding,) = found(txn, {AUTHOR: REJECT, spf(txn): Fact(PASS)})
    assert told([finding]) == [("AUTHOR_AMBIGUOUS", 200, "")]
    assert finding.why == "whose message it is cannot be told: authors of more than one domain"


def test_a_message_without_author_is_found() -> None:
    assert told(found(mail(), {})) == [("AUTHOR_MISSING", 75, "")]


def test_broken_signatures_are_found_where_none_holds() -> None:
    txn = mail(FROM, SIGNED)
    facts: Facts = {AUTHOR: Fact(Status.NONE), spf(txn): Fact(PASS)}
    broken = {**facts, DKIM: signatures((FAIL, "example.net"), (FAIL, "example.org"))}
    (finding,) = found(txn, broken)
    assert (finding.name, finding.score, finding.question) == ("DKIM_FAIL", 25, DKIM)
    assert finding.why == "no DKIM signature holds, of example.net, example.org"
    assert found(txn, {**facts, DKIM: signatures((FAIL, "example.net"), (PASS, "example.org"))}) == []
