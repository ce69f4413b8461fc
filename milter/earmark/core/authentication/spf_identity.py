"""Which question SPF asks of an envelope: the MAIL FROM identity and the HELO identity (RFC 7208 sections 2.3, 2.4)."""

from functools import lru_cache

from earmark.core.evidence import CheckHost
from earmark.core.mail import Envelope, domain_key
from earmark.core.zones import is_public


def identity(envelope: Envelope) -> CheckHost | None:
    """Return the question of the MAIL FROM identity; with the null sender that is postmaster at the HELO name.

    None where there is nothing to ask: the client's address is not public, or there is no qualified domain (RFC 7208
    section 4.3). It asks for our own domains too: a forged one is what SPF is for.
    """
    sender = envelope.sender
    if sender.is_null:
        return helo_identity(envelope)
    if not is_qualified(sender.domain) or not is_public(envelope.client.address):
        return None
    mailbox = f"{sender.local or 'postmaster'}@{sender.domain}"
    return CheckHost(envelope.client.address, sender.domain, mailbox, _helo(envelope))


def helo_identity(envelope: Envelope) -> CheckHost | None:
    """Return the question of the HELO identity; None as above, and where HELO is no qualified name."""
    name = _helo(envelope)
    if not is_qualified(name) or not is_public(envelope.client.address):
        return None
    return CheckHost(envelope.client.address, name, f"postmaster@{name}", name)


def _helo(envelope: Envelope) -> str:
    return domain_key(envelope.helo or "")


@lru_cache(maxsize=4096)
def is_qualified(name: str) -> bool:
    """Return whether this is a name of two labels or more, none empty or over 63 octets, and no address."""
    labels = name.removesuffix(".").split(".")
    if len(name) > 254 or len(labels) < 2 or not name.isascii() or name.startswith("["):
        return False
    return all(0 < len(label) < 64 for label in labels) and not labels[-1].isdecimal()
