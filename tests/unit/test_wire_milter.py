"""The milter codec: literal packets as MTAs send them, and what may not come out of ours."""

import pytest

from earmark.wire import RemoteError
from earmark.wire import milter as wire
from earmark.wire.milter import Actions, Connect, Negotiation, Splitter, Steps
from earmark.wire.milter_mta import HeaderEdit, MtaSide, ReplyCode, connect, decode_response, macros


def test_the_offer_of_postfix_is_read() -> None:
    payload = bytes.fromhex("00000006 000001ff 001fffff")
    assert wire.decode_negotiation(payload) == Negotiation(6, Actions(0x1FF), Steps(0x1FFFFF))


def test_an_agreement_names_the_macros_by_stage() -> None:
    answer = Negotiation(6, Actions.ADDHDRS, Steps.NR_HELO, {0: b"j {client_ptr}", 5: b"i"})
    packed = wire.encode_negotiation(answer)
    assert packed[17:] == b"\0\0\0\0j {client_ptr}\0\0\0\0\5i\0"
    assert wire.decode_negotiation(packed[5:]) == answer


@pytest.mark.parametrize(
    ("payload", "client"),
    [
        (b"mail.example.net\x004\x09\xdd192.0.2.7\0", Connect(b"mail.example.net", "4", 2525, b"192.0.2.7")),
        (b"mail.example.net\x006\x09\xddIPv6:2001:db8::7\0", Connect(b"mail.example.net", "6", 2525, b"2001:db8::7")),
        (b"localhost\0L\0\0/run/x\0", Connect(b"localhost", "L", 0, b"/run/x")),
        (b"unknown\0U", Connect(b"unknown", "U", 0, b"")),
        (b"host\x004", Connect(b"host", "4", 0, b"")),
    ],
)
def test_a_connect_names_the_client(payload: bytes, client: Connect) -> None:
    assert wire.decode_connect(payload) == client


@pytest.mark.parametrize("payload", [b"", b"host", b"host\0", b"host\0Z"])
def test_a_connect_without_a_known_family_is_refused(payload: bytes) -> None:
    with pytest.raises(RemoteError, match="CONNECT"):
        wire.decode_connect(payload)


def test_a_nul_inside_of_a_header_value_is_kept() -> None:
    assert wire.decode_header(b"Subject\0 a\0b\0") == (b"Subject", b" a\0b")


def test_macros_come_without_their_braces() -> None:
    packed = macros(wire.Command.MAIL, {b"i": b"QUEUEID", b"auth_authen": b"bob"})
    assert packed[5:] == b"Mi\0QUEUEID\0{auth_authen}\0bob\0"
    assert wire.decode_macros(packed[5:]) == (ord("M"), {b"i": b"QUEUEID", b"auth_authen": b"bob"})


def test_macros_that_are_not_used_are_left_out_and_no_other_packet_is() -> None:
    used, unused = macros(wire.Command.MAIL, {b"i": b"QUEUEID"}), macros(wire.Command.HEADER, {b"i": b"QUEUEID"})
    empty, field = wire.packet(wire.Command.MACRO), wire.packet(wire.Command.HEADER, b"L\0L\0")
    heard = Splitter({wire.Command.HEADER}).feed(unused + used + unused + field + unused + empty)
    assert heard == [(one[4], one[5:]) for one in (used, field, empty)]


def test_a_reply_doubles_percent_and_stays_one_line() -> None:
    packed = wire.reply_code(550, "5.7.1", "100% of\r\n250 caf\u00e9 \x00\x1b[31m")
    assert packed[4:] == b"y550 5.7.1 100%% of??250 caf? ??[31m\0"
    assert decode_response(packed[4], packed[5:]) == ReplyCode("550 5.7.1 100% of??250 caf? ??[31m")


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("plain", b"plain"),
        ("a\n\tb", b"a\n\tb"),
        ("a\r\nX-Evil: 1", b"a\n\tX-Evil: 1"),
        ("a\rX-Evil: 1", b"a\n\tX-Evil: 1"),
        ("a\n\nbody", b"a\n\tbody"),
        ("a\0b\n c", b"a?b\n c"),
        ("gr\udcfc\udcdf", b"gr\xfc\xdf"),
    ],
)
def test_a_header_value_cannot_begin_another_field(value: str, written: bytes) -> None:
    packed = wire.insert_header(0, "X-Test", value, leading_space=True)
    assert decode_response(packed[4], packed[5:]) == HeaderEdit("insert", 0, b"X-Test", b" " + written)


def test_a_header_name_cannot_hold_a_colon_or_a_line_end() -> None:
    assert wire.remove_header(1, "X-A: b\r\nX")[9:] == b"X-A??b??X\0\0"


def test_the_blank_after_the_colon_is_ours_to_give_only_where_that_was_agreed() -> None:
    assert wire.insert_header(0, "X-A", "b", leading_space=True)[9:] == b"X-A\0 b\0"
    assert wire.change_header(2, "X-A", "b", leading_space=False)[5:] == b"\0\0\0\2X-A\0b\0"
    assert wire.remove_header(3, "X-A")[4:] == b"m\0\0\0\3X-A\0\0"


def test_an_edit_is_never_longer_than_an_mta_reads() -> None:
    assert len(wire.insert_header(0, "Subject", "y" * 100_000, leading_space=True)) <= wire.CHUNK + 5


@pytest.mark.parametrize("length", [0, wire.MAX_PACKET + 1, 2**30, 2**32 - 1])
def test_a_length_that_no_mta_sends_is_refused_at_its_fourth_byte(length: int) -> None:
    splitter = Splitter()
    raw = length.to_bytes(4, "big")
    assert splitter.feed(raw[:3]) == []
    with pytest.raises(RemoteError, match=f"packet of {length} bytes"):
        splitter.feed(raw[3:])


@pytest.mark.parametrize(
    "answer",
    [
        Negotiation(7, Actions(0), Steps(0)),
        Negotiation(6, Actions.QUARANTINE, Steps(0)),
        Negotiation(6, Actions(0), Steps.SKIP),
    ],
)
def test_a_filter_may_not_agree_to_what_was_not_offered(answer: Negotiation) -> None:
    side = MtaSide(6, Actions.ADDHDRS, Steps.NR_HELO)
    with pytest.raises(RemoteError, match="in answer to"):
        side.feed(wire.encode_negotiation(answer))


def test_an_mta_sends_and_awaits_what_was_agreed() -> None:
    side = MtaSide()
    side.feed(wire.encode_negotiation(Negotiation(6, Actions(0), Steps.NO_BODY | Steps.NR_HELO)))
    assert not side.sends(wire.Command.BODY)
    assert not side.awaits(wire.Command.HELO)
    assert side.awaits(wire.Command.MAIL)
    assert not side.awaits(wire.Command.ABORT)
    assert side.header(b"A", b" b")[5:] == b"A\0b\0"


def test_a_local_socket_is_connected_without_a_port() -> None:
    assert connect(Connect(b"x", "U", 0, b""))[4:] == b"Cx\0U"
