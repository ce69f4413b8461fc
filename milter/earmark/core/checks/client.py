"""The client's reverse name: has it one, does it lead back (iprev, RFC 8601 section 2.7.3), does it look generic?"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from earmark.core.checks.check import EnvelopeCheck
from earmark.core.evidence import (
    NO_POINTS,
    UNKNOWN,
    Facts,
    Finding,
    Origin,
    Points,
    Question,
    ReverseName,
    Stage,
    Status,
)
from earmark.core.mail import Envelope
from earmark.core.names import NameRule
from earmark.core.zones import is_public


@dataclass(frozen=True, slots=True)
class ClientKnobs:
    """Settings of [client]."""

    no_name: Points = NO_POINTS
    """The address has no reverse name."""
    unconfirmed: Points = NO_POINTS
    """Its reverse name does not lead back to it."""
    generic: Points = NO_POINTS
    """Its reverse name looks like one of a pool of consumer addresses."""
    generic_names: tuple[NameRule, ...] = ()
    """The rules for `generic`, by name from rules/names.toml."""


def wants(envelope: Envelope, _facts: Facts, knobs: ClientKnobs) -> Iterable[Question]:
    """Ask for the reverse name where any knob would use it."""
    address = envelope.client.address
    if (knobs.no_name or knobs.unconfirmed or knobs.generic) and address and is_public(address):
        yield ReverseName(address)


def examine(envelope: Envelope, facts: Facts, knobs: ClientKnobs) -> Iterator[Finding]:
    """Find a missing, an unconfirmed and a generic name. A look-up that failed finds nothing.

    So does an address that is nobody's: where its name is known, another check of some recipient's has asked for it.
    """
    address = envelope.client.address
    if not is_public(address):
        return
    question = ReverseName(address)
    fact = facts.get(question, UNKNOWN)
    origin = Origin.CONNECTION
    if fact.status is Status.NONE and knobs.no_name:
        yield Finding("NO_PTR", origin, knobs.no_name, f"{address} has no reverse name", "client.no_name", question)
    if fact.status is Status.FAIL and knobs.unconfirmed:
        why = f"the reverse name of {address}, {_first(fact.data)}, does not lead back to it"
        yield Finding("PTR_UNCONFIRMED", origin, knobs.unconfirmed, why, "client.unconfirmed", question)
    if knobs.generic:
        for name in fact.data:
            rule = next((rule for rule in knobs.generic_names if rule.matches(name, address)), None)
            if rule is not None:
                why = f"the reverse name of {address}, {name}, looks generic ({rule.name})"
                yield Finding("PTR_GENERIC", origin, knobs.generic, why, "client.generic", question)
                return


def _first(names: tuple[str, ...]) -> str:
    return names[0] if names else "?"


CLIENT = EnvelopeCheck("client", Stage.CONNECT, Origin.CONNECTION, ClientKnobs, wants, examine)
