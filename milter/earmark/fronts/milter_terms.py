"""What a milter session agrees on with the MTA, and what follows from it: which macros come, how edits are sent."""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import NamedTuple

from earmark.core.evidence import Fact
from earmark.core.recipients import Means
from earmark.core.text import decoded
from earmark.core.verdict import AddRecipient, Edit, Hold, InsertHeader, RemoveHeader, RemoveRecipient
from earmark.fronts.reverse_name import reverse_fact
from earmark.wire import RemoteError
from earmark.wire.milter import (
    OLDEST_VERSION,
    VERSION,
    Actions,
    Command,
    MacroStage,
    Negotiation,
    Steps,
    add_recipient,
    change_header,
    decode_negotiation,
    encode_negotiation,
    hold,
    insert_header,
    remove_header,
    remove_recipient,
)

EDITING = Actions.ADDHDRS | Actions.CHGHDRS
"""What we need to be allowed; without it refusals work and marks do not."""
READDRESSING = Actions.ADDRCPT | Actions.DELRCPT
"""What the quarantine of single recipients needs; without it they are marked."""
_ACTIONS = EDITING | READDRESSING | Actions.QUARANTINE | Actions.SETSYMLIST

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
    MacroStage.CONNECT: b"j {client_name} {client_ptr} {client_resolve}",
    MacroStage.HELO: _NOTHING,
    MacroStage.MAIL: b"i {auth_type} {auth_authen}",
    MacroStage.RCPT: _NOTHING,
    MacroStage.DATA: b"i",
    MacroStage.EOM: b"i",
    MacroStage.EOH: _NOTHING,
}
UNUSED_MACROS = frozenset(range(256)) - {Command.CONNECT, Command.MAIL, Command.DATA, Command.EOM}
"""The commands whose macros we do not look at, and all letters that are no command."""

_GO_ON = frozenset({*_NO_REPLY, Command.CONNECT, Command.MAIL, Command.UNKNOWN})
"""The commands that we only ever answer with "go on"."""


class Terms(NamedTuple):
    """What was agreed, in the form in which it is asked for: packet by packet, so without flags."""

    answer: bytes = b""
    """The packet that tells the MTA."""
    actions: int = 0
    """What we may do (`wire.milter.Actions`)."""
    steps: int = 0
    """What of the dialogue is left out (`wire.milter.Steps`)."""
    macros: Mapping[int, bytes] = {}
    """The names that we ask for, by stage; none where the MTA sends what it likes."""
    answered: frozenset[int] = _GO_ON
    """The commands to be answered with "go on" as soon as they are taken."""
    leading_space: bool = False
    """Header values keep the blank after the colon."""
    may_insert: bool = False
    may_change: bool = False
    means: Means = Means(readdress=False, hold=False)
    lacking: str = ""
    """The names of what we need and the MTA does not let us do."""


@lru_cache(maxsize=16)
def agree(offer: bytes, *, reads_body: bool) -> Terms:
    """Return the terms for an offer. Raises RemoteError where there can be none.

    An MTA says the same on each connection, and flags are slow: so terms are kept.
    """
    version, actions, steps, _ = decode_negotiation(offer)
    if version < OLDEST_VERSION:
        raise RemoteError(f"milter version {version}")
    terms = terms_for(actions, steps, reads_body=reads_body)
    answer = Negotiation(min(version, VERSION), Actions(terms.actions), Steps(terms.steps), terms.macros)
    return terms._replace(answer=encode_negotiation(answer))


@lru_cache(maxsize=16)
def terms_for(actions: int, steps: int, *, reads_body: bool) -> Terms:
    """Return the terms for what an MTA lets us do, and what of the dialogue it can leave out; without the packet."""
    offered = Actions(actions)
    agreed = Steps(steps) & (_WANTED if reads_body else _WANTED | Steps.NO_BODY)
    if agreed & Steps.NO_BODY:
        agreed &= ~Steps.NR_BODY
    return Terms(
        actions=int(offered & _ACTIONS),
        steps=int(agreed),
        macros=_MACROS if offered & Actions.SETSYMLIST else {},
        answered=frozenset(int(command) for command in _GO_ON if not agreed & _NO_REPLY.get(command, 0)),
        leading_space=bool(agreed & Steps.HDR_LEADSPC),
        may_insert=bool(offered & Actions.ADDHDRS),
        may_change=bool(offered & Actions.CHGHDRS),
        means=Means(offered & READDRESSING == READDRESSING, bool(offered & Actions.QUARANTINE)),
        lacking=(EDITING & ~offered).name or "",
    )


def encode_edits(edits: Iterable[Edit], terms: Terms, paths: Mapping[str, bytes]) -> list[bytes]:
    """Return the packets for the edits that the MTA lets us make. `paths` are the recipients as it gave them."""
    leading_space = terms.leading_space
    encoded: list[bytes] = []
    for edit in edits:
        if isinstance(edit, InsertHeader):
            if terms.may_insert:
                encoded.append(insert_header(0, edit.name, edit.value, leading_space=leading_space))
        elif isinstance(edit, AddRecipient | RemoveRecipient | Hold):
            encoded.append(_encode_way(edit, paths))
        elif not terms.may_change:
            continue
        elif isinstance(edit, RemoveHeader):
            encoded.append(remove_header(edit.nth, edit.name))
        else:
            encoded.append(change_header(edit.nth, edit.name, edit.value, leading_space=leading_space))
    return encoded


def _encode_way(edit: AddRecipient | RemoveRecipient | Hold, paths: Mapping[str, bytes]) -> bytes:
    if isinstance(edit, Hold):
        return hold(edit.why)
    if isinstance(edit, RemoveRecipient):
        return remove_recipient(paths[edit.address])
    return add_recipient(b"<" + edit.address.encode("ascii") + b">")


def user_of(macros: Mapping[bytes, bytes]) -> str:
    """Return who authenticated; "" for nobody. A mechanism may prove somebody without naming him."""
    return decoded(macros.get(b"auth_authen") or macros.get(b"auth_type", b""))


def reverse_name(macros: Mapping[bytes, bytes], at: float) -> Fact | None:
    """Return what {client_resolve} says of the client's name; None where the MTA does not tell, so that we ask."""
    return reverse_fact(
        macros.get(b"client_resolve"), macros.get(b"client_name", b""), macros.get(b"client_ptr", b""), at
    )
