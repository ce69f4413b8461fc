"""The checks, in one explicit tuple. To add one: its file here, its name below, its knobs in policies/default.toml."""

from earmark.core.checks.access import ACCESS
from earmark.core.checks.allowed import ALLOWED
from earmark.core.checks.authentication import AUTHENTICATION
from earmark.core.checks.check import Asking, Check, EnvelopeCheck, Knobs, MessageCheck
from earmark.core.checks.client import CLIENT
from earmark.core.checks.content import CONTENT, SCANNERS
from earmark.core.checks.domain_listings import DOMAIN_LISTINGS
from earmark.core.checks.greylist import GREYLIST
from earmark.core.checks.helo import HELO
from earmark.core.checks.listings import LISTINGS
from earmark.core.checks.rates import RATES
from earmark.core.checks.received import RECEIVED
from earmark.core.checks.released import RELEASED
from earmark.core.checks.sender import SENDER
from earmark.core.checks.spf import SPF

CHECKS: tuple[Check, ...] = (
    CLIENT,
    LISTINGS,
    HELO,
    SENDER,
    SPF,
    DOMAIN_LISTINGS,
    ACCESS,
    RATES,
    GREYLIST,
    SCANNERS,
    RECEIVED,
    AUTHENTICATION,
    CONTENT,
    RELEASED,
    ALLOWED,
)

__all__ = ["CHECKS", "Asking", "Check", "EnvelopeCheck", "Knobs", "MessageCheck"]
