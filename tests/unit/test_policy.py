from earmark.core.mail import parse_path
from earmark.core.policy import PolicySet
from fakes.policies import SITE, policy

DEFAULT, EXACT, PATTERN = policy(), policy("exact"), policy("pattern")
POLICIES = PolicySet(
    DEFAULT,
    {"a.example.org": EXACT, "*.example.org": PATTERN, "xn--bcher-kva.example": EXACT},
    SITE,
)


def find(address: str) -> str:
    return POLICIES.find(parse_path(address.encode())).name


def test_an_exact_domain_beats_a_pattern() -> None:
    assert find("bob@a.example.org") == "exact"
    assert find("bob@b.example.org") == "pattern"


def test_a_pattern_takes_every_depth_below_it_but_not_the_domain_itself() -> None:
    assert find("bob@c.b.example.org") == "pattern"
    assert find("bob@c.a.example.org") == "pattern"
    assert find("bob@example.org") == "default"


def test_a_domain_is_found_in_both_spellings_and_in_any_case() -> None:
    assert find("bob@b\u00fccher.example") == find("bob@XN--BCHER-KVA.Example.") == "exact"


def test_everybody_else_has_the_default_policy() -> None:
    assert find("bob@elsewhere.example") == find("postmaster") == find("") == "default"


def test_postmaster_and_abuse_are_never_refused() -> None:
    for local in ("postmaster", "Abuse", "postmaster+x"):
        found = POLICIES.find(parse_path(f"{local}@a.example.org".encode()))
        assert (found.name, found.refuses) == ("exact", False)
    assert POLICIES.find(parse_path(b"bob@a.example.org")).refuses


def test_each_policy_stands_once_among_all() -> None:
    assert POLICIES.all == (DEFAULT, EXACT, PATTERN)
