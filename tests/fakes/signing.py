"""Messages that are signed and sealed, as DKIM's client and its verifier get them. `unit/dkim_data` has the keys."""

import asyncio
from functools import cache
from pathlib import Path

import dkim

from earmark.clients.dkim import Dkim
from earmark.clients.offline import ZoneFile
from earmark.content import Content
from earmark.core.evidence import ArcChain, Fact, Question, Signatures
from earmark.core.mail import Header
from earmark.wire.message import split_header

DATA = Path(__file__).parent.with_name("unit") / "dkim_data"
MESSAGE = (
    b"From: Ann <ann@example.org>\r\n"
    b"To: bob@example.net\r\n"
    b"Subject: a  letter\r\n"
    b"Date: Fri, 11 Jul 2025 21:00:37 -0700\r\n"
    b"Message-ID: <1@example.org>\r\n"
    b"Authentication-Results: lists.example; arc=none; spf=pass smtp.mailfrom=example.org\r\n"
    b"\r\n"
    b"Hello  Bob,\r\n"
    b"\r\n"
    b"how are you? \r\n"
    b"\r\n"
)
_PRIVATE = {"s1024": "rsa-1024", "ed": "ed25519", "test": "rsa-1024"}


def zone() -> ZoneFile:
    return ZoneFile.parse((DATA / "keys.zone").read_text(), "keys.zone")


def public_key(selector: str) -> dict[bytes, bytes]:
    """The key record of a selector at example.org, by the name that dkimpy asks for."""
    name = f"{selector}._domainkey.example.org"
    facts: list[Fact] = []
    zone().lookup(name, "TXT", facts.append)
    return {f"{name}.".encode(): facts[0].data[0].encode()}


def stored(name: str) -> bytes:
    """A message of `unit/dkim_data`."""
    return (DATA / f"{name}.eml").read_bytes().replace(b"\n", b"\r\n")


@cache
def _private(selector: str) -> bytes:
    return (DATA / f"{_PRIVATE.get(selector, 'rsa-2048')}.key").read_bytes()


def signed(
    message: bytes = MESSAGE,
    selector: str = "s2048",
    *,
    domain: str = "example.org",
    algorithm: str = "rsa-sha256",
    form: str = "relaxed/relaxed",
    identity: str = "",
    length: bool = False,
) -> bytes:
    """The message with a signature in front. All selectors that are no key's name of their own have rsa-2048.key."""
    header, body = form.encode().split(b"/")
    signature: bytes = dkim.sign(
        message,
        selector.encode(),
        domain.encode(),
        _private(selector),
        identity=identity.encode() or None,
        canonicalize=(header, body),
        signature_algorithm=algorithm.encode(),
        length=length,
    )
    return signature + message


def sealed(message: bytes = MESSAGE, selector: str = "s2048", *, domain: str = "example.org") -> bytes:
    """The message with the next ARC set in front."""
    fields = dkim.arc_sign(message, selector.encode(), domain.encode(), _private(selector), b"lists.example")
    return b"".join(fields) + message


def sealed_again(message: bytes, *, domain: str, arc: str = "pass") -> bytes:
    """A sealed message with another set in front, by a sealer that found the chain to be so."""
    return sealed(message.replace(b"lists.example; arc=none;", b"lists.example; arc=%b;" % arc.encode()), domain=domain)


def content_of(message: bytes, *, piece: int = 60_000) -> Content:
    """A message as the milter hands it over."""
    fields, offset = split_header(message)
    content = Content([Header(name, value) for name, value in fields])
    for at in range(offset, len(message), piece):
        content.add(message[at : at + piece])
    return content


async def answer(dkim_client: Dkim, question: Signatures | ArcChain) -> Fact:
    future: asyncio.Future[Fact] = asyncio.get_running_loop().create_future()

    def deliver(_: Question, fact: Fact) -> None:
        future.set_result(fact)

    dkim_client.ask(question, deliver)
    return await future


async def verdict_on(dkim_client: Dkim, message: bytes, content_id: str = "one") -> Fact:
    """What the signatures of a message come to."""
    content = content_of(message)
    dkim_client.hold(content_id, content)
    try:
        return await answer(dkim_client, Signatures(content_id))
    finally:
        dkim_client.drop(content_id)
        content.close()


async def chain_of(dkim_client: Dkim, message: bytes, content_id: str = "one") -> Fact:
    """What the ARC chain of a message comes to."""
    content = content_of(message)
    dkim_client.hold(content_id, content)
    try:
        return await answer(dkim_client, ArcChain(content_id))
    finally:
        dkim_client.drop(content_id)
        content.close()
