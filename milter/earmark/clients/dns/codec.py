"""The full DNS codec, for all that is not common: dnspython, in its only file. Values go out, none of its objects.

Also the other way round, for zone text and the small name server: records from text, replies to queries.
"""

from collections.abc import Iterable
from ipaddress import IPv6Address
from typing import NamedTuple

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdata
import dns.rdatatype
import dns.rrset
from dns.rdtypes.ANY.CNAME import CNAME
from dns.rdtypes.ANY.MX import MX
from dns.rdtypes.ANY.PTR import PTR
from dns.rdtypes.ANY.TXT import TXT
from dns.rdtypes.IN.AAAA import AAAA

_RECORDS_AT_MOST = 100
"""Records of one answer that are kept: more than any honest name has, little enough to remember."""


class Reply(NamedTuple):
    """What a whole DNS message says to its question."""

    rcode: str
    """As IANA names it, such as "NXDOMAIN"."""
    data: tuple[str, ...] = ()
    """The records at the end of the CNAME chain, as text."""
    ttl: int = 0
    problem: str = ""
    """Why it answers nothing although its rcode is no error: a CNAME loop, a referral."""


def read_reply(packet: bytes) -> Reply | None:
    """Read a reply whose question has been checked; None for what is no DNS message. Never raises."""
    try:
        message = dns.message.from_wire(packet, ignore_trailing=True)
        if not isinstance(message, dns.message.QueryMessage):
            return None
        return _read_message(message)
    except dns.message.ChainTooLong:
        return Reply("NOERROR", problem="CNAME loop")
    except Exception:  # noqa: BLE001 - hostile bytes: whatever the codec raises on them, they answer nothing
        return None


def _read_message(message: dns.message.QueryMessage) -> Reply:
    rcode = dns.rcode.to_text(message.rcode())
    if rcode not in {"NOERROR", "NXDOMAIN"}:
        return Reply(rcode)
    chain = message.resolve_chaining()
    if chain.answer is not None:
        records = list(chain.answer)[:_RECORDS_AT_MOST]
        return Reply(rcode, tuple(record_text(record) for record in records), chain.minimum_ttl)
    if rcode == "NOERROR" and not chain.cnames and _is_referral(message):
        return Reply(rcode, problem="referral: the resolver does not look names up for us")
    return Reply(rcode, (), chain.minimum_ttl)


def _is_referral(message: dns.message.QueryMessage) -> bool:
    types = {rrset.rdtype for rrset in message.authority}
    return dns.rdatatype.NS in types and dns.rdatatype.SOA not in types


Record = dns.rdata.Rdata
"""The data of one record; opaque outside this file."""


def record_from_text(rtype: str, text: str) -> Record:
    """Read a record's data in zone-file form, names relative to the root. Raises ValueError."""
    try:
        return dns.rdata.from_text("IN", rtype, text, origin=dns.name.root, relativize=False)
    except dns.exception.DNSException as error:
        raise ValueError(f"not the data of {rtype}: {text!r}") from error


def record_text(record: Record) -> str:
    """Return a record's data as text: addresses canonical, names lower case without a final dot, TXT strings joined.

    A character of TXT is an octet: what is not ASCII can be told from text that looks like its escape.
    """
    match record:
        case MX():
            return f"{record.preference} {_name_text(record.exchange) or '.'}"
        case PTR() | CNAME():
            return _name_text(record.target)
        case TXT():
            return b"".join(record.strings).decode("latin-1")
        case AAAA():
            return str(IPv6Address(record.address))
        case _:
            return record.to_text()


def _name_text(name: dns.name.Name) -> str:
    return name.to_text(omit_final_dot=True).lower().removesuffix(".")


def read_query(packet: bytes) -> tuple[str, str] | None:
    """Return name and type of a query, as text in lower and upper case; None for what is no query. Never raises."""
    try:
        message = dns.message.from_wire(packet)
        asked = message.question[0]
    except Exception:  # noqa: BLE001 - hostile bytes, as above
        return None
    if message.flags & dns.flags.QR:
        return None
    return _name_text(asked.name), dns.rdatatype.to_text(asked.rdtype)


def write_reply(
    packet: bytes, rcode: str, answers: Iterable[tuple[str, Record]] = (), *, ttl: int = 300, size: int = 65535
) -> bytes:
    """Return the reply to a query that `read_query` could read: records with their owners; over `size`, truncated.

    A negative reply has a SOA, so that it can be remembered for `ttl` seconds.
    """
    asked = dns.message.from_wire(packet)
    reply = dns.message.make_response(asked, recursion_available=True)
    reply.set_rcode(dns.rcode.from_text(rcode))
    for owner, record in answers:
        owned = reply.find_rrset(reply.answer, dns.name.from_text(owner), record.rdclass, record.rdtype, create=True)
        owned.add(record, ttl)
    if not reply.answer and rcode in {"NOERROR", "NXDOMAIN"}:
        soa = f". hostmaster. 1 3600 600 86400 {ttl}"
        reply.authority.append(dns.rrset.from_text(dns.name.root, ttl, "IN", "SOA", soa))
    wire = reply.to_wire(max_size=65535)
    if len(wire) <= size:
        return wire
    reply.answer.clear()
    reply.flags |= dns.flags.TC
    return reply.to_wire()
