"""The Received chain (RFC 5321 section 4.4): who says that the message came from where, and who is to be believed.

Whoever hands a message over may have written anything below its own line. So belief goes down from the top and ends
with the first stranger: the newest line is believed if the client that handed us the message is one of ours (a relay or
a host of our own networks); the next one if that line names one of ours as its client; and so on. The last line that is
believed names the client that handed the message over to us; all below is a claim.

Under Postfix the line of our own server is hidden from a milter, so that the newest line is the client's. Where there
is no client (a message from a file), our own lines are the newest ones, known by the name that they bear.
"""

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import NamedTuple

from earmark.core.mail import Header, Hop, Site, domain_key, within
from earmark.core.received_forms import Line, read_line

MAX_HOPS = 100
"""No more lines are read, from the newest. RFC 5321 section 6.3 takes that many for a loop."""


class _Author(NamedTuple):
    """Who wrote the next line, as far as the lines above can tell."""

    trusted: bool
    why: str
    by_name: bool = False
    """Nobody has been believed or doubted yet: a line that bears one of our names is ours."""


def read_chain(headers: Sequence[Header], site: Site, client: str) -> tuple[Hop, ...]:
    """Return the hops, newest first. `client` is the address that handed us the message; "" where nobody did."""
    hops: list[Hop] = []
    author = _newest(site, client)
    for value in islice(_received(headers), MAX_HOPS):
        line = read_line(value)
        hop = _hop(line, _signed(author, line, site), site)
        hops.append(hop)
        author = _below(hop, line, author, site)
    return tuple(hops)


def _received(headers: Sequence[Header]) -> Iterator[bytes]:
    return (value for name, value in headers if len(name) >= 8 and name.rstrip().lower() == b"received")


def _newest(site: Site, client: str) -> _Author:
    if not client:
        return _Author(trusted=False, why="a claim: it does not bear one of our host names", by_name=True)
    whose = _ours(client, site)
    if whose:
        return _Author(trusted=True, why=f"written by {client}, {whose}, which handed us the message")
    return _Author(trusted=False, why=f"a claim: {client}, which handed us the message, is none of our relays")


def _ours(address: str, site: Site) -> str:
    """Return how this address belongs to us, or ""."""
    if address in site.addresses:
        return "our own host"
    if within(address, site.relays):
        return "one of our relays"
    return "in our own networks" if within(address, site.networks) else ""


def _signed(author: _Author, line: Line, site: Site) -> _Author:
    if author.by_name and line.by and domain_key(line.by) in site.names:
        return _Author(trusted=True, why=f"written by our own host {line.by}", by_name=True)
    return author


def _hop(line: Line, author: _Author, site: Site) -> Hop:
    handed_over = author.trusted and bool(line.address) and not _ours(line.address, site)
    why = f"{author.why}; {line.address} handed it over" if handed_over else author.why
    return Hop(
        line.address,
        line.helo,
        line.rdns,
        line.by,
        line.protocol,
        line.authenticated,
        author.trusted,
        why,
        handed_over,
    )


def _below(hop: Hop, line: Line, author: _Author, site: Site) -> _Author:
    """Return who wrote the line below this one."""
    if not hop.trusted:
        return author._replace(by_name=False)
    if hop.handed_over:
        return _Author(trusted=False, why=f"a claim: written before {hop.address} handed the message over")
    if hop.address:
        return _Author(trusted=True, why=f"written by {hop.address}, {_ours(hop.address, site)}")
    if line.local:
        return _Author(trusted=True, why=f"written by {hop.by or 'the same host'}, like the line above")
    return _Author(
        trusted=False, why="a claim: the line above names no client that can be read", by_name=author.by_name
    )
