"""Mail as SMTP shows it: Client, Address, Envelope, Header, Message, Transaction (RFC 5321, RFC 5598).

Everything a sender may choose has been decoded by `core.text.decoded`, except header fields, which stay bytes.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import NamedTuple

from earmark.core.text import decoded


class Address(NamedTuple):
    """A mailbox (RFC 5321 section 4.1.2)."""

    text: str
    """As the client gave it, without the angle brackets."""
    local: str
    domain: str
    """Lower case, as an A-label where it can be, without a final dot; "" where there is none."""

    @property
    def is_null(self) -> bool:
        """True for the null reverse-path `<>` (RFC 5321 section 4.5.5)."""
        return not self.text


NULL_SENDER = Address("", "", "")
"""The null reverse-path; also stands for a forward-path that has not been named."""


@lru_cache(maxsize=4096)
def domain_key(domain: str) -> str:
    """Return the form in which domains are compared: A-label, lower case, no final dot.

    What cannot be an A-label (RFC 5890) is compared as it stands. Never raises.
    """
    domain = domain.strip().rstrip(".").lower()
    if domain.isascii():
        return domain
    try:
        return domain[:255].encode("idna").decode("ascii")
    except UnicodeError:
        return domain


def parse_path(raw: bytes) -> Address:
    """Read a reverse-path or forward-path as an MTA hands it on: quoted local parts, source routes. Never raises."""
    mailbox = mailbox_of(raw)
    local, at, domain = mailbox.rpartition(b"@")
    if not at:
        local, domain = mailbox, b""
    return Address(decoded(_bare(raw)), decoded(local), domain_key(decoded(domain)))


_ROUTE = re.compile(rb"@(?:[^:\[]|\[[^\]]*\])*:")
"""A source route (RFC 5321 appendix C), as in @h1,@h2:a@d."""


def mailbox_of(path: bytes) -> bytes:
    """Return what a path leads to, without angle brackets and source route. Never raises."""
    bare = _bare(path)
    route = _ROUTE.match(bare)
    return bare[route.end() :] if route else bare


def _bare(path: bytes) -> bytes:
    path = path.strip()
    return path[1:].removesuffix(b">") if path.startswith(b"<") else path


@lru_cache(maxsize=4096)
def _parsed(text: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(text)
    except ValueError:
        return None


@lru_cache(maxsize=4096)
def parse_address_text(text: str) -> str:
    """Return an IP address in its one canonical text form, or "" where `text` is none.

    IPv4 inside IPv6 (`::ffff:192.0.2.1`) is the IPv4 address that it means; a zone id is dropped.
    """
    address = _parsed(text.partition("%")[0])
    if address is None:
        return ""
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return str(address)


class Client(NamedTuple):
    """The host that opened the connection."""

    address: str
    """Canonical text; "" where the MTA gave none (a local socket, an unknown family)."""
    port: int = 0


def last_two_labels(domain: str) -> str:
    """Return the registrable domain as far as it can be told without the public suffix list; "" for a single label."""
    labels = domain.rsplit(".", 2)[-2:]
    return ".".join(labels) if len(labels) > 1 and all(labels) else ""


class Site(NamedTuple):
    """The receiving side, as server.toml describes it."""

    names: frozenset[str] = frozenset()
    """Our own host names, as `domain_key` writes them."""
    addresses: frozenset[str] = frozenset()
    """Our own addresses, canonical."""
    domains: frozenset[str] = frozenset()
    """The domains that we receive mail for, as `domain_key` writes them."""
    networks: tuple[IPv4Network | IPv6Network, ...] = ()
    """Our own networks, loopback among them: sessions from there are exempt."""
    relays: tuple[IPv4Network | IPv6Network, ...] = ()
    """Hosts that hand over mail for us, such as a backup MX: never refused, their Received line is believed."""
    authserv_id: str = ""
    """Our name in Authentication-Results (RFC 8601 section 2.5): the first of the host names; "" for the MTA's own."""
    registrable: Callable[[str], str] = last_two_labels
    """The registrable domain of a name, as the public suffix list of this generation has it; "" for a public suffix."""
    scanners: frozenset[str] = frozenset()
    """The content scanners that server.toml names endpoints for: "clamav", "spamassassin"."""


def within(address: str, networks: tuple[IPv4Network | IPv6Network, ...]) -> bool:
    """Return whether an address (canonical text) stands in one of the networks. False for what is no address."""
    if not address or not networks:
        return False
    parsed = _parsed(address)
    return parsed is not None and any(parsed in network for network in networks)


@dataclass(slots=True)
class Envelope:
    """What SMTP has shown before DATA. It has no way to the message: the header wall (docs/design.md, promise 1)."""

    client: Client
    site: Site
    helo: str | None = None
    """The argument of HELO or EHLO; None before or without one."""
    sender: Address = NULL_SENDER
    at: float = 0.0
    """When MAIL was said (before it: when the client connected), seconds since the epoch."""
    exempt: str = ""
    """Why neither connection, envelope nor path are held against this session; "" where they are."""
    relay: str = ""
    """Which of our own relays hands this over; "" for everybody else. It is never refused for what it passes on."""
    user: str = ""
    """Who authenticated (RFC 4954), as the MTA says; "" for nobody."""
    authserv_id: str = ""
    """Our name in Authentication-Results; "" where none is known, and then no such field is written."""
    recipient: Address = NULL_SENDER
    """The forward-path that is being decided on; null before the first."""
    id: str = ""
    """The transaction's, which is its verdict's; "" before MAIL."""


class Hop(NamedTuple):
    """One Received field (RFC 5321 section 4.4), as far as it can be read and believed. Every text is printable."""

    address: str
    """The client that it names, canonical; "" where none can be believed."""
    helo: str
    rdns: str
    by: str
    protocol: str
    """The word after `with`, such as "ESMTPSA"."""
    authenticated: bool
    """The line says that its client authenticated (RFC 3848 protocols, "Authenticated sender", and their kin)."""
    trusted: bool
    """It was written by ourselves or by one of our own relays."""
    why: str
    """Why it is trusted or not."""
    handed_over: bool = False
    """Its client is the one that handed the message to one of our own relays."""


class Header(NamedTuple):
    """One header field, as received: bytes, the value with its folding and its leading space."""

    name: bytes
    value: bytes


@dataclass(slots=True)
class Message:
    """The message as far as the core sees it: its header. The body never enters the core."""

    headers: Sequence[Header] = ()
    hops: Sequence[Hop] = ()
    """The Received chain, newest first, as `core.received.read_chain` reads it."""
    truncated: bool = False
    """The limits on header count or bytes left something out."""
    content: str = ""
    """Names the message as a whole, body included, to whoever must read it: the transaction's id."""
    fields: dict[bytes, list[bytes]] = field(init=False, repr=False, compare=False)
    """The values of `headers` by field name, in lower case and without blanks about it; the topmost first."""

    def __post_init__(self) -> None:
        fields: dict[bytes, list[bytes]] = {}
        for name, value in self.headers:
            fields.setdefault(name.strip().lower(), []).append(value)
        self.fields = fields


@dataclass(slots=True)
class Transaction:
    """One mail transaction: the envelope and, from DATA on, the message."""

    envelope: Envelope
    message: Message
