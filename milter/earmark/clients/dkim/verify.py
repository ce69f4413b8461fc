"""Verification itself: the one file that imports dkimpy (RFC 6376, RFC 8463, RFC 8617). It runs in the child alone.

dkimpy gets its work prepared, for what was found by running it: its body canonicalisation takes quadratic time for a
run of spaces, and is done again for each signature; its message parser takes quadratic time for a field of many lines;
a key that it cannot read is the same False to it as a wrong signature; it computes with a key of any length; and of an
ARC chain it verifies every message signature, though the chain needs that of the newest set alone.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

import dkim

from earmark.clients.dkim.frames import Answer
from earmark.core.evidence import Status
from earmark.core.mail import domain_key
from earmark.core.text import decoded, printable

_BITS_AT_LEAST, _BITS_AT_MOST = 1024, 8192
"""RSA keys that are computed with: shorter ones prove nothing (RFC 8301 section 3.2), longer ones cost too much."""
_EXPONENT_AT_MOST = 64
"""Bits."""
_NO_MEMORY = Answer(Status.TEMPERROR, why="not enough memory to verify it")
_SILENT = logging.getLogger("dkimpy")
_SILENT.disabled = True

Fields = Sequence[tuple[bytes, bytes]]


class Body:
    """The body of a message in both canonical forms (RFC 6376 section 3.4), each made once and in linear time."""

    def __init__(self, raw: bytes) -> None:
        has_bare = raw.count(b"\n") > raw.count(b"\r\n")
        self._raw = raw.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n") if has_bare else raw

    @cached_property
    def simple(self) -> bytes:
        """The body without the empty lines at its end; never without a line end."""
        return _without_last_lines(self._raw) + b"\r\n"

    @cached_property
    def relaxed(self) -> bytes:
        """The same with runs of spaces as one space, and none at the end of a line; empty where nothing is left."""
        body = self._raw.replace(b"\t", b" ")
        while b"  " in body:  # each round halves the longest run
            body = body.replace(b"  ", b" ")
        body = _without_last_lines(body.replace(b" \r\n", b"\r\n"))
        return body and body + b"\r\n"

    def prepared(self, tags: dict[bytes, bytes]) -> bytes:
        """Return the form that a signature's c= asks for, and have c= say that there is little to be done about it."""
        header, _, form = tags.get(b"c", b"simple").partition(b"/")
        if form != b"relaxed":
            return self.simple
        if self.relaxed:
            tags[b"c"] = header + b"/simple"
        return self.relaxed


def _without_last_lines(body: bytes) -> bytes:
    end = len(body)
    for count in (1 << 16, 1 << 8, 1):
        lines = b"\r\n" * count
        while body.endswith(lines, 0, end):
            end -= len(lines)
    return body[:end]


class Message:
    """A message to be verified. Keys are records by the name that dkimpy asks for."""

    def __init__(self, headers: Fields, body: Body, keys: Mapping[bytes, bytes]) -> None:
        self._headers = [[name, b"%b\r\n" % value] for name, value in headers]
        self._body = body
        self._keys = keys

    def signature(self, position: int) -> Answer:
        """Verify the DKIM-Signature field at this place among its like. Never raises."""
        try:
            return self._signature(position)
        except MemoryError:
            return _NO_MEMORY
        except dkim.DKIMException as error:
            return Answer(Status.NEUTRAL, why=printable(f"cannot be read: {error}", 200))
        except Exception as error:  # noqa: BLE001 - what odd input does to dkimpy is no concern of the other signatures
            return Answer(Status.NEUTRAL, why=f"cannot be read ({type(error).__name__})")

    def _signature(self, position: int) -> Answer:
        verifier = dkim.DKIM(logger=_SILENT)
        verifier.headers = self._headers
        tags, names, fields = verifier.verify_headerprep(position)
        key = judge_key(self._keys[tags[b"s"] + b"._domainkey." + tags[b"d"] + b"."])
        if key.status is not Status.PASS:
            return key
        verifier.body = self._body.prepared(tags)
        if int(tags.get(b"l", b"0")) > len(verifier.body):
            return key._replace(status=Status.PERMERROR, why="l= is larger than the body")
        try:
            holds = verifier.verify_sig(tags, names, fields[position], self._find)
        except dkim.ValidationError as error:
            if not str(error).startswith("body hash mismatch"):
                raise
            return key._replace(status=Status.FAIL, why="the body does not match: it was changed")
        if not holds:
            return key._replace(status=Status.FAIL, why="the signature does not match: a signed field was changed")
        return key._replace(why=_unsigned(tags.get(b"l"), len(verifier.body)))

    def chain(self) -> Answer:
        """Verify the ARC chain. Never raises; what cannot be verified fails, as RFC 8617 section 5.2 has it."""
        for record in self._keys.values():
            key = judge_key(record)
            if key.status is not Status.PASS:
                return key._replace(status=Status.FAIL)
        try:
            verifier = _Chain(logger=_SILENT)
            verifier.headers, verifier.prepared = self._headers, self._body.prepared
            result, sets, why = verifier.verify(dnsfunc=self._find)
        except MemoryError:
            return _NO_MEMORY
        except Exception as error:  # noqa: BLE001 - as above
            return Answer(Status.FAIL, why=f"cannot be read ({type(error).__name__})")
        if result != dkim.CV_Pass:
            return Answer(Status.NONE if result == dkim.CV_None else Status.FAIL, why=printable(why, 200))
        domains = [domain_key(decoded(found["as-domain"], 300)) for found in sets]
        return Answer(Status.PASS, domains=tuple(reversed(domains)))

    def _find(self, name: bytes, timeout: float = 0) -> bytes | None:  # noqa: ARG002 - as dkimpy calls it
        return self._keys.get(name)


class _Chain(dkim.ARC):  # type: ignore[misc] # dkimpy has no types
    """A chain of which only the newest message signature is verified, and every seal."""

    prepared: Callable[[dict[bytes, bytes]], bytes]
    _is_first = True

    def verify_sig(self, tags: dict[bytes, bytes], names: list[bytes], field: Any, find: Any) -> bool:  # noqa: ANN401
        """Verify a message signature (it has bh=) or a seal; dkimpy begins with the newest message signature."""
        if b"bh" in tags:
            if not self._is_first:
                return False
            self.body = self.prepared(tags)
        self._is_first = False
        return bool(super().verify_sig(tags, names, field, find))


def judge_key(record: bytes) -> Answer:
    """Say whether a key can be computed with: PASS with its length, or why not."""
    try:
        public, bits, kind, _ = dkim.evaluate_pk("", record)
    except Exception:  # noqa: BLE001 - a key is as hostile as the rest
        return Answer(Status.PERMERROR, why="the key cannot be read")
    if kind == b"ed25519":
        return Answer(Status.PASS, bits)
    if bits < _BITS_AT_LEAST:
        return Answer(Status.POLICY, bits, f"a key of {bits} bits is too short")
    if bits > _BITS_AT_MOST or public["publicExponent"].bit_length() > _EXPONENT_AT_MOST:
        return Answer(Status.POLICY, bits, f"a key of {bits} bits is too long, or its exponent is")
    return Answer(Status.PASS, bits)


def _unsigned(length: bytes | None, size: int) -> str:
    return (
        f"only the first {int(length)} of {size} bytes of the body are signed" if length and int(length) < size else ""
    )
