"""Readers of single values: each takes what TOML holds and returns what it means, or raises ValueError and says why."""

import re
from collections.abc import Callable, Sequence
from datetime import date
from decimal import Decimal
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import TypeVar

from earmark.config.problems import did_you_mean, quoted
from earmark.core.evidence import Points
from earmark.core.mail import domain_key, parse_address_text

_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?", re.ASCII)
_SYMBOL = re.compile(r"[A-Z][A-Z0-9_]{1,63}", re.ASCII)
_LONGEST_SOCKET_PATH = 107  # sun_path of Linux, less its final zero

Word = TypeVar("Word", bound=StrEnum)


def points(allowed: range) -> Callable[[object], Points]:
    """Return a reader of scores: points with at most two decimals; `allowed` is in hundredths."""

    def read(value: object) -> Points:
        number = _number(value)
        hundredths = int(number * 100)
        if number * 100 != hundredths:
            raise ValueError(f"{quoted(value)} has more than two decimals")
        if hundredths not in allowed:
            raise ValueError(f"{_between(value, allowed.start / 100, (allowed.stop - 1) / 100, '.2f')} points")
        return Points(hundredths)

    return read


def whole(allowed: range) -> Callable[[object], int]:
    """Return a reader of whole numbers in a range."""

    def read(value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise _must_be("a whole number", value)
        if value not in allowed:
            raise ValueError(_between(value, allowed.start, allowed.stop - 1, "d"))
        return value

    return read


def seconds(least: float, most: float) -> Callable[[object], float]:
    """Return a reader of durations in seconds."""

    def read(value: object) -> float:
        number = float(_number(value))
        if not least <= number <= most:
            raise ValueError(f"{_between(value, least, most, 'g')} seconds")
        return number

    return read


def _number(value: object) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise _must_be("a number", value)
    number = Decimal(value)
    if not number.is_finite():
        raise _must_be("a finite number", value)
    if abs(number) > 1_000_000_000:
        raise ValueError(f"{quoted(value)} is far too large")
    return number


def _between(value: object, least: float, most: float, form: str) -> str:
    return f"{quoted(value)} is not between {least:{form}} and {most:{form}}"


def one_of(words: type[Word]) -> Callable[[object], Word]:
    """Return a reader of one word out of a few."""

    def read(value: object) -> Word:
        try:
            return words(_text(value))
        except ValueError:
            raise ValueError(none_of([word.value for word in words], value)) from None

    return read


def none_of(known: Sequence[str], value: object) -> str:
    """Return the reason why a value that is none of these words cannot stand."""
    hint = did_you_mean(value, known) if isinstance(value, str) else ""
    return f"must be one of {', '.join(known)}, not {quoted(value)}{hint}"


def _must_be(what: str, value: object) -> ValueError:
    return ValueError(f"must be {what}, not {quoted(value)}")


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise _must_be("a string", value)
    return value


def ascii_line(limit: int) -> Callable[[object], str]:
    """Return a reader of one line of printable ASCII, as it may stand in a header or a reply."""

    def read(value: object) -> str:
        text = _text(value)
        if not text.isascii() or not text.isprintable():
            raise ValueError("must be printable ASCII on one line")
        if len(text) > limit:
            raise ValueError(f"longer than {limit} characters")
        return text

    return read


def url(value: object) -> str:
    """Read a web address, or "" for none."""
    text = ascii_line(120)(value)
    if text and not re.fullmatch(r"https?://[^\s<>\"]+", text):
        raise ValueError(f"must begin with https:// or http:// and hold no blanks, not {quoted(text)}")
    return text


def host_name(value: object) -> str:
    """Read a domain name; returns it as `domain_key` does."""
    text = _text(value)
    key = domain_key(text)
    if not key or len(key) > 253 or not all(_LABEL.fullmatch(label) for label in key.split(".")):
        hint = f'; did you mean "{text.rpartition("@")[2]}"?' if "@" in text else ""
        raise ValueError(f"{quoted(text)} is not a domain name{hint}")
    if not text.isascii() and key.encode().decode("idna") != text.strip().rstrip(".").lower():
        raise ValueError(f"{quoted(text)} can be read as two different names; write it as A-labels (xn--...)")
    return key


def domain_pattern(value: object) -> str:
    """Read a domain, or "*." and a domain for all that is below it."""
    text = _text(value)
    if text == "*":
        raise ValueError('"*" is what policies/default.toml is for')
    below = text.startswith("*.")
    rest = text.removeprefix("*.")
    if "*" in rest:
        raise ValueError(f'{quoted(text)}: a pattern is "*." and a domain, nothing else')
    return ("*." if below else "") + host_name(rest)


def address(value: object) -> str:
    """Read an IP address; returns its canonical text."""
    text = _text(value)
    canonical = parse_address_text(text)
    if not canonical:
        raise ValueError(f"{quoted(text)} is not an IP address")
    return canonical


def network(value: object) -> IPv4Network | IPv6Network:
    """Read a network such as 192.0.2.0/24, or a single address."""
    text = _text(value)
    try:
        found = ip_network(text)
    except ValueError:
        raise ValueError(f"{quoted(text)} is not a network{_masked(text)}") from None
    if found.prefixlen == 0:
        raise ValueError(f"{quoted(text)} would be everybody")
    if isinstance(found, IPv6Network) and found.network_address.ipv4_mapped:
        raise ValueError(f"{quoted(text)} is IPv4 in IPv6 form; write it as IPv4")
    return found


def _masked(text: str) -> str:
    try:
        return f'; did you mean "{ip_network(text, strict=False)}"?'
    except ValueError:
        return ""


def listening_socket(value: object) -> str:
    """Read "unix:/path" or "inet:host:port", as Postfix spells them."""
    text = _text(value)
    kind, _, rest = text.partition(":")
    if kind == "unix" and rest.startswith("/"):
        if len(rest.encode()) > _LONGEST_SOCKET_PATH:
            raise ValueError(f"the path of a socket has at most {_LONGEST_SOCKET_PATH} bytes")
        return text
    host, _, port = rest.rpartition(":")
    if kind != "inet" or not _is_host(host) or not _is_port(port):
        raise ValueError(f'must be "unix:/path" or "inet:host:port", not {quoted(text)}{_meant(text)}')
    return text


def _meant(text: str) -> str:
    """Return the hint for a path, or a server, without the word before it."""
    if text.startswith("/"):
        return f"; did you mean {quoted(f'unix:{text}')}?"
    return f"; did you mean {quoted(f'inet:{text}')}?" if ":" in text and _is_server(text) else ""


def endpoint(value: object) -> str:
    """Read where a server listens that we ask, as `listening_socket` does; no port is left for the kernel to choose."""
    text = listening_socket(value)
    if text.startswith("inet:") and not int(text.rpartition(":")[2]):
        raise ValueError(f"nobody listens on port 0: {quoted(text)}")
    return text


def inet_endpoint(value: object) -> str:
    """Read "inet:host:port", where a server listens that is asked over TCP alone."""
    text = _text(value)
    if not text.startswith("inet:"):
        raise ValueError(f'must be "inet:host:port", not {quoted(text)}')
    return endpoint(text)


def resolver(value: object) -> str:
    """Read "address", "address:port" or "[address]:port"."""
    text = _text(value)
    if parse_address_text(text):
        return text
    host, _, port = text.rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not parse_address_text(bare) or not _is_port(port) or (":" in bare and bare == host):
        raise ValueError(f'must be an address, "192.0.2.1:53" or "[2001:db8::1]:53", not {quoted(text)}')
    return text


def _is_host(host: str) -> bool:
    if host.startswith("[") and host.endswith("]"):
        return ":" in parse_address_text(host[1:-1])
    return all(_LABEL.fullmatch(label) for label in host.lower().split("."))


def _is_port(port: str) -> bool:
    return port.isascii() and port.isdigit() and len(port) <= 5 and int(port) < 1 << 16


def directory(value: object) -> Path:
    """Read an absolute path."""
    text = _text(value)
    if not text.startswith("/") or not text.isprintable():
        raise ValueError(f"must be an absolute path, not {quoted(text)}")
    return Path(text)


def file_path(value: object) -> str:
    """Read the absolute path of a file, or "" for none."""
    return str(directory(value)) if value else _text(value)


def directory_if_any(value: object) -> str:
    """Read an absolute path, or "" for none."""
    return str(directory(value)) if value != "" else ""


def permissions(value: object) -> int:
    """Read the permissions of a file, written in octal."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 0o777:
        raise _must_be("permissions in octal such as 0o660", value)
    return value


def symbol(value: object) -> str:
    """Read the name of a finding or a rule: UPPER_SNAKE."""
    text = _text(value)
    if not _SYMBOL.fullmatch(text):
        raise ValueError(f"must be upper case letters, digits and underscores, not {quoted(text)}")
    return text


def number_of_ipv4(value: object) -> int:
    """Read an IPv4 address as the number that it is."""
    text = _text(value)
    try:
        return int(IPv4Address(text))
    except ValueError:
        raise ValueError(f"{quoted(text)} is not an IPv4 address") from None


def day(value: object) -> str:
    """Read a date in quotes, "2027-06-01"; "" for none."""
    text = _text(value)
    try:
        return date.fromisoformat(text).isoformat() if text else ""
    except ValueError:
        raise ValueError(f'must be a date such as "2027-06-01", not {quoted(text)}') from None


def rate(value: object) -> str:
    """Read a limit "messages/seconds", such as "30/60", or "" for none."""
    text = _text(value)
    if text and not re.fullmatch(r"[1-9][0-9]{0,5}/[1-9][0-9]{0,5}", text, re.ASCII):
        raise ValueError(f'must be "messages/seconds" such as "30/60", or "" for no limit, not {quoted(text)}')
    return text


def spam_user(value: object) -> str:
    """Read a name that spamd may be told as its user, or "" for none. Any other it would not be told at all."""
    text = _text(value)
    if text and not re.fullmatch(r"(?!\.)[-A-Za-z0-9_.@+]{1,255}", text, re.ASCII):
        raise ValueError(f'must be letters, digits and -_.@+, with no "." first, not {quoted(text)}')
    return text


def store_url(value: object) -> str:
    """Read where a Redis or Valkey is, or "" for none: by TCP, by a unix socket, or found by its sentinels."""
    text = _text(value)
    if "@" in text:
        raise ValueError("holds a user or a password; a password stands in a file of its own: password_file")
    scheme, _, rest = text.partition("://")
    hosts, _, path = rest.partition("/")
    servers = hosts.split(",")
    right = {
        "redis": len(servers) == 1 and re.fullmatch(r"[0-9]{0,3}", path, re.ASCII),
        "redis+sentinel": re.fullmatch(r"[A-Za-z0-9_.-]{1,64}", path, re.ASCII),
        "unix": not hosts and path.isascii() and path.isprintable() and path.strip("/"),
    }
    if text and not (right.get(scheme) and (scheme == "unix" or all(map(_is_server, servers)))):
        forms = '"redis://host:port/database", "unix:///path" or "redis+sentinel://host:port,host:port/service"'
        raise ValueError(f'must be {forms}, or "" for a file of our own, not {quoted(text)}')
    return text


def _is_server(text: str) -> bool:
    host, _, port = text.rpartition(":")
    return _is_host(host) and _is_port(port)


def name_word(value: object) -> str:
    """Read a word of a name rule: a run of lower-case letters or of digits, since names are cut into such runs."""
    text = _text(value)
    if not re.fullmatch(r"[a-z]+|[0-9]+", text, re.ASCII):
        raise ValueError(f"{quoted(text)} never matches: a word is a run of lower-case letters, or of digits")
    return text
