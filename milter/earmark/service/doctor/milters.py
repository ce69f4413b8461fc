"""Postfix's lists of milters, such as smtpd_milters, as values (MILTER_README; postconf(5), smtpd_milters)."""

from collections.abc import Iterator, Mapping
from posixpath import join, normpath
from typing import NamedTuple

_BETWEEN = ", \t\r\n"
_UNIX = ("unix", "local")
"""Postfix knows both words, though it tells only of the first."""
_EVERYWHERE = ("0.0.0.0", "::", "*")  # noqa: S104 - compared, not bound
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


class Milter(NamedTuple):
    """One entry: where it leads, and what it sets for itself alone."""

    endpoint: str
    """ "inet:host:port" or "unix:path", if its author knew that."""
    options: Mapping[str, str]
    """Such as {"command_timeout": "15s"}."""


def read_milters(value: str) -> list[Milter]:
    """Read a value of smtpd_milters with its $names expanded: entries, in braces where they have options."""
    return [_milter(entry) for entry in words(value)]


def _milter(entry: str) -> Milter:
    if not entry.startswith("{"):
        return Milter(entry, {})
    endpoint, *options = [*words(_bare(entry))] or [""]
    pairs = [_bare(option).partition("=") for option in options]
    return Milter(_bare(endpoint), {name.strip(): value.strip() for name, _, value in pairs})


def _bare(word: str) -> str:
    return word.removeprefix("{").removesuffix("}").strip()


def words(text: str) -> Iterator[str]:
    """Yield what commas and blanks separate; what stands in braces is one word."""
    depth, begin = 0, 0
    for place, character in enumerate(text):
        depth += (character == "{") - (character == "}")
        if depth <= 0 and character in _BETWEEN:
            if place > begin:
                yield text[begin:place]
            begin = place + 1
    if len(text) > begin:
        yield text[begin:]


def misspelt(endpoint: str) -> tuple[str, str]:
    """Return why Postfix cannot connect to an endpoint spelt so, and what may be meant; both "" where it can."""
    kind, _, place = endpoint.partition(":")
    if kind.lower() in _UNIX and place:
        return "", ""
    if kind.lower() == "inet" and "@" in place:
        port, _, host = place.partition("@")
        return "port@host is how Sendmail spells it", f"inet:{host}:{port}"
    if kind.lower() == "inet" and place.rpartition(":")[2]:
        return "", ""
    if endpoint.startswith("/"):
        return "it does not say what kind of socket that is", f"unix:{endpoint}"
    if place.rpartition(":")[2].isdecimal():
        host = endpoint if place.isdecimal() else place
        return f"Postfix knows inet: and unix:, not {kind}:", f"inet:{host}"
    return "it is neither inet:host:port nor unix:path", ""


def leads_to(endpoint: str, listening: str, queue: str, *, chroot: bool) -> bool:
    """Return whether an endpoint is the socket `listening`, which is spelt as in `[milter] listen`.

    `queue` is Postfix's queue directory: where relative paths begin, and the root of what runs with `chroot`. A host's
    name, and a socket that listens on all addresses, are told by the port alone.
    """
    kind, _, place = endpoint.partition(":")
    if kind.lower() in _UNIX:
        return listening == f"unix:{_path(place, queue, chroot=chroot)}"
    if kind.lower() != "inet" or not listening.startswith("inet:"):
        return False
    host, _, port = place.rpartition(":")
    our_host, _, our_port = listening.removeprefix("inet:").rpartition(":")
    return port == our_port and _same_host(_host(host), _host(our_host))


def _path(place: str, queue: str, *, chroot: bool) -> str:
    return normpath(join(queue, place.lstrip("/") if chroot else place))


def _host(text: str) -> str:
    return text.strip("[]").lower() or "localhost"


def _same_host(named: str, ours: str) -> bool:
    """Compare addresses; a name other than localhost may be any of ours."""
    if ours in _EVERYWHERE or named == ours or "localhost" in (named, ours):
        return ours in _EVERYWHERE or named == ours or (named in _LOOPBACK and ours in _LOOPBACK)
    return not _is_address(named) or not _is_address(ours)


def _is_address(host: str) -> bool:
    return ":" in host or host.replace(".", "").isdecimal()
