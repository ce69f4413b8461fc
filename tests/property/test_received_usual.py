"""The short way through the usual form of Received says what the long way says."""

import tomllib
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from earmark.core.received_forms import read_any, read_line

HERE = Path(__file__).resolve().parent
CORPUS = HERE.parent / "corpus"

WORDS = st.sampled_from(
    ["mail.example.net", "by", "with", "id", "for", "from", "via", "unknown", "[192.0.2.9]", "192.0.2.9", "localhost",
     "HELO", "EHLO", "helo=x", "a,b", "x.", "<bob@example.org>", "bob@example.org", "-", "Exim", "no", "\x80", "a\x7fb"]
)  # fmt: skip
ADDRESSES = st.sampled_from(
    ["192.0.2.7", "IPv6:2001:db8::7", "2001:DB8::7", "999.1.1.1", "::ffff:192.0.2.7", "1.2.3", "unix"]
)
PROTOCOLS = st.sampled_from(
    ["SMTP", "ESMTP", "ESMTPS", "ESMTPSA", "ESMTPA", "LMTP", "UTF8SMTPSA", "esmtp", "SMTPA", "HTTP", "POP3", "ESMTPAX"]
)
BLANKS = st.sampled_from([" ", "\n\t", "  ", "\r\n ", "\x0b"])
TLS = st.sampled_from(
    ["", "(using TLSv1.3 with cipher X (256/256 bits)\n\t key-exchange X25519) ", "(No client certificate requested) ",
     "(using TLSv1.2 (Authenticated sender: x)) ", "(Client did not present a certificate) ",
     "(Authenticated sender: bob) "]
)  # fmt: skip
BY = st.sampled_from(["", "(Postfix) ", "(Exim 4.96) ", "(8.17.1/8.17.1) ", "(Postfix, from userid 33) "])
ENDS = st.sampled_from(
    [";", "", "; Sun, 1 Nov 2026 (CET)", " for <bob@example.org>;", " (envelope-from x) ;", " for", "\\;", " id 2;"]
)


@st.composite
def usual_lines(draw: st.DrawFn) -> str:
    blank = draw(BLANKS)
    return (
        f"{blank}from {draw(WORDS)}{blank}({draw(WORDS)} [{draw(ADDRESSES)}])\n\t{draw(TLS)}{draw(TLS)}"
        f"by {draw(WORDS)} {draw(BY)}with {draw(PROTOCOLS)} id {draw(WORDS)}{draw(ENDS)}"
    )


def both_agree(value: bytes) -> None:
    assert read_line(value) == read_any(value[:8192].decode("ascii", "replace"))


@settings(max_examples=30 * settings().max_examples)
@given(usual_lines())
def test_the_short_way_says_what_the_long_way_says(text: str) -> None:
    both_agree(text.encode("latin-1"))


def test_both_ways_agree_on_every_form_and_on_every_real_line() -> None:
    forms = tomllib.loads((HERE.parent / "unit" / "received_forms.toml").read_text())
    lines = [line.encode() for line in _strings(forms) if " by " in line]
    for mail in CORPUS.rglob("*.eml"):
        header = mail.read_bytes().partition(b"\n\n")[0].replace(b"\n ", b"\x00 ").replace(b"\n\t", b"\x00\t")
        lines += [
            line[9:].replace(b"\x00", b"\n") for line in header.split(b"\n") if line.lower().startswith(b"received:")
        ]
    assert len(lines) > 300
    for line in lines:
        both_agree(line)


def _strings(value: object) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [text for part in value.values() for text in _strings(part)]
    return [text for part in value for text in _strings(part)] if isinstance(value, list) else []
