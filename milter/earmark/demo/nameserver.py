"""A small name server over zone text, for the demonstration: UDP and TCP on one port."""

import asyncio
import errno
import socket
from collections.abc import Callable

from earmark.clients.dns.codec import read_query, write_reply
from earmark.clients.offline import TTL, ZoneFile

_UDP_SIZE = 1232
_IDLE = 10.0
"""Seconds that a TCP client may be silent."""


def reply_from(zone: ZoneFile, packet: bytes, *, size: int = 65535) -> bytes | None:
    """Return the reply to a query; None for what is no query and for names whose status is TIMEOUT."""
    asked = read_query(packet)
    if asked is None:
        return None
    status, records = zone.find(*asked)
    return None if status == "TIMEOUT" else write_reply(packet, status, records, ttl=TTL, size=size)


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, zone: ZoneFile) -> None:
        self._zone = zone
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override] # of this kind here
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        reply = reply_from(self._zone, data, size=_UDP_SIZE)
        if reply is not None and self._transport is not None:
            self._transport.sendto(reply, addr)


async def _converse(zone: ZoneFile, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        async with asyncio.timeout(_IDLE):
            size = int.from_bytes(await reader.readexactly(2), "big")
            reply = reply_from(zone, await reader.readexactly(size))
        if reply is not None:
            writer.write(len(reply).to_bytes(2, "big") + reply)
    except (EOFError, OSError, TimeoutError):
        pass
    finally:
        writer.close()


async def serve_zone(zone: ZoneFile, host: str = "127.0.0.1", port: int = 0) -> tuple[int, Callable[[], None]]:
    """Serve the zone; return the port, chosen by the system for 0, and what ends the serving. Raises OSError."""
    by_udp, by_tcp = bound_pair(host, port)
    udp, _ = await asyncio.get_running_loop().create_datagram_endpoint(lambda: _Datagrams(zone), sock=by_udp)
    tcp = await asyncio.start_server(lambda reader, writer: _converse(zone, reader, writer), sock=by_tcp)

    def close() -> None:
        udp.close()
        tcp.close()

    return by_tcp.getsockname()[1], close


def bound_pair(host: str, port: int = 0) -> tuple[socket.socket, socket.socket]:
    """Return a UDP and a TCP socket bound to one port; for 0 to one that is free for both. Raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for _ in range(20):
        udp, tcp = socket.socket(family, socket.SOCK_DGRAM), socket.socket(family, socket.SOCK_STREAM)
        try:
            tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            udp.bind((host, port))
            tcp.bind((host, udp.getsockname()[1]))
        except OSError:
            udp.close()
            tcp.close()
            if port:
                raise
        else:
            return udp, tcp
    raise OSError(errno.EADDRINUSE, "no port is free for both UDP and TCP")
