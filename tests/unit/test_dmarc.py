"""Identifier alignment and what DMARC comes to (RFC 9989 sections 4.4, 4.10.2, 5.3)."""

from collections.abc import Mapping

import pytest

from earmark.core.authentication.dmarc import Identifier, Result, evaluate
from earmark.core.authentication.dmarc_record import Disposition
from earmark.core.evidence import UNKNOWN, DmarcRecords, Fact, MailHosts, Question, Status

Records = Mapping[str, tuple[str, ...]]

AUTHOR = "mail.example.com"
PASS, FAIL, NONE, TEMPERROR = Status.PASS, Status.FAIL, Status.NONE, Status.TEMPERROR
HERE: Records = {
    "mail.example.com": ("mail.example.com v=DMARC1;p=quarantine", "example.com v=DMARC1;p=reject;sp=none")
}
ABOVE: Records = {"mail.example.com": ("example.com v=DMARC1;p=reject;sp=quarantine",)}
STRICT: Records = {"mail.example.com": ("mail.example.com v=DMARC1;p=reject;adkim=s;aspf=s", "example.com v=DMARC1")}


class World:
    """Facts by domain; remembers what was asked."""

    def __init__(self, records: Records, *others: tuple[Question, Fact]) -> None:
        self.facts: dict[Question, Fact] = {
            DmarcRecords(domain): Fact(PASS if lines else NONE, lines) for domain, lines in records.items()
        }
        self.facts.update(others)
        self.asked: list[Question] = []

    def __call__(self, question: Question) -> Fact:
        self.asked.append(question)
        return self.facts.get(question, UNKNOWN)


def dkim(domain: str, status: Status = PASS) -> Identifier:
    return Identifier("dkim", domain, status)


def spf(domain: str, status: Status = PASS) -> Identifier:
    return Identifier("spf", domain, status)


def evaluated(world: World, *identifiers: Identifier) -> Result:
    return evaluate(AUTHOR, identifiers, world)


@pytest.mark.parametrize("identifier", [dkim(AUTHOR), spf(AUTHOR), dkim("example.com"), spf("example.com")])
def test_the_author_itself_and_its_organization_are_aligned_without_a_question(identifier: Identifier) -> None:
    world = World(HERE)
    assert evaluated(world, dkim("example.net"), dkim("news.example.com"), identifier).status is PASS
    assert world.asked == [DmarcRecords(AUTHOR)]


def test_a_sibling_is_aligned_if_its_organization_is_the_same() -> None:
    world = World({**ABOVE, "news.example.com": ("example.com v=DMARC1;p=reject",)})
    assert evaluated(world, dkim("news.example.com")).status is PASS


def test_a_sibling_with_an_organization_of_its_own_is_not_aligned() -> None:
    world = World({**ABOVE, "tenant.example.com": ("tenant.example.com v=DMARC1;psd=n",)})
    assert evaluated(world, dkim("tenant.example.com")).status is FAIL


@pytest.mark.parametrize(
    "domain", ["example.net", "com", "badexample.com", "", "a b.example.com", "x\n.example.com", ".example.com"]
)
def test_nobody_is_asked_for_what_cannot_be_aligned(domain: str) -> None:
    world = World(ABOVE)
    assert evaluated(world, dkim(domain), spf(domain)).status is FAIL
    assert world.asked == [DmarcRecords(AUTHOR)]


@pytest.mark.parametrize("identifier", [dkim("example.com"), spf("a.mail.example.com"), dkim("example.com", TEMPERROR)])
def test_strict_alignment_is_identity(identifier: Identifier) -> None:
    world = World(STRICT)
    assert evaluated(world, identifier).status is FAIL
    assert evaluated(world, identifier, dkim(AUTHOR)).status is PASS
    assert evaluated(world, identifier, spf(AUTHOR)).status is PASS
    assert set(world.asked) == {DmarcRecords(AUTHOR)}


def test_strictness_is_asked_for_each_mechanism() -> None:
    world = World({AUTHOR: ("mail.example.com v=DMARC1;adkim=s", "example.com v=DMARC1")})
    assert evaluated(world, dkim("example.com")).status is FAIL
    assert evaluated(world, spf("example.com")).status is PASS


@pytest.mark.parametrize("status", sorted(set(Status) - {PASS, TEMPERROR}))
def test_what_is_not_authenticated_is_not_aligned(status: Status) -> None:
    assert evaluated(World(HERE), dkim(AUTHOR, status), spf(AUTHOR, status)).status is FAIL


@pytest.mark.parametrize("domain", [AUTHOR, "example.com", "news.example.com"])
def test_an_unknown_that_could_be_aligned_leaves_all_unknown(domain: str) -> None:
    world = World(ABOVE)
    assert evaluated(world, dkim(domain, TEMPERROR), spf("example.net")).status is TEMPERROR
    assert evaluated(world, dkim(domain, TEMPERROR), spf(AUTHOR)).status is PASS


def test_an_unknown_that_could_not_be_aligned_changes_nothing() -> None:
    assert evaluated(World(ABOVE), dkim("example.net", TEMPERROR), spf("example.net", TEMPERROR)).status is FAIL


def test_a_siblings_unknown_records_leave_all_unknown() -> None:
    assert evaluated(World(ABOVE), dkim("news.example.com")).status is TEMPERROR


def test_without_the_authors_records_nothing_is_known() -> None:
    assert evaluated(World({}), dkim(AUTHOR)).status is TEMPERROR


def test_without_a_record_dmarc_does_not_apply() -> None:
    assert evaluated(World({AUTHOR: ()}), dkim(AUTHOR)).status is NONE


def test_with_a_record_that_cannot_be_read_dmarc_does_not_apply() -> None:
    assert evaluated(World({AUTHOR: ("mail.example.com v=DMARC1;p=refuse",)})).status is NONE


@pytest.mark.parametrize(
    ("lines", "disposition"),
    [
        (HERE[AUTHOR], "quarantine"),
        (ABOVE[AUTHOR], "quarantine"),
        (("example.com v=DMARC1;p=reject",), "reject"),
        (("example.com v=DMARC1;p=reject;t=y",), "quarantine"),
        (("com v=DMARC1;p=none;sp=reject;psd=y",), "reject"),
    ],
)
def test_the_owner_of_the_record_says_what_is_asked(lines: tuple[str, ...], disposition: str) -> None:
    world = World({AUTHOR: lines})
    result = evaluated(world)
    assert (result.status, result.disposition) == (FAIL, disposition)
    assert world.asked == [DmarcRecords(AUTHOR)]


EXISTENCE = MailHosts(AUTHOR)


@pytest.mark.parametrize(
    ("fact", "disposition"),
    [
        (Fact(NONE, why="NXDOMAIN"), Disposition.REJECT),
        (Fact(NONE, why="neither MX nor address"), Disposition.NONE),
        (Fact(PASS, ("192.0.2.1",)), Disposition.NONE),
        (Fact(TEMPERROR), Disposition.NONE),
    ],
)
def test_np_is_for_names_that_do_not_exist(fact: Fact, disposition: Disposition) -> None:
    world = World({AUTHOR: ("example.com v=DMARC1;p=none;np=reject",)}, (EXISTENCE, fact))
    assert evaluated(world).disposition is disposition
    assert EXISTENCE in world.asked


def test_an_unknown_existence_has_the_milder_policy_also_where_that_is_np() -> None:
    world = World({AUTHOR: ("example.com v=DMARC1;p=reject;np=quarantine",)}, (EXISTENCE, Fact(TEMPERROR)))
    assert evaluated(world).disposition is Disposition.QUARANTINE


def test_the_records_are_kept_for_who_wants_to_see_them() -> None:
    assert [name for name, _ in evaluated(World(HERE)).records] == ["mail.example.com", "example.com"]
