"""Literal zones, rules and policies for tests of the core."""

from typing import Any

from earmark.core.checks.access import AccessKnobs
from earmark.core.checks.authentication import AuthenticationKnobs
from earmark.core.checks.client import ClientKnobs
from earmark.core.checks.content import ContentKnobs
from earmark.core.checks.domain_listings import DomainListingsKnobs
from earmark.core.checks.greylist import GreylistKnobs
from earmark.core.checks.helo import HeloKnobs
from earmark.core.checks.listings import ListingsKnobs
from earmark.core.checks.rates import Limit, RatesKnobs
from earmark.core.checks.received import ReceivedKnobs
from earmark.core.checks.sender import SenderKnobs
from earmark.core.checks.spf import SpfKnobs
from earmark.core.evidence import Points
from earmark.core.mail import Site
from earmark.core.names import NameRule
from earmark.core.policy import AfterData, Mode, OnError, Place, Policy
from earmark.core.zones import Code, ErrorCode, Zone, ZoneKind

EXACT = 0xFFFFFFFF


def number(address: str) -> int:
    octets = [int(octet) for octet in address.split(".")]
    return int.from_bytes(bytes(octets), "big")


def code(symbol: str, answer: str, score: int, *, deep: bool = True, scope: str = "address") -> Code:
    return Code(symbol, number(answer), number(answer), EXACT, Points(score), symbol.lower(), scope, deep)


ZEN = Zone(
    "zen.example",
    "Zen",
    ZoneKind.BLOCK,
    (
        code("ZEN_SBL", "127.0.0.2", 800),
        code("ZEN_XBL", "127.0.0.4", 800),
        code("ZEN_PBL", "127.0.0.10", 800, deep=False, scope="policy"),
    ),
    (ErrorCode(number("127.0.0.1"), number("127.0.0.1"), "query refused"),),
    received=True,
    ipv6=True,
)
SISTER = Zone("sister.example", "Zen", ZoneKind.BLOCK, (code("SISTER", "127.0.0.2", 400),), received=True)
COP = Zone("cop.example", "Cop", ZoneKind.BLOCK, (code("COP", "127.0.0.2", 400),), received=True)
TRUST = Zone(
    "trust.example",
    "Trust",
    ZoneKind.ALLOW,
    (code("TRUST_HIGH", "127.0.5.3", -400), code("TRUST_LOW", "127.0.5.1", -100)),
)
ALL_ZONES = (ZEN, SISTER, COP, TRUST)
NAMES = Zone(
    "names.example",
    "Zen",
    ZoneKind.BLOCK,
    (code("NAMES_SPAM", "127.0.1.2", 400, scope="domain"), code("NAMES_ABUSED", "127.0.1.102", 50, scope="domain")),
    (ErrorCode(number("127.0.1.255"), number("127.0.1.255"), "an address was asked"),),
    connection=False,
    ipv4=False,
    names=True,
    sender=True,
    helo=True,
    reverse=True,
)
SENDERS = NAMES._replace(
    name="senders.example", codes=(code("SENDERS", "127.0.1.2", 200, scope="domain"),), helo=False, reverse=False
)
TRUSTED_NAMES = NAMES._replace(
    name="trusted-names.example",
    owner="Trust",
    kind=ZoneKind.ALLOW,
    codes=(code("NAME_TRUSTED", "127.0.1.2", -300, scope="domain"),),
)
NAME_ZONES = (NAMES, SENDERS, TRUSTED_NAMES)

POOL = NameRule("POOL_WORD", frozenset({"dyn", "pool"}), unless=frozenset({"mail"}))
SITE = Site(
    names=frozenset({"mx.example.org"}), addresses=frozenset({"198.51.100.25"}), domains=frozenset({"example.org"})
)
SCANNING = SITE._replace(scanners=frozenset({"clamav", "spamassassin"}))
NO_SCANNERS = ContentKnobs()

AUTHENTICATION = AuthenticationKnobs(
    dmarc_fail=Points(50),
    dmarc_quarantine=Points(300),
    dmarc_reject=Points(500),
    dkim_fail=Points(25),
    author_ambiguous=Points(200),
    no_author=Points(75),
    trusted_sealers=("lists.example.org",),
)

# off in most tests, as they are shipped
LIMIT = Limit("30/60")
LIMITS = RatesKnobs(client=LIMIT, network=LIMIT, sender=LIMIT, recipient=LIMIT, user=LIMIT, score=Points(75))
GREYLISTING = GreylistKnobs(enabled=True, from_score=Points(200))


def knobs(zones: tuple[Zone, ...] = ALL_ZONES) -> dict[str, Any]:
    points = Points
    return {
        "client": ClientKnobs(points(100), points(100), points(150), (POOL,)),
        "listings": ListingsKnobs(tuple(zones)),
        "helo": HeloKnobs(*(points(value) for value in (100, 150, 50, 150, 250, 100, 100, 50))),
        "sender": SenderKnobs(*(points(value) for value in (150, 200, 150, 150, 50))),
        "spf": SpfKnobs(fail=points(90), softfail=points(50), permerror=points(10), helo_fail=points(20)),
        "domain_listings": DomainListingsKnobs(NAME_ZONES),
        "rates": RatesKnobs(),
        "greylist": GreylistKnobs(),
        "access": AccessKnobs(points(-1000), points(1000)),
        "received": ReceivedKnobs(tuple(zone for zone in zones if zone.received)),
        "authentication": AUTHENTICATION,
        "content": NO_SCANNERS,
    }


def policy(
    name: str = "default",
    *,
    mode: Mode = Mode.ENFORCE,
    on_error: OnError = OnError.STAMP,
    refuse_at: int = 800,
    mark_at: int = 500,
    subject_tag: str = "",
    help_url: str = "",
    dmarc: AfterData = AfterData.WEIGH,
    zones: tuple[Zone, ...] = ALL_ZONES,
    **checks: Any,
) -> Policy:
    return Policy(
        name=name,
        mode=mode,
        on_error=on_error,
        refuse_at=Points(refuse_at),
        mark_at=Points(mark_at),
        subject_tag=subject_tag,
        help_url=help_url,
        dmarc=dmarc,
        knobs={**knobs(zones), **checks},
        places={"refuse_at": Place("policies/default.toml", 1)},
    )
