import struct

import pytest

from earmark.wire import dnsxl

ASKED = b"\x017\x012\x010\x03192\x02bl\x07example\0\0\x01\0\x01"


def packet(
    flags: int = 0x8180, *, answers: int = 0, authority: int = 0, tail: bytes = b"", asked: bytes = ASKED
) -> bytes:
    return struct.pack("!HHHHHH", 0x1234, flags, 1, answers, authority, 0) + asked + tail


def record(rtype: int, ttl: int, data: bytes, owner: bytes = b"\xc0\x0c") -> bytes:
    return owner + struct.pack("!HHIH", rtype, 1, ttl, len(data)) + data


def soa(ttl: int, minimum: int, names: bytes = b"\0\0", owner: bytes = b"\xc0\x14") -> bytes:
    return record(6, ttl, names + struct.pack("!IIIII", 1, 2, 3, 4, minimum), owner)


def test_a_query_is_the_one_of_rfc_1035_with_edns_at_1232() -> None:
    assert dnsxl.question("7.2.0.192.bl.example", "A") == ASKED
    assert dnsxl.query(0x1234, ASKED).hex() == (
        "123401000001000000000001" + ASKED.hex() + "0000290" + "4d0" + "00000000" + "0000"
    )
    assert dnsxl.query(0x1234, ASKED, edns=False) == bytes.fromhex("123401000001000000000000") + ASKED


def test_names_up_to_their_limits_are_packed() -> None:
    longest = ".".join(["a" * 63] * 3 + ["b" * 61])
    assert len(dnsxl.question(longest, "TXT")) == 255 + 4
    assert dnsxl.question("_dmarc.example.", "MX") == b"\x06_dmarc\x07example\0\0\x0f\0\x01"
    assert dnsxl.question("bob+list=a%b.example", "A") == b"\x0cbob+list=a%b\x07example\0\0\1\0\1"


def test_a_question_can_be_put_together_and_read_again() -> None:
    assert dnsxl.labels("7.2.0.192") + dnsxl.question("bl.example", "A") == ASKED
    assert dnsxl.read_question(ASKED) == ("7.2.0.192.bl.example", "A")


@pytest.mark.parametrize(
    "name", ["", ".", "..", "a..b", ".a", "A.example", "a b", "a\\b", "a\0b", "ü", "\ud800", "a" * 64, "a." * 127 + "a"]
)
def test_what_is_no_name_is_an_error(name: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        dnsxl.question(name, "A")


def test_a_reply_echoes_the_question_in_any_case() -> None:
    assert dnsxl.is_reply(packet(), ASKED)
    assert dnsxl.is_reply(packet(asked=ASKED.replace(b"example", b"eXaMPLE")), ASKED)


@pytest.mark.parametrize(
    "broken",
    [
        b"",
        packet()[:11],
        packet()[:-1],
        packet(0x0100),  # a query
        packet(0xA180),  # opcode 4
        packet(asked=ASKED.replace(b"example", b"exbmple")),
        packet(asked=ASKED[:-3] + b"\x1c\0\x01"),  # another type
        packet(asked=ASKED[:-1] + b"\x03"),  # another class
        packet()[:4] + b"\0\0" + packet()[6:],  # no question
        packet()[:4] + b"\0\x02" + packet()[6:],  # two
    ],
)
def test_what_does_not_echo_the_question_is_no_reply(broken: bytes) -> None:
    assert not dnsxl.is_reply(broken, ASKED)


def test_a_formerr_may_leave_the_question_out() -> None:
    assert dnsxl.is_reply(bytes.fromhex("123481810000000000000000"), ASKED)


@pytest.mark.parametrize(
    ("reply", "answer"),
    [
        (packet(0x8183), dnsxl.Answer(3, 0, ())),
        (packet(0x8180), dnsxl.Answer(0, 0, ())),
        (packet(0x8183, authority=1, tail=soa(900, 120)), dnsxl.Answer(3, 120, ())),
        (packet(0x8183, authority=1, tail=soa(100, 900)), dnsxl.Answer(3, 100, ())),
        (packet(0x8183, authority=1, tail=soa(900, 120, b"\2ns\xc0\x14\1h\0", b"\2bl\0")), dnsxl.Answer(3, 120, ())),
        (packet(0x8183, authority=1, tail=soa(900, 0x80000000)), dnsxl.Answer(3, 0, ())),
        (packet(answers=1, tail=record(1, 7, b"\x7f\0\0\2")), dnsxl.Answer(0, 7, ("127.0.0.2",))),
        (
            packet(answers=2, tail=record(1, 9, b"\x7f\0\0\2") + record(1, 7, b"\xff\1\0\n")),
            dnsxl.Answer(0, 7, ("127.0.0.2", "255.1.0.10")),
        ),
        (packet(answers=1, tail=record(1, 0xFFFFFFFF, b"\x7f\0\0\2")), dnsxl.Answer(0, 0, ("127.0.0.2",))),
    ],
)
def test_common_answers_are_read_in_place(reply: bytes, answer: dnsxl.Answer) -> None:
    assert dnsxl.is_reply(reply, ASKED)
    assert dnsxl.read_common(reply, ASKED) == answer


@pytest.mark.parametrize(
    "reply",
    [
        packet(0x8182),  # SERVFAIL
        bytes.fromhex("123481800001000000000001") + ASKED + bytes.fromhex("00002904d00100000000"),  # BADVERS in its OPT
        packet(0x8380),  # truncated
        packet(0x0180),  # a query
        packet(0xA180),  # opcode 4
        packet(asked=ASKED.replace(b"example", b"exbmple"), answers=1, tail=record(1, 7, b"\x7f\0\0\2")),
        packet()[:4] + b"\0\0" + packet()[6:],  # no question
        packet(0x8183, answers=1, tail=record(1, 7, b"\x7f\0\0\2")),  # NXDOMAIN with an answer
        packet(answers=1, tail=record(5, 7, b"\1a\0")),  # CNAME
        packet(answers=1, tail=record(1, 7, b"\x7f\0\0\2", b"\0")),  # another owner
        packet(answers=1, tail=record(1, 7, b"\x7f\0\0\2\0")),  # five bytes of address
        packet(answers=1, tail=record(1, 7, b"\x7f\0\0\2"))[:-1],
        packet(answers=65535, tail=record(1, 7, b"\x7f\0\0\2")),
        packet(0x8183, authority=1),  # a SOA that is not there
        packet(0x8183, authority=1, tail=soa(900, 120)[:-1]),
        packet(0x8183, authority=1, tail=soa(900, 120)[:8]),
        packet(0x8183, authority=1, tail=record(2, 900, b"\1a\0")),  # NS first
        packet(0x8183, authority=1, tail=b"\x40" + soa(900, 120)),  # a label type that does not exist
        packet(0x8183, authority=1, tail=b"\x3f"),
    ],
)
def test_what_is_not_common_is_left_to_the_full_codec(reply: bytes) -> None:
    assert dnsxl.read_common(reply, ASKED) is None
