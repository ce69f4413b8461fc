"""The fields of an Authenticated Received Chain, and the rules that need no arithmetic (RFC 8617 section 5.2)."""

import re
from collections.abc import Sequence
from typing import NamedTuple

from earmark.clients.dkim.fields import Tags, UnusableError, check_names, describe, read_tags, signed_names
from earmark.core.authentication.signature import Signature
from earmark.core.evidence import Status
from earmark.core.mail import Header

_SETS_AT_MOST = 50
_SEAL, _MESSAGE, _RESULTS = b"arc-seal", b"arc-message-signature", b"arc-authentication-results"
_INSTANCE = re.compile(rb"[1-9]\d?")


class Chain(NamedTuple):
    """A chain as it is written."""

    domains: tuple[str, ...]
    """Who sealed it, first instance first."""
    signed: tuple[tuple[Tags, Signature], ...]
    """All signatures that must hold: the newest message signature and every seal."""


def read_chain(headers: Sequence[Header]) -> Chain | None:
    """Read the chain; None where there is none. Raises UnusableError for one that is broken."""
    found: dict[bytes, list[bytes]] = {_SEAL: [], _MESSAGE: [], _RESULTS: []}
    for name, value in headers:
        fields = found.get(name.lower())
        if fields is not None:
            fields.append(value)
    if not any(found.values()):
        return None
    length = len(found[_SEAL])
    if length > _SETS_AT_MOST or any(len(fields) != length for fields in found.values()):
        raise UnusableError(Status.FAIL, "its sets are not whole, or too many")
    seals = _by_instance(found[_SEAL])
    messages = _by_instance(found[_MESSAGE])
    signed = tuple((tags, _described(tags)) for tags in (messages[-1], *seals))
    return Chain(tuple(seal.domain for _, seal in signed[1:]), signed)


def _by_instance(values: Sequence[bytes]) -> list[Tags]:
    """Return the fields by their instance (i=), which must be each of 1 to their number."""
    by_instance: dict[int, Tags] = {}
    for value in values:
        tags = read_tags(value)
        instance = tags.get(b"i", b"")
        if not _INSTANCE.fullmatch(instance):
            raise UnusableError(Status.FAIL, "an instance is no number from 1 to 50")
        by_instance[int(instance)] = tags
    if by_instance.keys() != set(range(1, len(values) + 1)):
        raise UnusableError(Status.FAIL, "its instances do not follow each other")
    return [by_instance[instance] for instance in sorted(by_instance)]


def _described(tags: Tags) -> Signature:
    signature = describe(tags)
    if signature.algorithm != "rsa-sha256":
        raise UnusableError(Status.FAIL, "it is not signed with rsa-sha256")
    check_names(signature)
    signed_names(tags)
    return signature
