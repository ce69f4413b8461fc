"""One request to a server, and all that it says until it closes the connection."""

import asyncio

from earmark.clients.limits import Endpoint


async def exchange(endpoint: Endpoint, request: bytes, *, within: float, at_most: int, half_close: bool) -> bytes:
    """Return what a server says, and no more than a byte over `at_most`. Raises OSError, also after `within` seconds.

    With `half_close` it is told that no more will come; clamd takes that for the end of the conversation.
    """
    said = b""
    async with asyncio.timeout(within):
        reader, writer = await endpoint.connect()
        try:
            writer.write(request)
            if half_close:
                writer.write_eof()
            while len(said) <= at_most and (more := await reader.read(at_most + 1 - len(said))):
                said += more
        finally:
            writer.transport.abort()
    return said
