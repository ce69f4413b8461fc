"""Postfix's policy delegation protocol (SMTPD_POLICY_README), and the framed answers that Exim's ${readsocket} needs.

A request is lines `name=value`, each ended by LF, and an empty line. Values are bytes as they came: those that Postfix
encodes (`ccert_subject`, `ccert_issuer`, as xtext) are left so, and `%` and `=` in a value are just that.
"""

import re
from collections.abc import Iterable

from earmark.wire import RemoteError

REQUEST_AT_MOST = 64 * 1024
"""Bytes of a request. Postfix sends about 1 KiB; a recipient that Exim has taken before adds his address."""
ATTRIBUTES_AT_MOST = 200
"""Attributes of a request. Postfix 3.7 sends 32."""

DUNNO = b"action=DUNNO\n\n"
"""Let the restrictions that follow decide: what Postfix is told unless it is to refuse."""

Attributes = dict[bytes, bytes]

_END = b"\n\n"
_FORBIDDEN = re.compile(rb"[\0\r]")
_UNSAFE = re.compile(r"[^ -~]")
_MAILBOX_PARTS = re.compile(rb"\\.|[,\"]|[^\\,\"]+|\\", re.DOTALL)


class Splitter:
    """Cuts a stream of bytes into requests. Holds at most one of them and what came with its last read."""

    __slots__ = ("_rest",)

    def __init__(self) -> None:
        self._rest = bytearray()

    @property
    def in_request(self) -> bool:
        """True while a request has begun and not ended."""
        return bool(self._rest)

    def feed(self, data: bytes) -> list[Attributes]:
        """Return the requests that `data` completes.

        Raises RemoteError for one that is too large or malformed; those before it in `data` are lost with it.
        """
        if self._rest:
            searched = max(len(self._rest) - 1, 0)
            self._rest += data
            if self._rest.find(_END, searched) < 0:
                self._check_size()
                return []
            data = bytes(self._rest)
            self._rest.clear()
        *blocks, begun = data.split(_END)
        self._rest += begun
        self._check_size()
        return [parse(block) for block in blocks]

    def _check_size(self) -> None:
        if len(self._rest) >= REQUEST_AT_MOST + len(_END):  # but for the last byte, it may be the end of one
            raise RemoteError(f"a request of more than {REQUEST_AT_MOST} bytes")


def parse(block: bytes) -> Attributes:
    """Read the lines of one request, without the empty line that ends it. Raises RemoteError.

    An attribute that comes twice has no meaning that all would agree on, and so is refused.
    """
    if len(block) > REQUEST_AT_MOST:
        raise RemoteError(f"a request of more than {REQUEST_AT_MOST} bytes")
    if _FORBIDDEN.search(block):
        raise RemoteError("NUL or CR in a request")
    lines = block.split(b"\n")
    if len(lines) > ATTRIBUTES_AT_MOST:
        raise RemoteError(f"more than {ATTRIBUTES_AT_MOST} attributes")
    try:
        attributes = dict([line.split(b"=", 1) for line in lines])
    except ValueError:
        raise RemoteError("a line without =") from None
    if len(attributes) != len(lines):
        raise RemoteError("an attribute that comes twice")
    return attributes


def split_mailboxes(value: bytes) -> list[bytes]:
    """Return the addresses of a list with commas between them; a comma in a quoted local part separates nothing."""
    mailboxes: list[list[bytes]] = [[]]
    quoted = False
    for part in _MAILBOX_PARTS.findall(value):
        if part == b"," and not quoted:
            mailboxes.append([])
            continue
        quoted ^= part == b'"'
        mailboxes[-1].append(part)
    return [mailbox for parts in mailboxes if (mailbox := b"".join(parts).strip())]


def encode_refusal(reply: str) -> bytes:
    """Return the answer that has Postfix refuse or defer with `reply`: code, enhanced code and text."""
    return b"action=%b\n\n" % _line(reply)


def encode_report(fields: Iterable[tuple[str, str]]) -> bytes:
    """Return an answer in the form for Exim: one `key=value` a line, `v=1` first and `end=1` last.

    Who has both has it whole: an answer that is empty or cut short cannot be taken for one.
    """
    return b"".join(
        b"%b=%b\n" % (key.encode("ascii"), _line(value)) for key, value in (("v", "1"), *fields, ("end", "1"))
    )


def _line(text: str) -> bytes:
    return _UNSAFE.sub("?", text).encode("ascii")


def encode_request(attributes: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Return a request as an MTA sends it."""
    return b"".join(b"%b=%b\n" % attribute for attribute in attributes) + b"\n"


def decode_action(reply: bytes) -> str:
    """Return what Postfix is told to do by one whole reply. Raises RemoteError for anything else."""
    action = re.fullmatch(rb"action=([ -~]+)\n\n", reply)
    if action is None:
        raise RemoteError(f"no action: {reply[:80]!r}")
    return action[1].decode("ascii")
