"""The checks, in one explicit tuple. To add one: its file here, its name below, its knobs in policies/default.toml."""

from earmark.core.checks.check import Asking, Check, EnvelopeCheck, Knobs, MessageCheck
from earmark.core.checks.client import CLIENT
from earmark.core.checks.domain_listings import DOMAIN_LISTINGS
from earmark.core.checks.helo import HELO
from earmark.core.checks.listings import LISTINGS
from earmark.core.checks.received import RECEIVED
from earmark.core.checks.sender import SENDER

CHECKS: tuple[Check, ...] = (CLIENT, LISTINGS, HELO, SENDER, DOMAIN_LISTINGS, RECEIVED)

__all__ = ["CHECKS", "Asking", "Check", "EnvelopeCheck", "Knobs", "MessageCheck"]
