"""What an MTA says by milter, and what we answer."""

from collections.abc import Callable

from earmark.wire import RemoteError
from earmark.wire import milter as wire
from earmark.wire.milter import Command, Packet, Splitter, packet
from earmark.wire.milter_mta import connect
from fuzz.checking import heard_alike, tried
from fuzz.mutating import Mutator
from fuzz.running import Target

TOKENS = (
    b"\0", b"\0\0\0\0", b"\0\0\0\1", b"\xff\xff\xff\xff", b"\0\1\x08\0", b"\0\1\x08\1", b"4\x09\xdd192.0.2.7\0", b"L",
    b"U", b"IPv6:2001:db8::7", b"{auth_authen}\0bob\0", b"<a@example.net>\0", b"SIZE=100\0", b"\xff", b"\r\n", b"%",
    b"X-Spam-Flag\0",
)  # fmt: skip
DECODERS: dict[int, Callable[[bytes], object]] = {
    Command.NEGOTIATE: wire.decode_negotiation,
    Command.CONNECT: wire.decode_connect,
    Command.HELO: wire.decode_strings,
    Command.MAIL: wire.decode_strings,
    Command.RCPT: wire.decode_strings,
    Command.HEADER: wire.decode_header,
    Command.MACRO: wire.decode_macros,
}


def check(raw: bytes) -> str:
    packets, why = heard_alike(lambda: Splitter().feed, raw)
    assert b"".join(packet(*one) for one in packets) == raw[: sum(len(payload) + 5 for _, payload in packets)]
    heard_alike(lambda: Splitter({Command.HEADER, Command.MAIL}).feed, raw)
    for decode in DECODERS.values():
        tried(decode, raw)
    refused = [letter for letter, payload in packets if letter in DECODERS and not _reads(letter, payload)]
    _edits_are_packets(raw[:3000])
    if why:
        return why
    return f"{'packets' if packets else 'part'}: {len({letter for letter, _ in packets})} {sorted(set(refused))}"


def _reads(letter: int, payload: bytes) -> bool:
    """Return whether a packet is read, and assert that it reads the same when it is written again."""
    value = tried(DECODERS[letter], payload)
    if isinstance(value, wire.Negotiation):
        assert wire.decode_negotiation(wire.encode_negotiation(value)[5:]) == value
    if isinstance(value, wire.Connect) and value.address[:5].lower() != b"ipv6:":
        assert wire.decode_connect(connect(value)[5:]) == value
    return value is not None


def _edits_are_packets(raw: bytes) -> None:
    """Whatever is in a text of ours, it stays one packet, one field and one line of reply."""
    text = raw.decode("utf-8", "surrogateescape")
    made = [
        wire.reply_code(550, "5.7.1", text),
        wire.hold(text),
        *(edit(1, text, text, leading_space=True) for edit in (wire.insert_header, wire.change_header)),
        wire.remove_header(1, text),
    ]
    if b"\0" not in raw:
        made += [wire.add_recipient(raw), wire.remove_recipient(raw)]
    (*heard,) = Splitter().feed(b"".join(made))
    assert len(heard) == len(made)
    assert not set(heard[0][1][:-1]) - set(range(0x20, 0x7F))
    for _, payload in heard[2:4]:
        name, value = wire.decode_header(payload[4:])
        assert set(name) <= set(range(0x21, 0x7F)) - {ord(":")}
        assert not set(b"\0\r") & set(value)
        assert all(line[:1] in {b" ", b"\t"} for line in value.split(b"\n")[1:])


def damaged_packets(mutator: Mutator, raw: bytes) -> bytes:
    """Damage packets one by one and have their lengths right, as a rule: else nothing behind the first is read."""
    chance = mutator.chance
    packets = [*_whole(raw), *_whole(mutator.seed())] or [(ord("O"), raw)]
    for _ in range(chance.randint(0, 4)):
        at = chance.randrange(len(packets))
        match chance.randrange(5):
            case 0:
                packets.insert(at, chance.choice(packets))
            case 1:
                del packets[at : at + chance.randint(0, len(packets) - 1)]
            case 2:
                packets[at] = chance.choice((*DECODERS, *Command, chance.randrange(256))), packets[at][1]
            case _:
                packets[at] = packets[at][0], mutator.damaged(packets[at][1], 3)[: wire.CHUNK]
        packets = packets or [(ord("Q"), b"")]
    said = b"".join(packet(*one) for one in packets[:200])
    return said if chance.random() < 0.8 else mutator.damaged(said, 2)


def _whole(raw: bytes) -> list[Packet]:
    try:
        return Splitter().feed(raw)
    except RemoteError:
        return []


TARGET = Target("milter", check, frozenset({"packets", "part", "refused"}), TOKENS, damaged_packets)
