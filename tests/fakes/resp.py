"""A server that answers every Redis command (RESP2, an array of bulk strings) with the same bytes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

LOADING = b"-LOADING Redis is loading the dataset in memory\r\n"
NOISE = b"\x00\xffHTTP/1.1 200 OK\r\n\r\n"


@asynccontextmanager
async def resp_server(answer: bytes) -> AsyncIterator[str]:
    """Serve on 127.0.0.1; gives the URL of the server."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readline():
                for _ in range(int(head[1:])):
                    size = int((await reader.readline())[1:])
                    await reader.readexactly(size + 2)
                writer.write(answer)
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        await server.wait_closed()
