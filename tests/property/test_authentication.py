from hypothesis import given
from hypothesis import strategies as st

from earmark.core.authentication.signature import Signature, read_signature, safe_token, signature_text
from earmark.core.evidence import Status

_words = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=300).filter(lambda word: word != "-")
_lines = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=400)
_bits = st.integers(0, 999_999_999)
_clean = st.builds(Signature, st.sampled_from(Status), _words, _words, _words, _words, _bits, _lines)
_hostile = st.builds(Signature, st.sampled_from(Status), st.text(), st.text(), st.text(), st.text(), _bits, st.text())


@given(_clean)
def test_a_signature_is_read_as_it_was_written(signature: Signature) -> None:
    assert read_signature(signature_text(signature)) == signature


@given(_hostile)
def test_hostile_text_stays_in_its_field_and_on_its_line(signature: Signature) -> None:
    text = signature_text(signature)
    assert text.isascii()
    assert text.isprintable()
    known = read_signature(text)
    assert (known.status, known.bits) == (signature.status, signature.bits)
    assert signature_text(known) == text


@given(st.text())
def test_a_domain_of_the_line_is_the_senders_own_or_no_domain_at_all(domain: str) -> None:
    read = read_signature(signature_text(Signature(Status.PASS, domain))).domain
    assert read == domain or "?" in read


_broken = st.one_of(
    st.text(),
    st.lists(st.text(), max_size=9).map(" ".join),
    _clean.map(signature_text).map(lambda line: line[1:]),
    _clean.map(signature_text).map(lambda line: line + "\n"),
    _clean.map(signature_text).map(lambda line: line.replace(" ", "  ", 1)),
)


@given(_broken)
def test_any_other_text_is_a_signature_that_cannot_be_read_and_passes_nothing(text: str) -> None:
    read = read_signature(text)
    assert read.status is not Status.PASS or signature_text(read) == text


def test_the_line_is_for_people_too() -> None:
    line = "pass example.org @example.org sel rsa-sha256 2048 the first 5 of 9 bytes are signed"
    assert read_signature(line) == Signature(
        Status.PASS, "example.org", "@example.org", "sel", "rsa-sha256", 2048, "the first 5 of 9 bytes are signed"
    )
    assert signature_text(Signature(Status.NEUTRAL)) == "neutral - - - - 0 "
    assert read_signature("neutral - - - - 0 ") == Signature(Status.NEUTRAL)


def test_a_word_that_is_far_too_long_ends_as_no_domain_does() -> None:
    assert safe_token("a" * 331) == "a" * 329 + "?"
    assert safe_token("a" * 330) == "a" * 330
    assert safe_token("a" * 1_000_000) == "a" * 329 + "?"
