"""Milter streams as no MTA sends them."""

import random

from earmark.wire.milter import Command, packet

SEEDS = (
    packet(Command.CONNECT, b"mail.example.net\x004\x09\xdd192.0.2.7\0"),
    packet(Command.CONNECT, b"mail.example.net\x006\x09\xddIPv6:2001:db8::7\0"),
    packet(Command.HELO, b"mail.example.net\0"),
    packet(Command.MACRO, b"Mi\0QUEUEID\0{auth_authen}\0\0"),
    packet(Command.MAIL, b"<a@example.net>\0SIZE=100\0"),
    packet(Command.RCPT, b"<b@example.org>\0"),
    packet(Command.DATA),
    packet(Command.HEADER, b"Received\0 from x ([192.0.2.9])\n\tby y; date\0"),
    packet(Command.HEADER, b"X-Spam-Flag\0 YES\0"),
    packet(Command.EOH),
    packet(Command.BODY, b"Hello\r\n"),
    packet(Command.EOM),
    packet(Command.ABORT),
    packet(Command.QUIT_NC),
)


def mutated(chance: random.Random) -> bytes:
    """Return the packets of a session, some of them left out, repeated or damaged."""
    parts = list(SEEDS) if chance.random() < 0.5 else chance.choices(SEEDS, k=chance.randrange(1, 30))
    for _ in range(chance.randrange(4)):
        position = chance.randrange(len(parts))
        part = bytearray(parts[position])
        where = chance.randrange(4 if chance.random() < 0.8 and len(part) > 5 else 0, len(part))
        part[where : where + chance.randrange(3)] = chance.randbytes(chance.randrange(3))
        if chance.random() < 0.8:
            part[:4] = max(len(part) - 4, 0).to_bytes(4, "big")
        parts[position] = bytes(part)
    return b"".join(parts)
