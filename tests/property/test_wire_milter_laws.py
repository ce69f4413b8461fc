"""Laws of the milter codec: what is written is read again, however it is cut; garbage is a RemoteError, no more."""

from contextlib import suppress

from hypothesis import given
from hypothesis import strategies as st

from earmark.wire import RemoteError
from earmark.wire import milter as wire
from earmark.wire.milter import Actions, Connect, Negotiation, Packet, Splitter, Steps
from earmark.wire.milter_mta import MtaSide, ReplyCode, connect, decode_response, macros
from fakes.milter_targets import NEGOTIATED, codec_target, session_target

strings = st.binary(max_size=60).map(lambda raw: raw.replace(b"\0", b"."))
packets = st.lists(st.tuples(st.integers(0, 255), st.binary(max_size=300)), max_size=20)


@given(packets, st.data())
def test_packets_come_out_as_they_went_in_however_they_are_cut(said: list[Packet], data: st.DataObject) -> None:
    stream = b"".join(wire.packet(*one) for one in said)
    splitter, heard = Splitter(), list[Packet]()
    while stream:
        cut = data.draw(st.integers(1, len(stream)))
        heard += splitter.feed(stream[:cut])
        stream = stream[cut:]
    assert heard == said


@given(packets)
def test_one_byte_at_a_time_equals_all_at_once(said: list[Packet]) -> None:
    stream = b"".join(wire.packet(*one) for one in said)
    splitter = Splitter()
    by_bytes = [one for byte in stream for one in splitter.feed(bytes([byte]))]
    assert by_bytes == Splitter().feed(stream) == said


@given(
    st.integers(0, 2**32 - 1),
    st.integers(0, 2**32 - 1),
    st.integers(0, 2**32 - 1),
    st.dictionaries(st.integers(0, 6), strings),
)
def test_a_negotiation_is_read_as_written(version: int, actions: int, steps: int, names: dict[int, bytes]) -> None:
    said = Negotiation(version, Actions(actions), Steps(steps), names)
    assert wire.decode_negotiation(wire.encode_negotiation(said)[5:]) == said


@given(strings, st.sampled_from("46L"), st.integers(0, 65535), strings)
def test_a_connect_is_read_as_written(host: bytes, family: str, port: int, address: bytes) -> None:
    said = Connect(host, family, port, address)
    if not address.lower().startswith(b"ipv6:"):
        assert wire.decode_connect(connect(said)[5:]) == said


@given(st.dictionaries(strings.map(lambda name: name.strip(b"{}")), strings))
def test_macros_are_read_as_written(values: dict[bytes, bytes]) -> None:
    assert wire.decode_macros(macros(wire.Command.MAIL, values)[5:]) == (ord("M"), values)


@given(st.text(max_size=500))
def test_a_reply_is_one_printable_line_whatever_its_text(text: str) -> None:
    packed = wire.reply_code(550, "5.7.1", text)
    assert packed[-1:] == b"\0"
    assert all(0x20 <= byte < 0x7F for byte in packed[5:-1])
    heard = decode_response(packed[4], packed[5:])
    assert isinstance(heard, ReplyCode)
    assert len(heard.text) == len("550 5.7.1 ") + len(text)


@given(st.text(max_size=200), st.text(st.characters(codec="utf-8"), max_size=500), st.booleans())
def test_an_inserted_field_is_one_field_whatever_is_in_it(name: str, value: str, leading_space: bool) -> None:  # noqa: FBT001
    packed = wire.insert_header(0, name, value, leading_space=leading_space)
    field, _, rest = packed[9:-1].partition(b"\0")
    assert b":" not in field
    assert b"\0" not in rest
    assert b"\r" not in rest
    assert all(line[:1] in {b" ", b"\t"} for line in rest.split(b"\n")[1:])


@given(st.binary(max_size=300))
def test_an_mta_takes_random_bytes_for_a_remote_error_or_a_response(raw: bytes) -> None:
    with suppress(RemoteError):
        MtaSide().feed(raw)


@given(st.binary(max_size=300))
def test_decoders_raise_nothing_but_a_remote_error(raw: bytes) -> None:
    codec_target(raw)


@given(st.lists(st.tuples(st.sampled_from(b"ABCDEHKLMNOQRTUz"), st.binary(max_size=60)), max_size=30))
def test_a_session_raises_nothing_but_a_remote_error(said: list[Packet]) -> None:
    session_target(NEGOTIATED + b"".join(wire.packet(*one) for one in said))
