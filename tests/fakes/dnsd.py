"""A DNS server for tests: zone text, and for names below `fault.test` whatever can be wrong with an answer.

The label before `fault.test` chooses the fault: 2.0.0.127.servfail.fault.test. It counts what it is asked. As a program
(`python dnsd.py PORT [ZONEFILE]`) it serves until it is ended.
"""

import asyncio
import contextlib
import socket
import struct
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from earmark.clients.offline import ZoneFile
from earmark.demo.nameserver import bound_pair, reply_from

HEADER = struct.Struct("!HHHHHH")
LISTED = ("127.0.0.2",)
REPLY = 0x8180
TRUNCATED = 0x0200
GARBAGE = bytes(step * 37 & 255 for step in range(1, 61))


class Query(NamedTuple):
    """One query that came."""

    name: str
    rtype: int
    number: int
    port: int
    over_tcp: bool


def read_question(packet: bytes) -> tuple[str, int, bytes]:
    """Return name, type and question section of one of our own queries."""
    at, labels = 12, []
    while packet[at]:
        labels.append(packet[at + 1 : at + 1 + packet[at]].decode("latin-1"))
        at += packet[at] + 1
    return ".".join(labels).lower(), int.from_bytes(packet[at + 1 : at + 3], "big"), packet[12 : at + 5]


def question_for(name: str) -> bytes:
    return b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0\0\1\0\1"


def record(data: bytes, *, rtype: int = 1, ttl: int = 300, owner: bytes = b"\xc0\x0c") -> bytes:
    return owner + struct.pack("!HHIH", rtype, 1, ttl, len(data)) + data


def soa(ttl: int, minimum: int) -> bytes:
    return record(b"\0\0" + struct.pack("!IIIII", 1, 2, 3, 4, minimum), rtype=6, ttl=ttl, owner=b"\0")


@dataclass(slots=True)
class Asked:
    """A query that a fault answers, and the ways to answer it."""

    packet: bytes
    respond: Callable[[bytes], None]
    from_elsewhere: Callable[[bytes], None]
    over_tcp: bool
    times: int
    """How often this name has been asked for, this time included."""

    def message(
        self,
        addresses: tuple[str, ...] = (),
        *,
        rcode: int = 0,
        flags: int = REPLY,
        number_off: int = 0,
        question: bytes | None = None,
        ttl: int = 300,
        authority: bytes = b"",
    ) -> bytes:
        number = int.from_bytes(self.packet[:2], "big") + number_off & 0xFFFF
        section = read_question(self.packet)[2] if question is None else question
        header = HEADER.pack(number, flags | rcode, 1, len(addresses), bool(authority), 0)
        answers = b"".join(record(socket.inet_aton(address), ttl=ttl) for address in addresses)
        return header + section + answers + authority

    @property
    def cname_at(self) -> int:
        return 12 + len(read_question(self.packet)[2])


def _first_is_lost(asked: Asked) -> None:
    if asked.times > 1:
        asked.respond(asked.message(LISTED))


Fault = Callable[[Asked], None]


def _says(addresses: tuple[str, ...] = (), **how: int) -> Fault:
    return lambda asked: asked.respond(asked.message(addresses, **how))  # type: ignore[arg-type]


def _after(seconds: float, packet: Callable[[Asked], bytes]) -> Fault:
    def respond_later(asked: Asked) -> None:
        asyncio.get_running_loop().call_later(seconds, asked.respond, packet(asked))

    return respond_later


def _wrong_id_then_nx(asked: Asked) -> None:
    asked.respond(asked.message(LISTED, number_off=1))
    asked.respond(asked.message(rcode=3))


def _wrong_port_then_nx(asked: Asked) -> None:
    asked.from_elsewhere(asked.message(LISTED))
    asyncio.get_running_loop().call_later(0.05, asked.respond, asked.message(rcode=3))


def _flood(asked: Asked) -> None:
    for step in range(1, 501):
        asked.respond(asked.message(LISTED, number_off=step * 131))
    asked.respond(asked.message(rcode=3))


def _pointer_loop(asked: Asked) -> None:
    number = int.from_bytes(asked.packet[:2], "big")
    section = read_question(asked.packet)[2]
    loop = record(b"\x7f\0\0\2", owner=b"\xc0" + bytes([asked.cname_at]))
    asked.respond(HEADER.pack(number, REPLY, 1, 1, 0, 0) + section + loop)


def _rdlength(asked: Asked) -> None:
    asked.respond(asked.message(LISTED)[:-6] + b"\x01\x90\x7f\0\0\2")


def _cname_loop(asked: Asked) -> None:
    packet = bytearray(asked.message() + record(b"\xc0\x0c", rtype=5))
    packet[7] = 1
    asked.respond(bytes(packet))


def _cname_to_nowhere(asked: Asked) -> None:
    packet = bytearray(asked.message(rcode=3) + record(b"\x07nowhere\0", rtype=5) + soa(300, 300))
    packet[7] = packet[9] = 1
    asked.respond(bytes(packet))


def _cname_to_listed(asked: Asked) -> None:
    target = 0xC000 | asked.cname_at + 12
    alias = record(b"\x04real\0", rtype=5, ttl=90)
    packet = bytearray(asked.message() + alias + record(b"\x7f\0\0\2", owner=target.to_bytes(2, "big")))
    packet[7] = 2
    asked.respond(bytes(packet))


def _formerr_with_edns(asked: Asked) -> None:
    if asked.packet[11]:
        asked.respond(asked.packet[:2] + b"\x81\x81" + bytes(8))
    else:
        asked.respond(asked.message(LISTED))


def _big(asked: Asked) -> None:
    asked.respond(asked.message(LISTED) if asked.over_tcp else asked.message(flags=REPLY | TRUNCATED))


FAULTS: dict[str, Fault] = {
    "ok": _says(LISTED),
    "nx": _says(rcode=3),
    "nxsoa": lambda asked: asked.respond(asked.message(rcode=3, authority=soa(900, 120))),
    "servfail": _says(rcode=2),
    "refused": _says(rcode=5),
    "formerr": _says(rcode=1),
    "formerredns": _formerr_with_edns,
    "nodata": _says(),
    "nodatasoa": lambda asked: asked.respond(asked.message(authority=soa(100, 900))),
    "referral": lambda asked: asked.respond(asked.message(authority=record(b"\1a\0", rtype=2))),
    "timeout": lambda _: None,
    "lossy": _first_is_lost,
    "late": _after(0.4, lambda asked: asked.message(LISTED)),
    "slow": _after(0.3, lambda asked: asked.message(rcode=3)),
    "wrongid": _says(LISTED, number_off=1),
    "wrongidthennx": _wrong_id_then_nx,
    "wrongport": lambda asked: asked.from_elsewhere(asked.message(LISTED)),
    "wrongportthennx": _wrong_port_then_nx,
    "wrongq": lambda asked: asked.respond(asked.message(LISTED, question=question_for("evil.example"))),
    "notresponse": _says(LISTED, flags=0x0100),
    "flood": _flood,
    "trunc": lambda asked: None if asked.over_tcp else asked.respond(asked.message(flags=REPLY | TRUNCATED)),
    "big": _big,
    "garbage": lambda asked: asked.respond(GARBAGE),
    "garbageid": lambda asked: asked.respond(asked.packet[:2] + GARBAGE),
    "short": lambda asked: asked.respond(asked.packet[:5]),
    "empty": lambda asked: asked.respond(b""),
    "ptrloop": _pointer_loop,
    "rdlen": _rdlength,
    "cnameloop": _cname_loop,
    "cnamenowhere": _cname_to_nowhere,
    "cname": _cname_to_listed,
    "err252": _says(("127.255.255.252",)),
    "err254": _says(("127.255.255.254",)),
    "err255": _says(("127.255.255.255",)),
    "one": _says(("127.0.0.1",)),
    "pub": _says(("203.0.113.250",)),
    "many": _says(tuple(f"127.0.0.{last}" for last in range(2, 80))),
    "odd": _says(("0.0.0.0", "126.255.255.255", "128.0.0.0", "255.255.255.255")),
    "oddandlisted": _says(("0.0.0.0", "126.255.255.255", "128.0.0.0", "255.255.255.255", "127.0.0.2")),
    "ttl0": _says(LISTED, ttl=0),
    "ttl31": _says(LISTED, ttl=0x7FFFFFFF),
    "ttlhuge": _says(LISTED, ttl=0xFFFFFFFF),
}


@dataclass(slots=True)
class Dnsd:
    """The server: what it knows and what it was asked."""

    zone: ZoneFile
    port: int = 0
    queries: list[Query] = field(default_factory=list)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def count(self, part: str) -> int:
        """Return how many queries had this in their name."""
        return sum(part in query.name for query in self.queries)

    def take(self, packet: bytes, port: int, asked: Asked) -> None:
        name, rtype, _ = read_question(packet)
        self.queries.append(Query(name, rtype, int.from_bytes(packet[:2], "big"), port, asked.over_tcp))
        asked.times = sum(query.name == name for query in self.queries)
        labels = name.split(".")
        if labels[-2:] == ["fault", "test"]:
            FAULTS.get(labels[-3], FAULTS["nx"])(asked)
        else:
            reply = reply_from(self.zone, packet)
            if reply is not None:
                asked.respond(reply)

    async def converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(EOFError, OSError):
            size = int.from_bytes(await reader.readexactly(2), "big")
            packet = await reader.readexactly(size)

            def respond(message: bytes) -> None:
                writer.write(len(message).to_bytes(2, "big") + message)

            self.take(packet, 0, Asked(packet, respond, lambda _: None, over_tcp=True, times=0))
        writer.close()


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, server: Dnsd, elsewhere: socket.socket) -> None:
        self.server = server
        self.elsewhere = elsewhere

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        def respond(message: bytes) -> None:
            self.transport.sendto(message, addr)

        asked = Asked(data, respond, lambda message: _send(self.elsewhere, message, addr), over_tcp=False, times=0)
        self.server.take(data, addr[1], asked)


def _send(sock: socket.socket, message: bytes, addr: tuple[str, int]) -> None:
    sock.sendto(message, addr)


@contextlib.asynccontextmanager
async def dnsd(text: str = "", *, tcp: bool = True, port: int = 0) -> AsyncIterator[Dnsd]:
    """Serve zone text and faults on 127.0.0.1 for the time of a `with`; on a port that is given, by UDP alone."""
    server = Dnsd(ZoneFile.parse(text))
    by_udp, by_tcp = bound_pair("127.0.0.1") if tcp and not port else (socket.socket(type=socket.SOCK_DGRAM), None)
    if by_tcp is None:
        by_udp.bind(("127.0.0.1", port))
    server.port = by_udp.getsockname()[1]
    with socket.socket(type=socket.SOCK_DGRAM) as elsewhere:
        elsewhere.bind(("127.0.0.1", 0))
        loop = asyncio.get_running_loop()
        udp, _ = await loop.create_datagram_endpoint(lambda: _Datagrams(server, elsewhere), sock=by_udp)
        stream = None if by_tcp is None else await asyncio.start_server(server.converse, sock=by_tcp)
        try:
            yield server
        finally:
            udp.close()
            if stream is not None:
                stream.close()


async def _serve_for_ever(port: int, text: str) -> None:
    async with dnsd(text, port=port) as server:
        print(server.port, flush=True)  # noqa: T201
        await asyncio.get_running_loop().create_future()


if __name__ == "__main__":
    asyncio.run(_serve_for_ever(int(sys.argv[1]), Path(sys.argv[2]).read_text("utf-8") if len(sys.argv) > 2 else ""))
