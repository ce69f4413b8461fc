"""What was released as a test of the policies (docs/policy-tests.md): written from the record of its verdict."""

from collections.abc import Iterator
from pathlib import Path

from earmark.core.evidence import (
    CheckHost,
    DomainListing,
    Fact,
    HostAddress,
    Listing,
    MailHosts,
    Question,
    ReverseName,
    SpamScan,
    Status,
    VirusScan,
    points_text,
    question_from_parts,
)
from earmark.core.record import Record
from earmark.core.spam_score import read_spam_score
from earmark.core.zones import reversed_name
from earmark.stores.history import FILE_NAME
from earmark.stores.recall import find
from earmark.stores.sqlite import StoreError

_SPF = {Status.FAIL: "-all", Status.SOFTFAIL: "~all", Status.NEUTRAL: "?all"}


def policy_test(state: Path, message_id: str, recipient: str) -> str:
    """Return a [[test]] that such a message to such a recipient is to be accepted.

    A virus that ClamAV finds is never accepted: there it is to be marked at most. Raises StoreError, and LookupError
    where the history does not remember the verdict.
    """
    record = find(state / FILE_NAME, message_id)
    if record is None or record.id != message_id:
        raise LookupError(f"the history does not remember verdict {message_id}: no test can be made of it")
    try:
        facts = [(question_from_parts(parts), fact) for parts, fact in record.facts]
        return "\n".join(["", "[[test]]", *_settings(record, recipient, facts), ""])
    except ValueError as error:
        raise StoreError(f"the record of {message_id} cannot be made a test: {error}") from error


def _settings(record: Record, recipient: str, facts: list[tuple[Question, Fact]]) -> Iterator[str]:
    yield f"about = {_text(f'Released from quarantine: {record.id}')}"
    yield f"client = {_text(record.client)}"
    if record.helo is not None:
        yield f"helo = {_text(record.helo)}"
    yield f"from = {_text(record.sender.text)}"
    yield f"rcpt = {_text(recipient)}"
    if record.user:
        yield f"user = {_text(record.user)}"
    if record.received:
        yield f"received = {_list(value.strip() for value in record.received)}"
    fields = "".join(f"{name}:{value}\n" for name, value in record.fields if value)
    if fields:
        yield f"message = {_text(fields)}"
    yield from _scanned(facts)
    lines = dict.fromkeys(line for question, fact in facts for line in dns_lines(question, fact))
    if lines:
        yield f"dns = {_list(lines)}"


def _scanned(facts: list[tuple[Question, Fact]]) -> Iterator[str]:
    action = "accept"
    for question, fact in facts:
        if isinstance(question, VirusScan) and fact.status is Status.FAIL:
            action = "mark"
            yield f"virus = {_text(fact.data[0])}"
        elif isinstance(question, SpamScan) and question.view == "whole" and fact.status is Status.PASS:
            yield f"spam = {points_text(read_spam_score(fact.data).score)}"
    yield f"action = {_text(action)}"


def dns_lines(question: Question, fact: Fact) -> Iterator[str]:
    """Yield the lines of `dns` that bring about this answer, as far as there are any.

    What a signature said, and so what DMARC made of it, cannot be said so: a test is of everything else.
    """
    match question, fact.status:
        case ReverseName(address), Status.PASS | Status.FAIL:
            yield from (f"{_reverse(address)} PTR {name}" for name in fact.data)
            if fact.status is Status.PASS:
                yield from (_host(name, address) for name in fact.data)
        case ((HostAddress(name) | MailHosts(name)), Status.PASS):
            yield from (_host(name, address) for address in fact.data)
        case MailHosts(name), Status.POLICY:
            yield f"{name} MX 0 ."
        case Listing(zone, address), Status.PASS | Status.FAIL:
            yield from (f"{reversed_name(address)}.{zone} A {code}" for code in fact.data)
        case DomainListing(zone, name), Status.PASS | Status.FAIL:
            yield from (f"{name}.{zone} A {code}" for code in fact.data)
        case CheckHost(address, name), Status.PASS:
            yield f'{name} TXT "v=spf1 {"ip6" if ":" in address else "ip4"}:{address} -all"'
        case CheckHost(_, name), Status.FAIL | Status.SOFTFAIL | Status.NEUTRAL:
            yield f'{name} TXT "v=spf1 {_SPF[fact.status]}"'


def _reverse(address: str) -> str:
    return f"{reversed_name(address)}.{'ip6' if ':' in address else 'in-addr'}.arpa"


def _host(name: str, address: str) -> str:
    return f"{name} {'AAAA' if ':' in address else 'A'} {address}"


def _list(values: Iterator[str] | dict[str, None]) -> str:
    return "[\n" + "".join(f"  {_text(value)},\n" for value in values) + "]"


def _text(value: str) -> str:
    """Return a TOML string of printable ASCII."""
    return f'"{"".join(map(_character, value))}"'


def _character(character: str) -> str:
    if character in '"\\':
        return f"\\{character}"
    return character if " " <= character <= "~" else f"\\U{ord(character):08x}"
