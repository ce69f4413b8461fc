"""Signature fields and key records as they are written, and the rules that need no arithmetic (RFC 6376 section 6.1).

All of it is the sender's: bounded before it is read, read in linear time. dkimpy reads the fields again; a signature is
verified with nothing but the key that stands at the name found here, so that no other reading can pass.
"""

import re
from collections.abc import Mapping
from typing import NamedTuple

from earmark.core.authentication.signature import Signature
from earmark.core.evidence import Fact, Status
from earmark.core.mail import domain_key
from earmark.core.text import decoded, printable

FIELD_AT_MOST = 8 * 1024
"""Bytes of a signature field; the longest keys make some 2,000."""
_KEY_AT_MOST = 4096
"""Characters of a key record; the longest key that is used makes some 1,400."""
_NAMES_AT_MOST = 200
"""Header fields that a signature may name (h=)."""
_LATE = 10 * 3600
"""Seconds after its end (x=) for which a signature is good, for clocks that are wrong; dkimpy allows the same."""
_SPACES_AT_MOST = re.compile(rb"\s{257}")
"""dkimpy's patterns take quadratic time for a run of white space."""
_TAG = re.compile(rb"[A-Za-z]\w*")
_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_NAME_AT_MOST = 253
_SHA256 = {"rsa-sha256": "rsa", "ed25519-sha256": "ed25519"}
"""Algorithms that are accepted, with the kind of key for each (RFC 8301, RFC 8463)."""

Tags = Mapping[bytes, bytes]


class UnusableError(Exception):
    """A field or a key that nothing can be verified with, for the reason that is its text."""

    def __init__(self, status: Status, why: str) -> None:
        super().__init__(why)
        self.status = status


class Key(NamedTuple):
    """A key record (RFC 6376 section 3.6.1)."""

    record: str
    """The record as dkimpy shall see it: what it needs, and nothing that it could read otherwise."""
    kind: str
    """"rsa", "ed25519", or what nobody knows."""
    strict: bool
    """It signs for its very domain alone, not for those below (t=s)."""
    testing: bool
    """Its owner is trying it out, so a failure means nothing (t=y)."""


def read_tags(value: bytes) -> Tags:
    """Read a tag list (RFC 6376 section 3.2). Raises UnusableError."""
    if len(value) > FIELD_AT_MOST:
        raise UnusableError(Status.NEUTRAL, f"the field has more than {FIELD_AT_MOST} bytes")
    if _SPACES_AT_MOST.search(value):
        raise UnusableError(Status.NEUTRAL, "the field has more than 256 spaces in a row")
    tags: dict[bytes, bytes] = {}
    for part in value.strip().removesuffix(b";").split(b";"):
        name, equals, text = part.partition(b"=")
        name = name.strip()
        if not equals or not _TAG.fullmatch(name):
            raise UnusableError(Status.NEUTRAL, "the field is no list of tags")
        if name in tags:
            raise UnusableError(Status.NEUTRAL, f"the tag {decoded(name, 20)}= stands there twice")
        tags[name] = text.strip()
    return tags


def describe(tags: Tags) -> Signature:
    """Return what a signature says of itself, with the status of one not yet verified."""
    domain = domain_key(decoded(tags.get(b"d", b""), 300))
    local, at, agent = decoded(tags.get(b"i", b""), 400).rpartition("@")
    identity = f"{local}@{domain_key(agent)}" if at else f"@{domain}"
    selector = domain_key(decoded(tags.get(b"s", b""), 300))
    return Signature(Status.TEMPERROR, domain, identity, selector, decoded(tags.get(b"a", b""), 40).lower())


def check_field(tags: Tags, signature: Signature, now: float) -> None:
    """Hold a signature against the rules that need no key (RFC 6376 section 6.1.1). Raises UnusableError."""
    missing = next((name for name in (b"v", b"a", b"b", b"bh", b"d", b"h", b"s") if not tags.get(name)), None)
    if missing:
        raise UnusableError(Status.NEUTRAL, f"the tag {missing.decode()}= is missing")
    if signature.algorithm == "rsa-sha1":
        raise UnusableError(Status.PERMERROR, "rsa-sha1 is no longer a signature (RFC 8301)")
    if signature.algorithm not in _SHA256:
        raise UnusableError(Status.NEUTRAL, f"unknown algorithm {printable(signature.algorithm, 40)}")
    check_names(signature)
    names = signed_names(tags)
    if b"from" not in names:
        raise UnusableError(Status.PERMERROR, "From is not signed")
    agent = signature.identity.rpartition("@")[2]
    if agent != signature.domain and not agent.endswith(f".{signature.domain}"):
        raise UnusableError(Status.PERMERROR, "i= is not of the domain d=")
    end = tags.get(b"x", b"")
    if end.isdigit() and len(end) < 13 and int(end) + _LATE < now:
        raise UnusableError(Status.POLICY, "expired")


def check_names(signature: Signature) -> None:
    """See that domain and selector can be looked up. Raises UnusableError."""
    for tag, name in (("d", signature.domain), ("s", signature.selector)):
        if not _NAME.fullmatch(name):
            raise UnusableError(Status.NEUTRAL, f"{tag}= is no domain name")
    if len(key_name(signature)) > _NAME_AT_MOST:
        raise UnusableError(Status.NEUTRAL, "the key's name is too long")


def signed_names(tags: Tags) -> frozenset[bytes]:
    """Return the header fields that are signed, in lower case. Raises UnusableError where they are too many."""
    names = tags.get(b"h", b"").split(b":")
    if len(names) > _NAMES_AT_MOST:
        raise UnusableError(Status.NEUTRAL, f"h= names more than {_NAMES_AT_MOST} fields")
    return frozenset(name.strip().lower() for name in names)


def key_name(signature: Signature) -> str:
    """Return the name at which the key stands in DNS (RFC 6376 section 3.6.2.1)."""
    return f"{signature.selector}._domainkey.{signature.domain}"


def asked_name(tags: Tags) -> str:
    """Return the name that dkimpy asks for, its bytes as Latin-1."""
    return (tags.get(b"s", b"") + b"._domainkey." + tags.get(b"d", b"") + b".").decode("latin-1")


def read_key(name: str, found: Fact) -> Key:
    """Read the answer for a key's name (RFC 6376 section 6.1.2). Raises UnusableError.

    Records without a p= tag are none of DKIM's; of several with one, nobody could say which is meant.
    """
    if found.status is Status.TEMPERROR:
        raise UnusableError(Status.TEMPERROR, f"no answer for the key at {name}: {found.why}")
    records = [tags for tags in map(_key_tags, found.data) if b"p" in tags]
    if not records:
        raise UnusableError(Status.PERMERROR, f"no key at {name}" + (f" ({found.why})" if found.why else ""))
    if len(records) > 1:
        raise UnusableError(Status.PERMERROR, f"{len(records)} keys at {name}")
    return _read_key(records[0])


def check_key(key: Key, signature: Signature) -> None:
    """Hold a signature against its key (RFC 6376 section 6.1.2). Raises UnusableError."""
    if _SHA256[signature.algorithm] != key.kind:
        raise UnusableError(Status.PERMERROR, f"the key is for {printable(key.kind, 20)}")
    if key.strict and signature.identity.rpartition("@")[2] != signature.domain:
        raise UnusableError(Status.PERMERROR, "the key is not for names below its domain (t=s)")


def _key_tags(record: str) -> Tags:
    try:
        return read_tags(record.encode()) if len(record) <= _KEY_AT_MOST else {}
    except UnusableError:
        return {}


def _read_key(tags: Tags) -> Key:
    public = b"".join(tags[b"p"].split())
    if tags.get(b"v", b"DKIM1") != b"DKIM1":
        raise UnusableError(Status.PERMERROR, "the key is of an unknown version")
    if not public:
        raise UnusableError(Status.PERMERROR, "the key has been revoked")
    if not _listed(tags, b"s", "*") & {"*", "email"}:
        raise UnusableError(Status.PERMERROR, "the key is not for mail")
    if "sha256" not in _listed(tags, b"h", "sha256"):
        raise UnusableError(Status.PERMERROR, "the key is not for SHA-256")
    flags = _listed(tags, b"t", "")
    kind = decoded(tags.get(b"k", b"rsa"), 20)
    return Key(f"k={kind}; p={decoded(public, _KEY_AT_MOST)}", kind, "s" in flags, "y" in flags)


def _listed(tags: Tags, name: bytes, default: str) -> frozenset[str]:
    return frozenset(word.strip() for word in decoded(tags.get(name, default.encode())).split(":"))
