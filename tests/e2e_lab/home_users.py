"""The home-user corpus (tests/e2e/home-users), and a world of lists that holds every address of it but the clients'."""

import ipaddress
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

DIRECTORY = Path(__file__).parents[1] / "e2e" / "home-users"

# What the rules of SpamAssassin 4.0.1 and of rules/zones.toml ask about addresses, to block. ZEN says all of SBL, CSS,
# XBL and PBL at once; Mailspike is asked with a name for each of its two lists.
BLOCK_LISTS = {
    "zen.spamhaus.org": ("127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.10", "127.0.0.11"),
    "bl.spamcop.net": ("127.0.0.2",),
    "psbl.surriel.com": ("127.0.0.2",),
    "bl.mailspike.net": ("127.0.0.2", "127.0.0.10"),
    "bl.score.senderscore.com": ("127.0.0.2",),
}


class Shape(NamedTuple):
    """One message, and who hands it to us."""

    label: str
    message: bytes
    """Lines end in LF."""
    client: str
    name: str
    """The client's confirmed reverse name, which it greets with."""
    sender: str


def shapes() -> list[Shape]:
    """Return the whole corpus, by label."""
    handed_over = tomllib.loads((DIRECTORY / "shapes.toml").read_text("utf-8"))
    return [Shape(file.stem, file.read_bytes(), **handed_over[file.stem]) for file in sorted(DIRECTORY.glob("*.eml"))]


def listed_everywhere(corpus: Iterable[Shape]) -> str:
    """Return a zone text in which all lists have every address but those of the clients, who are in perfect order.

    That no deep hop is forgotten: it is the clients that are taken out of lists which have the whole world.
    """
    return "\n".join([*_the_world(), *(line for shape in corpus for line in _client(shape)), ""])


def _the_world() -> Iterator[str]:
    for zone, codes in BLOCK_LISTS.items():
        yield from (f"*.{zone} A {code}" for code in codes)
        yield f'*.{zone} TXT "Blocked - see https://{zone}/"'
        # the canary of RFC 5782 section 5, without which earmark asks a list no more
        yield f"1.0.0.127.{zone} NXDOMAIN"


def _client(shape: Shape) -> Iterator[str]:
    address = ipaddress.ip_address(shape.client)
    reverse, _, arpa = address.reverse_pointer.rpartition("in-addr" if address.version == 4 else "ip6")
    yield from (f"{reverse}{zone} NXDOMAIN" for zone in BLOCK_LISTS)
    yield f"{reverse}{'in-addr' if address.version == 4 else 'ip6'}{arpa} PTR {shape.name}"
    yield f"{shape.name} {'A' if address.version == 4 else 'AAAA'} {shape.client}"
    yield f"{shape.sender.rpartition('@')[2]} MX 10 {shape.name}"
