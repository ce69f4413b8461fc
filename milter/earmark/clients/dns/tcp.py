"""DNS over TCP (RFC 7766): one query on one connection, for answers too long for UDP."""

import asyncio


async def ask_by_tcp(host: str, port: int, query: bytes) -> bytes:
    """Return the first message that comes back. Raises OSError or EOFError; the caller sets the time limit."""
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(len(query).to_bytes(2, "big") + query)
        size = int.from_bytes(await reader.readexactly(2), "big")
        return await reader.readexactly(size)
    finally:
        writer.close()
