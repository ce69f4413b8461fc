"""What a milter session agrees on with the MTA, and what follows from it: which macros come, how edits are sent."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from earmark.core.evidence import Fact, Status
from earmark.core.text import decoded
from earmark.core.verdict import ChangeHeader, Edit, InsertHeader, RemoveHeader
from earmark.wire import RemoteError
from earmark.wire.milter import (
    OLDEST_VERSION,
    VERSION,
    Actions,
    Command,
    MacroStage,
    Negotiation,
    Steps,
    change_header,
    insert_header,
    remove_header,
)

EDITING = Actions.ADDHDRS | Actions.CHGHDRS
"""What we need to be allowed; without it refusals work and marks do not."""

# CONNECT and MAIL keep their reply: Postfix holds back what needs none until something does, and with it our look-ups.
_NO_REPLY = {
    Command.HELO: Steps.NR_HELO,
    Command.DATA: Steps.NR_DATA,
    Command.HEADER: Steps.NR_HEADER,
    Command.EOH: Steps.NR_EOH,
    Command.BODY: Steps.NR_BODY,
}
_WANTED = Steps.NO_UNKNOWN | Steps.HDR_LEADSPC | sum(_NO_REPLY.values(), Steps(0))

_NOTHING = b"{none}"
"""A macro that no MTA has: who asks for nothing is sent the MTA's default list, before every single header field."""
_MACROS: dict[int, bytes] = {
    MacroStage.CONNECT: b"{client_name} {client_ptr} {client_resolve}",
    MacroStage.HELO: _NOTHING,
    MacroStage.MAIL: b"i {auth_type} {auth_authen}",
    MacroStage.RCPT: _NOTHING,
    MacroStage.DATA: b"i",
    MacroStage.EOM: b"i",
    MacroStage.EOH: _NOTHING,
}
MACROS_USED = frozenset({Command.CONNECT, Command.MAIL, Command.DATA, Command.EOM})
"""The commands whose macros we look at."""


class Terms(NamedTuple):
    """What was agreed, in the form in which it is asked for."""

    no_reply: frozenset[int] = frozenset()
    """Commands that are not answered."""
    leading_space: bool = False
    """Header values keep the blank after the colon."""
    may_insert: bool = False
    may_change: bool = False


def agree(offer: Negotiation, *, reads_body: bool) -> tuple[Negotiation, Terms]:
    """Return our answer to an offer, and the terms in it. Raises RemoteError where there can be none."""
    if offer.version < OLDEST_VERSION:
        raise RemoteError(f"milter version {offer.version}")
    wanted = _WANTED if reads_body else _WANTED | Steps.NO_BODY
    steps = offer.steps & wanted
    if steps & Steps.NO_BODY:
        steps &= ~Steps.NR_BODY
    answer = Negotiation(
        min(offer.version, VERSION),
        offer.actions & (EDITING | Actions.SETSYMLIST),
        steps,
        _MACROS if offer.actions & Actions.SETSYMLIST else {},
    )
    terms = Terms(
        frozenset(int(command) for command, step in _NO_REPLY.items() if answer.steps & step),
        bool(answer.steps & Steps.HDR_LEADSPC),
        bool(answer.actions & Actions.ADDHDRS),
        bool(answer.actions & Actions.CHGHDRS),
    )
    return answer, terms


def encode_edits(edits: Iterable[Edit], terms: Terms) -> list[bytes]:
    """Return the packets for the edits that the MTA lets us make."""
    encoded: list[bytes] = []
    for edit in edits:
        match edit:
            case InsertHeader(name, value) if terms.may_insert:
                encoded.append(insert_header(0, name, value, leading_space=terms.leading_space))
            case RemoveHeader(name, nth) if terms.may_change:
                encoded.append(remove_header(nth, name))
            case ChangeHeader(name, nth, value) if terms.may_change:
                encoded.append(change_header(nth, name, value, leading_space=terms.leading_space))
    return encoded


def user_of(macros: Mapping[bytes, bytes]) -> str:
    """Return who authenticated; "" for nobody. A mechanism may prove somebody without naming him."""
    return decoded(macros.get(b"auth_authen") or macros.get(b"auth_type", b""))


def reverse_name(macros: Mapping[bytes, bytes], at: float) -> Fact | None:
    """Return what {client_resolve} says of the client's name; None where the MTA does not tell, so that we ask."""
    match macros.get(b"client_resolve"):
        case b"OK":
            return Fact(Status.PASS, _names(macros, b"client_name"), at=at, source="mta")
        case b"FORGED":
            return Fact(Status.FAIL, _names(macros, b"client_ptr"), at=at, source="mta")
        case b"FAIL":
            return Fact(Status.NONE, at=at, source="mta", why="the MTA found no name")
        case b"TEMP":
            return Fact(Status.TEMPERROR, at=at, source="mta", why="the MTA could not look it up")
    return None


def _names(macros: Mapping[bytes, bytes], macro: bytes) -> tuple[str, ...]:
    name = decoded(macros.get(macro, b"")).lower().rstrip(".")
    return (name,) if name else ()
