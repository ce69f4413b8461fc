"""Fuzzing what reads SPF records: real ones, damaged, which end in a record or a ValueError."""

import os
import random
import time

from earmark.core.authentication.spf_macros import expand_name
from earmark.core.authentication.spf_record import RECORD_AT_MOST, read_record, select_record

_SEEDS = [
    "v=spf1 include:_spf.example.com include:spf.example.net ip4:192.0.2.0/24 ip6:2001:db8::/32 a mx ~all",
    "v=spf1 exists:%{ir}.%{l1r+-}._spf.%{d} redirect=_spf.%{d2}",
    "v=spf1 a:mail.example.org/24//64 mx:%{o} ptr:%{p2} ?exists:%{S}.%%%_%-.%{h} exp=why.%{v}.example -all",
    "v=spf1 " + "ip4:198.51.100.7 " * 50 + "moo.cow-far_out=man:dog/cat",
]
_TOKENS = [
    "%{",
    "}",
    "%",
    "//",
    "/",
    ":",
    "=",
    ".",
    " ",
    "\x00",
    "\xff",
    "%{s}",
    "all",
    "redirect=",
    "9" * 50,
    "a.",
    "-",
]
_VALUES = dict.fromkeys("slodiphv", "a-b+c.d@" * 40)


def _damaged(text: str, chance: random.Random) -> str:
    for _ in range(chance.randint(1, 8)):
        at = chance.randrange(len(text) + 1)
        match chance.randrange(4):
            case 0:
                text = text[:at] + chance.choice(_TOKENS) * chance.choice((1, 1, 1, 1000)) + text[at:]
            case 1:
                text = text[:at] + text[at + chance.randint(1, 20) :]
            case 2:
                text = text[:at] + text[: chance.randint(0, 200)] + text[at:]
            case _:
                text = text[:at] + chr(chance.randrange(256)) + text[at:]
    return text


def test_damaged_records_are_read_or_refused() -> None:
    seconds = float(os.environ.get("EARMARK_FUZZ_SECONDS", "1"))
    chance = random.Random(1)  # noqa: S311 - to be repeatable
    end = time.monotonic() + seconds
    read = 0
    while time.monotonic() < end:
        text = select_record([_damaged(chance.choice(_SEEDS), chance)])
        if text is None:
            continue
        try:
            record = read_record(text)
        except ValueError as error:
            assert str(error).isprintable(), text  # noqa: PT017 - either is right
            continue
        read += 1
        assert len(text) <= RECORD_AT_MOST
        for directive in record.directives:
            assert directive.text in text
            assert len(expand_name(directive.domain, _VALUES)) <= 253, text
    assert read
