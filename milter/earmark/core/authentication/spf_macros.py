"""SPF macro strings (RFC 7208 section 7): read once with the record, expanded for each check."""

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

_NAME_AT_MOST = 253
_TOKEN = re.compile(
    r"(?P<literal>[\x21-\x24\x26-\x7e]+)"
    r"|%(?P<escape>[%_-])"
    r"|%\{(?P<letter>[slodiphcrtv])(?P<digits>\d*)(?P<reverse>r?)(?P<delimiters>[.\-+,/_=]*)\}",
    re.IGNORECASE | re.ASCII,
)
_ESCAPES = {"%": "%", "_": " ", "-": "%20"}
_TOPLABEL = re.compile(r"\.(?=[^.]*[a-z-])[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.?\Z", re.IGNORECASE | re.ASCII)
_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")


class Macro(NamedTuple):
    """One `%{...}`."""

    letter: str
    """Lower case."""
    keep: int
    """How many parts are kept, from the right; 0 for all."""
    reverse: bool
    delimiters: str
    """The characters at which the value is taken apart; "" for a dot."""
    escape: bool
    """The letter was a capital: the value is to be URL-escaped."""


MacroString = tuple[str | Macro, ...]
"""Literal text and macros, in order; never empty where a record has one."""


def parse_macro_string(text: str) -> MacroString:
    """Read what may stand in an unknown modifier. Raises ValueError with what is wrong."""
    return tuple(part for part, _ in _parts(text))


def parse_domain_spec(text: str) -> MacroString:
    """Read a domain-spec (RFC 7208 section 7.1): it ends in a macro or in a top label. Raises ValueError.

    The macros c, r and t are for explanations only.
    """
    parts = list(_parts(text))
    if not parts:
        raise ValueError("a domain is missing")
    if any(isinstance(part, Macro) and part.letter in "crt" for part, _ in parts):
        raise ValueError("the macros c, r and t stand in explanations only")
    last, is_macro = parts[-1]
    if not is_macro and not (isinstance(last, str) and _TOPLABEL.search(last)):
        raise ValueError("a domain must end in a macro or in a label that is not a number, behind a dot")
    return tuple(part for part, _ in parts)


def _parts(text: str) -> Iterator[tuple[str | Macro, bool]]:
    """Yield the parts, and for each whether it is a macro-expand of the grammar."""
    at = 0
    while at < len(text):
        token = _TOKEN.match(text, at)
        if token is None:
            raise ValueError("a character or macro that may not stand there")
        at = token.end()
        if token["literal"]:
            yield token["literal"], False
        elif token["escape"]:
            yield _ESCAPES[token["escape"]], True
        else:
            yield _macro(token), True


def _macro(token: re.Match[str]) -> Macro:
    digits = token["digits"].lstrip("0")
    if token["digits"] and not digits:
        raise ValueError("a macro that keeps no part")
    keep = int(digits or 0) if len(digits) < 4 else 0  # no value has more parts
    letter = token["letter"]
    return Macro(letter.lower(), keep, bool(token["reverse"]), token["delimiters"], letter.isupper())


def letters(parts: MacroString) -> frozenset[str]:
    """Return the macro letters that are used, lower case."""
    return frozenset(part.letter for part in parts if isinstance(part, Macro))


def expand_name(parts: MacroString, values: Mapping[str, str]) -> str:
    """Return the domain name, without a final dot, of at most 253 characters: labels go from the left (section 7.3).

    `values` has each letter that is used. It is put together from the right and no further than can be kept, so that
    many macros with long values cost no more than few. What it returns need not be a name that can be asked.
    """
    made: list[str] = []
    size = 0
    for part in reversed(parts):
        text = part if isinstance(part, str) else _expanded(part, values[part.letter])
        made.append(text)
        size += len(text)
        if size > _NAME_AT_MOST + 1:
            break
    name = "".join(reversed(made)).removesuffix(".")
    return name if len(name) <= _NAME_AT_MOST else name[-_NAME_AT_MOST - 1 :].partition(".")[2]


def _expanded(macro: Macro, value: str) -> str:
    delimiters = macro.delimiters or "."
    if macro.keep or macro.reverse or delimiters != ".":
        pieces = value.split(delimiters) if len(delimiters) == 1 else re.split(f"[{re.escape(delimiters)}]", value)
        if macro.reverse:
            pieces.reverse()
        value = ".".join(pieces[-macro.keep :])
    return _url_escaped(value) if macro.escape else value


def _url_escaped(value: str) -> str:
    octets = value.encode("utf-8", "backslashreplace")
    return "".join(chr(octet) if octet in _UNRESERVED else f"%{octet:02X}" for octet in octets)
