"""Laws of the policy protocol's codec: what is written is read again, however it is cut; garbage is a RemoteError."""

from contextlib import suppress

from hypothesis import given
from hypothesis import strategies as st

from earmark.wire import RemoteError
from earmark.wire.attributes import Splitter, encode_refusal, encode_report, encode_request, split_mailboxes
from fakes.policy_targets import policy_codec_target, policy_session_target

values = st.binary(max_size=60).map(lambda raw: raw.translate(None, b"\0\r\n"))
names = values.map(lambda raw: b"n" + raw.replace(b"=", b""))
requests = st.lists(st.dictionaries(names, values, min_size=1, max_size=20), max_size=6)


@given(requests, st.data())
def test_requests_come_out_as_they_went_in_however_they_are_cut(
    said: list[dict[bytes, bytes]], data: st.DataObject
) -> None:
    stream = b"".join(encode_request(one.items()) for one in said)
    splitter, heard = Splitter(), list[dict[bytes, bytes]]()
    while stream:
        cut = data.draw(st.integers(1, len(stream)))
        heard += splitter.feed(stream[:cut])
        stream = stream[cut:]
    assert heard == said
    assert not splitter.in_request


@given(st.text(max_size=200))
def test_no_text_makes_an_answer_longer_than_its_line(text: str) -> None:
    assert encode_refusal(text).count(b"\n") == 2
    assert encode_refusal(text).endswith(b"\n\n")
    lines = encode_report([("reply", text)]).split(b"\n")
    assert (lines[0], lines[2:]) == (b"v=1", [b"end=1", b""])


@given(st.text(max_size=200), st.integers(0, 400))
def test_an_answer_that_is_cut_short_is_known_for_one(text: str, cut: int) -> None:
    whole = encode_report([("action", "accept"), ("reply", text)])
    short = whole[: min(cut, len(whole) - 1)]
    assert not short.endswith(b"\nend=1\n")


@given(st.lists(st.from_regex(rb'([a-z]{1,5}|"[a-z,@ ]{0,5}")@[a-z]{1,5}', fullmatch=True), max_size=8))
def test_mailboxes_are_found_again(mailboxes: list[bytes]) -> None:
    assert split_mailboxes(b",".join(mailboxes)) == mailboxes


@given(st.binary(max_size=300))
def test_garbage_ends_in_values_or_a_remote_error(raw: bytes) -> None:
    policy_codec_target(raw)
    policy_session_target(raw)


@given(st.binary(max_size=300))
def test_one_byte_at_a_time_equals_all_at_once(raw: bytes) -> None:
    at_once: list[dict[bytes, bytes]] = []
    with suppress(RemoteError):
        at_once = Splitter().feed(raw)
    splitter = Splitter()
    by_bytes: list[dict[bytes, bytes]] = []
    with suppress(RemoteError):
        for byte in raw:
            by_bytes += splitter.feed(bytes([byte]))
    assert by_bytes[: len(at_once)] == at_once
