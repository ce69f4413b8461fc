"""What a connection lets us do through pymilter: read macros, and edit the message."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

from earmark.core.text import printable
from earmark.core.verdict import AddRecipient, ChangeHeader, Edit, Hold, InsertHeader, RemoveHeader, RemoveRecipient
from earmark.fronts.libmilter_session import Link
from earmark.fronts.milter_terms import Terms
from earmark.wire.milter import field_as_sent


class Context(Protocol):
    """What pymilter hands to each callback."""

    def getpriv(self) -> Link | None:
        """Return what `setpriv` was given."""

    def setpriv(self, link: Link | None) -> None:
        """Keep something with this connection."""

    def getsymval(self, name: str) -> str | None:
        """Return a macro. Raises UnicodeDecodeError."""

    def setsymlist(self, stage: int, names: str) -> None:
        """Ask for macros."""

    def setreply(self, code: str, enhanced: str, text: str) -> None:
        """Set the reply of a refusal."""

    def progress(self) -> None:
        """Tell the MTA, at the end of message, that we are at work. Raises where it has gone."""

    def addheader(self, name: str, value: str, index: int) -> None:
        """Insert a field."""

    def chgheader(self, name: str, nth: int, value: str | None) -> None:
        """Change a field, or remove it."""

    def addrcpt(self, path: str) -> None:
        """Add a recipient."""

    def delrcpt(self, path: str) -> None:
        """Remove a recipient."""

    def quarantine(self, why: str) -> None:
        """Have the MTA hold the message."""


def macro_of(context: Context, name: str) -> bytes:
    """Return a macro's value; b"" where there is none."""
    try:
        value = context.getsymval(name)
    except UnicodeDecodeError as error:
        return error.object
    return value.encode() if value else b""


def make_edits(context: Context, terms: Terms, edits: Sequence[Edit]) -> None:
    """Make the edits that the MTA lets us make. All are put into words before the first one is made."""
    for make in list(filter(None, (_worded(context, terms, edit) for edit in edits))):
        make()


def _worded(context: Context, terms: Terms, edit: Edit) -> Callable[[], None] | None:
    """Return the call that makes an edit; None where the MTA does not let us, or pymilter cannot say it."""
    match edit:
        case Hold(why):
            return partial(context.quarantine, printable(why))
        case AddRecipient(address):
            return partial(context.addrcpt, f"<{address}>")
        case RemoveRecipient(path):
            return partial(context.delrcpt, path)
    allowed = terms.may_insert if isinstance(edit, InsertHeader) else terms.may_change
    return _field_call(context, terms, edit) if allowed else None


def _field_call(
    context: Context, terms: Terms, edit: InsertHeader | ChangeHeader | RemoveHeader
) -> Callable[[], None] | None:
    if isinstance(edit, RemoveHeader):
        return partial(context.chgheader, edit.name, edit.nth, None)
    label, raw = field_as_sent(edit.name, edit.value)
    try:
        value = " " * terms.leading_space + raw.decode()
    except UnicodeDecodeError:  # a Subject of 8-bit bytes: left as it is rather than damaged
        return None
    if isinstance(edit, InsertHeader):
        return partial(context.addheader, label.decode(), value, 0)
    return partial(context.chgheader, label.decode(), edit.nth, value)
