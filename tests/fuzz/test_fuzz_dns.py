"""Fuzzing what reads DNS packets: replies of servers, damaged. Nothing may raise, and both readers must agree.

Found by it so far: an extended response code (BADVERS) that was read as NODATA.
"""

import os
import random
import time

from earmark.clients.dns.codec import read_query, read_reply, record_from_text, write_reply
from earmark.wire import dnsxl

_NAME = "7.2.0.192.bl.example"
_RECORDS = [
    ("A", "127.0.0.2"),
    ("A", "127.0.0.4"),
    ("CNAME", "real.example."),
    ("MX", "10 mail.example."),
    ("PTR", "host.example."),
    ("TXT", '"listed, see https://bl.example/"'),
    ("AAAA", "2001:db8::1"),
]


def _seeds() -> list[tuple[bytes, bytes]]:
    seeds = []
    for rtype in dnsxl.RTYPES:
        asked = dnsxl.question(_NAME, rtype)
        query = dnsxl.query(0x1234, asked)
        seeds += [(asked, write_reply(query, rcode)) for rcode in ("NOERROR", "NXDOMAIN", "SERVFAIL")]
        records = [(f"{_NAME}.", record_from_text(kind, text)) for kind, text in _RECORDS]
        seeds += [(asked, write_reply(query, "NOERROR", [record])) for record in records]
    return seeds


def _damaged(packet: bytes, chance: random.Random) -> bytes:
    damaged = bytearray(packet)
    for _ in range(chance.randint(1, 6)):
        at = chance.randrange(2, len(damaged) + 1)
        match chance.randrange(4):
            case 0:
                damaged[at - 1] = chance.randrange(256)
            case 1:
                damaged[at:at] = chance.randbytes(chance.randint(1, 20))
            case 2:
                del damaged[at : at + chance.randint(1, 20)]
            case _:
                damaged[at:at] = damaged[12:at]
    return bytes(damaged[:4096])


def test_damaged_replies_are_ignored_or_read_alike() -> None:
    seconds = float(os.environ.get("EARMARK_FUZZ_SECONDS", "1"))
    chance = random.Random(1)  # noqa: S311 - to be repeatable
    seeds = _seeds()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        asked, seed = chance.choice(seeds)
        packet = _damaged(seed, chance)
        read_query(packet)
        full = read_reply(packet)
        if not dnsxl.is_reply(packet, asked):
            continue
        common = dnsxl.read_common(packet, asked)
        if common is not None and full is not None and int.from_bytes(packet[8:10], "big") <= 1:
            assert full.rcode == ("NXDOMAIN" if common.rcode else "NOERROR"), packet.hex()
            assert set(full.data) == set(common.addresses), packet.hex()
