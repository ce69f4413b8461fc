"""What a message would meet: played through the real engine, from a client that is only supposed."""

import asyncio
import sys
from pathlib import Path
from typing import Any, NamedTuple

from earmark.cli.explanation import explanation
from earmark.config import Generation, find_directory, load
from earmark.core.mail import Header, Site, parse_address_text, parse_path
from earmark.core.received import read_chain
from earmark.core.record import make_record
from earmark.playing import Player, access_lists, answers, play_message
from earmark.wire.message import body_lines, split_header
from earmark.world import scanners_of

_AT_MOST = 64 << 20
"""Bytes of a message that are read."""


class Supposed(NamedTuple):
    """What SMTP would have shown before the message; "" for what was not said."""

    ip: str
    ptr: str = ""
    helo: str = ""
    sender: str = ""
    recipients: tuple[str, ...] = ()
    user: str = ""


def explain_message(file: str, supposed: Supposed, config: Path | None, zone_file: Path | None) -> dict[str, Any]:
    """Return the explanation of what the message would meet. Raises ConfigError, OSError, ValueError."""
    client = client_address(supposed.ip)
    headers, body = _read_message(file)
    return asyncio.run(_play(headers, body, supposed._replace(ip=client), load(find_directory(config)), zone_file))


def client_address(text: str) -> str:
    """Return the canonical form of an address. Raises ValueError for what is none."""
    address = parse_address_text(text)
    if not address:
        raise ValueError(f"--ip {text}: not an IP address")
    return address


def address_literal(address: str) -> str:
    """Return the address as a client without a name says it at HELO (RFC 5321 section 4.1.3)."""
    return f"[IPv6:{address}]" if ":" in address else f"[{address}]"


def _read_message(file: str) -> tuple[list[Header], bytes]:
    if file == "-":
        raw = sys.stdin.buffer.read(_AT_MOST)
    else:
        with Path(file).open("rb") as stream:
            raw = stream.read(_AT_MOST)
    fields, offset = split_header(raw)
    return [Header(name, value) for name, value in fields], body_lines(raw[offset:])


async def _play(
    headers: list[Header], body: bytes, supposed: Supposed, generation: Generation, zone_file: Path | None
) -> dict[str, Any]:
    with answers(generation, zone_file) as lookups:
        recipients = [
            parse_path(text.encode()) for text in supposed.recipients or (_somebody(generation.policies.site),)
        ]
        async with Player(generation, lookups, access_lists(generation), scanners_of(generation.server)) as player:
            session = player.connect(supposed.ip, supposed.ptr)
            session.helo((supposed.helo or address_literal(supposed.ip)).encode())
            sender = parse_path(supposed.sender.encode())
            await play_message(session, sender, recipients, headers, user=supposed.user, body=body)
    site = generation.policies.site
    return explanation(make_record(player.judged[0]), read_chain(headers, site, supposed.ip))


def _somebody(site: Site) -> str:
    return f"recipient@{min(site.domains, default='example.org')}"
