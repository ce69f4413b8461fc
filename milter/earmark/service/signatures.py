"""How old the signatures of each clamd are: asked every hour. Old ones find no new virus, and nothing else tells."""

import asyncio
from collections.abc import Sequence
from datetime import date

from earmark.clients.limits import Endpoint
from earmark.service.exchange import exchange
from earmark.wire import RemoteError, clamd

_EVERY = 3600.0
"""Seconds between two questions."""
_AGAIN = 60.0
"""Seconds before one that has never answered is asked again."""
_PATIENCE = 10.0
"""Seconds for an answer, which waits while clamd reads a new database."""


async def ask_issued(endpoint: str) -> str:
    """Return the day of issue of ClamAV's own signatures, such as "2026-11-18"; "" where clamd has none.

    Raises OSError, and RemoteError for an answer that is none.
    """
    said = await exchange(
        Endpoint.parse(endpoint), clamd.VERSION, within=_PATIENCE, at_most=clamd.REPLY_AT_MOST, half_close=False
    )
    built = clamd.read_version(said).built
    try:
        return date(*built).isoformat() if built else ""
    except ValueError as error:
        raise RemoteError(f"not a date: {built}") from error


class Signatures:
    """What each endpoint was last found to have."""

    def __init__(self, endpoints: Sequence[str]) -> None:
        """Take endpoints as in `[clamd]`."""
        self._endpoints = endpoints
        self.issued: dict[str, str] = {}
        """By endpoint; see `ask_issued`. One that did not answer keeps what was known."""

    async def watch(self) -> None:
        """Ask all of them now and then. A clamd that is down is told of by those who have mail for it."""
        while True:
            await asyncio.gather(*map(self._ask, self._endpoints))
            await asyncio.sleep(_EVERY if self.issued.keys() >= {*self._endpoints} else _AGAIN)

    async def _ask(self, endpoint: str) -> None:
        try:
            self.issued[endpoint] = await ask_issued(endpoint)
        except (OSError, RemoteError):
            return
