"""What holds for all bodies, fields and keys. Where dkimpy is sound, it is the oracle."""

import base64
import re
from collections.abc import Callable
from typing import Any

import pytest
from dkim.canonicalization import CanonicalizationPolicy
from hypothesis import given
from hypothesis import strategies as st

from earmark.clients.dkim.chain import read_chain
from earmark.clients.dkim.fields import UnusableError, check_field, describe, key_name, read_key, read_tags
from earmark.clients.dkim.verify import Body, Message, judge_key
from earmark.core.authentication.signature import read_signature, signature_text
from earmark.core.evidence import Fact, Status
from earmark.core.mail import Header
from fakes.signing import content_of, public_key, sealed, sealed_again

_pieces = st.sampled_from(
    [b"a", b"bc", b" ", b"  ", b"\t", b"\r\n", b"\r\n\r\n", b"\n", b"\r", b"=20", b"\xff", b"\x00"]
)
_bodies = st.lists(_pieces, max_size=40).map(b"".join)
_words = (
    "v=1 a=rsa-sha256 d= example.org s= s2048 b=AA== bh=AA== h=from i=@ i=1 x=1 l=9 cv=none k=rsa p= t=s = ( @ . - :"
)
_parts = [*(word.encode() for word in _words.split()), b";", b";", b"; ", b"\r\n ", b"\xff", b"\x00", b" ", b'"']
_fields = st.one_of(st.binary(max_size=200), st.lists(st.sampled_from(_parts), max_size=40).map(b"".join))
_arc_names = st.sampled_from([b"ARC-Seal", b"arc-message-signature", b"ARC-Authentication-Results"])


def crlf(body: bytes) -> bytes:
    """Lines as dkimpy's own reader makes them."""
    return re.sub(rb"\r?\n", b"\r\n", body)


def refusal(step: Callable[[], object]) -> UnusableError | None:
    try:
        step()
    except UnusableError as error:
        return error
    return None


@given(_bodies)
def test_both_canonical_forms_are_dkimpys(body: bytes) -> None:
    assert Body(body).simple == CanonicalizationPolicy.from_c_value(b"simple/simple").canonicalize_body(crlf(body))
    assert Body(body).relaxed == CanonicalizationPolicy.from_c_value(b"simple/relaxed").canonicalize_body(crlf(body))


@pytest.mark.parametrize("count", [1, 255, 256, 257, 65_536, 70_001])
def test_any_number_of_empty_lines_at_the_end_is_none(count: int) -> None:
    assert Body(b"a" + b"\r\n" * count).simple == Body(b"a" + b" \r\n" * count).relaxed == b"a\r\n"
    assert Body(b"\r\n" * count).relaxed == b""


@given(_bodies, st.sampled_from([b"simple/simple", b"relaxed/relaxed", b"relaxed", b"simple/relaxed"]))
def test_what_is_prepared_comes_to_the_same_as_what_was_asked_for(body: bytes, form: bytes) -> None:
    tags = {b"c": form}
    prepared = Body(body).prepared(tags)
    asked = CanonicalizationPolicy.from_c_value(form)
    passed_on = CanonicalizationPolicy.from_c_value(tags[b"c"])
    assert passed_on.canonicalize_body(prepared) == prepared == asked.canonicalize_body(crlf(body))
    assert passed_on.header_algorithm is asked.header_algorithm


@given(_fields)
def test_any_field_is_read_or_found_unusable_and_told_safely(value: bytes) -> None:
    def read() -> None:
        signature = describe(read_tags(value))
        assert read_signature(signature_text(signature)).status is signature.status
        check_field(read_tags(value), signature, 1.7e9)
        assert re.fullmatch(r"[a-z0-9_.-]{1,253}", key_name(signature))

    refused = refusal(read)
    assert refused is None or (refused.status is not Status.PASS and str(refused).isprintable())


@given(st.lists(st.one_of(st.text(max_size=80), _fields.map(lambda raw: raw.decode("latin-1"))), max_size=3))
def test_any_key_record_is_read_or_found_unusable(records: list[str]) -> None:
    def read() -> None:
        key = read_key("s._domainkey.example.org", Fact(Status.PASS, tuple(records)))
        assert judge_key(key.record.encode()).status in {Status.PASS, Status.POLICY, Status.PERMERROR}

    refused = refusal(read)
    assert refused is None or refused.status is Status.PERMERROR


@given(st.lists(st.tuples(_arc_names, _fields), max_size=6))
def test_any_chain_is_read_or_found_broken(fields: list[tuple[bytes, bytes]]) -> None:
    headers = [Header(*field) for field in fields]
    refused = refusal(lambda: read_chain(headers))
    assert (refused is None) == (not fields) or read_chain(headers)


@given(_fields, _bodies)
def test_the_verifier_answers_whatever_the_fields_say_and_passes_nothing(value: bytes, body: bytes) -> None:
    headers = [(b"DKIM-Signature", value), (b"ARC-Seal", value), (b"ARC-Message-Signature", value)]
    message = Message(headers, Body(body), public_key("s2048"))
    assert message.signature(0).status not in {Status.PASS, Status.TEMPERROR}
    assert message.chain().status in {Status.FAIL, Status.NONE}


class Asked(dict[bytes, bytes]):
    """Keys that note how often they are asked for."""

    times = 0

    def get(self, name: bytes, default: Any = None) -> Any:
        self.times += 1
        return super().get(name, default)


def test_of_a_chain_every_seal_is_verified_and_the_newest_message_signature_alone() -> None:
    content = content_of(sealed_again(sealed_again(sealed(), domain="example.org"), domain="example.org"))
    keys = Asked(public_key("s2048"))
    answer = Message(
        [(name, crlf(value)) for name, value in content.headers], Body(b"".join(content.body())), keys
    ).chain()
    assert answer.domains == ("example.org",) * 3
    assert keys.times == 1 + 3


def test_a_key_made_to_be_slow_is_not_computed_with() -> None:
    for modulus, exponent in (((1 << 9000) - 1, 65537), ((1 << 8000) - 1, (1 << 7999) - 1)):
        answer = judge_key(b"k=rsa; p=" + base64.b64encode(rsa_key(modulus, exponent)))
        assert answer.status is Status.POLICY
        assert answer.why == f"a key of {modulus.bit_length()} bits is too long, or its exponent is"


def rsa_key(modulus: int, exponent: int) -> bytes:
    """An RSAPublicKey in DER (RFC 8017 appendix A.1.1), each length in two bytes."""
    numbers = [number.to_bytes(number.bit_length() // 8 + 1, "big") for number in (modulus, exponent)]
    inner = b"".join(b"\x02\x82" + len(number).to_bytes(2, "big") + number for number in numbers)
    return b"\x30\x82" + len(inner).to_bytes(2, "big") + inner
