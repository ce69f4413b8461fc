"""Letting a held message go to one recipient: at most once, and what is not known is said."""

import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from earmark.cli.submission import MaybeTakenError, NotTakenError, lines, submit
from earmark.core.checks.released import release_field
from earmark.core.text import printable
from earmark.log import Log
from earmark.stores import quarantine_index as index
from earmark.stores.quarantine_files import opened
from earmark.stores.quarantine_index import Row, State
from earmark.stores.quarantine_upkeep import remove_unneeded
from earmark.stores.sqlite import StoreError

_UNSEEN = (
    "but earmark did not see it as a release, so it may be held again (see earmark quarantine list): [quarantine]"
    " submission must lead through earmark, from an address of [site] networks"
)


class Ended(NamedTuple):
    """How a release ended, in words."""

    well: bool
    words: str


def release(directory: Path, log: Log, row: Row, server: tuple[str, int], *, again: bool) -> Ended:
    """Release a message to one recipient, through this SMTP server. Raises StoreError where it cannot be begun.

    `again`: also where nobody knows how an earlier release ended.
    """
    token = secrets.token_hex(16)
    with opened(directory, row.id) as stored:
        with index.opened(directory, log) as connection:
            if not index.begin_release(connection, row.id, row.recipient, token, time.time(), again=again):
                raise StoreError(f"{row.id} is not held for {printable(row.recipient)} any more")
        try:
            words = submit(*server, stored.held.sender, row.recipient, _message(stored.file, row.id, token))
        except NotTakenError as error:
            _end(directory, log, row, State.HELD)
            return Ended(well=False, words=f"not released, still held: {error}")
        except MaybeTakenError as error:
            reason = f"the connection broke when all of it had been sent ({error})"
            mend = "look into the MTA's log; then --again releases it once more, and delete forgets it"
            return Ended(well=False, words=f"may have been delivered: {reason}; {mend}")
    if not _end(directory, log, row, State.RELEASED):
        return Ended(well=False, words=f"handed over ({words}), {_UNSEEN}")
    return Ended(well=True, words=f"released: {words}")


def _message(file: BinaryIO, message_id: str, token: str) -> Iterator[bytes]:
    yield release_field(message_id, token)
    yield from lines(file)


def _end(directory: Path, log: Log, row: Row, state: State) -> bool:
    """Note the end; return whether the service has recognised the message."""
    with index.opened(directory, log) as connection:
        recognised = index.end_release(connection, row.id, row.recipient, state)
        remove_unneeded(connection, directory, time.time())
    return recognised
