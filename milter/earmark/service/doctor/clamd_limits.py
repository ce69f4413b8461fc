"""How a running clamd meets what is beyond its limits. No command of its own tells them, so they are tried out."""

import io
import zipfile
from typing import NamedTuple

from earmark.clients.limits import Endpoint
from earmark.service.exchange import exchange
from earmark.wire import RemoteError, clamd

_PATIENCE = 10.0
"""Seconds for one answer."""
_DEEP = 110
"""Archives in archives: clamd lets nobody set MaxRecursion above 100."""
_LARGE = 110
"""Mebibytes of a file in an archive: above the MaxFileSize of 25M that Debian sets, and ClamAV's own of 100M."""


class Limits(NamedTuple):
    """How a clamd meets what is beyond its limits."""

    takes: bool
    """A stream of the size that was asked about is within its StreamMaxLength."""
    tells: bool
    """It says so when it has not looked into all archives in archives (AlertExceedsMax); else it says OK."""
    tells_of_large: bool
    """It says so when it has passed over a large file in an archive; else it says OK, or has looked at all of it.

    AlertExceedsMax does not see to that where MaxFileSize is below MaxScanSize (ClamAV 1.4.6).
    """


async def try_limits(endpoint: Endpoint, size: int) -> Limits:
    """Try a stream of `size` bytes, an archive that is nested too deep, and one with a large file in it.

    Takes clamd half a second. Raises OSError and RemoteError.
    """
    return Limits(
        await _takes(endpoint, size), await _tells(endpoint, _nested(_DEEP)), await _tells(endpoint, _large(_LARGE))
    )


async def _takes(endpoint: Endpoint, size: int) -> bool:
    """Announce a chunk of that size, and send nothing: clamd compares at once, and closes in silence if all is well."""
    announced = clamd.INSTREAM + size.to_bytes(4, "big")
    said = await exchange(endpoint, announced, within=_PATIENCE, at_most=clamd.REPLY_AT_MOST, half_close=True)
    if not said:
        return True
    reply = clamd.read_reply(said)
    if reply.result is clamd.Result.LIMIT:
        return False
    raise RemoteError(f"{reply.result}: {reply.text}")


async def _tells(endpoint: Endpoint, archive: bytes) -> bool:
    stream = clamd.INSTREAM + clamd.chunk(archive) + clamd.END
    said = await exchange(endpoint, stream, within=_PATIENCE, at_most=clamd.REPLY_AT_MOST, half_close=False)
    reply = clamd.read_reply(said)
    if reply.result is clamd.Result.OK:
        return False
    if reply.text.startswith("Heuristics.Limits."):
        return True
    raise RemoteError(f"{reply.result}: {reply.text}")


def _nested(depth: int) -> bytes:
    """Return archives in archives, about a hundred bytes each, around a harmless file."""
    data = b"harmless"
    for _ in range(depth):
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr(zipfile.ZipInfo("a"), data)
        data = file.getvalue()
    return data


def _large(mebibytes: int) -> bytes:
    """Return an archive with one file of zeros, which takes half a per cent of its size."""
    file, zeros = io.BytesIO(), bytes(1 << 20)
    with (
        zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("a", "w") as member,
    ):
        for _ in range(mebibytes):
            member.write(zeros)
    return file.getvalue()
