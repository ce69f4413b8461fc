"""The demonstration put together: the real milter, and a receiver, a name server and Maildirs of its own."""

import asyncio
import mailbox
from importlib import resources
from pathlib import Path
from types import TracebackType
from typing import Self

from earmark import config
from earmark.clients.dns import Resolver
from earmark.clients.offline import ZoneFile
from earmark.clients.zones import Zones
from earmark.config.files import copy_shipped
from earmark.core.access import Entry, Kind, Verb
from earmark.core.record import Judged, Record, make_record
from earmark.demo.dialogues import CAROL, INBOX, JUNK, Dialogue, Result, play
from earmark.demo.nameserver import serve_zone
from earmark.demo.receiver import Receiver
from earmark.engine import Engine
from earmark.fronts.milter import MilterFront
from earmark.log import Log, verdict_fields
from earmark.stores import access_file
from earmark.stores.access import AccessLists
from earmark.stores.history import FILE_NAME, History
from earmark.stores.state import State
from earmark.world import World, world_over

_SERVER = """\
schema = 1
state = "{state}"
[milter]
listen = ["unix:{socket}"]
[dns]
resolvers = ["127.0.0.1:{port}"]
[site]
names = ["mx.example.org"]
domains = ["example.org"]
"""
_DOMAINS = {
    "marks.toml": 'domains = ["marks.example"]\nmode = "mark"\n',
    "watches.toml": 'domains = ["watches.example"]\nmode = "observe"\n',
    "rejects.toml": 'domains = ["rejects.example"]\ndmarc = "reject"\n',
    "waits.toml": 'domains = ["waits.example"]\n[greylist]\nenabled = true\nwait_seconds = 1\n',
}
_ALLOWED = Entry(Verb.ALLOW, Kind.CLIENT, "198.51.100.66", CAROL, author="demonstration", note="she waits for its mail")


class Demonstration:
    """Everything in one directory and one event loop; `async with` starts and ends it."""

    def __init__(self, directory: Path, *, port: int = 0) -> None:
        """`directory` is filled; `port` is the receiver's, chosen by the system for 0."""
        self.config = directory / "config"
        self.maildirs = directory / "mail"
        self.port = port
        self._judged: asyncio.Queue[Record] = asyncio.Queue()
        self._state = directory / "state"
        self._socket = directory / "milter.sock"
        self._log_file = (directory / "log").open("ab", buffering=0)

    async def __aenter__(self) -> Self:
        """Start everything. Raises OSError where the port is taken."""
        loop = asyncio.get_running_loop()
        zone = ZoneFile.parse(resources.files("earmark.demo").joinpath("zone.txt").read_text("ascii"), "zone.txt")
        dns_port, self._stop_dns = await serve_zone(zone)
        generation = self._configure(dns_port)
        self._log = Log(self._log_file)
        self._history = History(self._state / FILE_NAME, self._log)
        self._history.keep_generation(generation.id, generation.files)
        self._resolver = Resolver(generation.server.dns.resolvers)
        self._world = self._see(generation)
        engine = Engine(generation.policies, self._world, generation.id, self._tell, generation.server.budget)
        self._front = MilterFront(engine, self._log)
        self._milter = await loop.create_unix_server(self._front.protocol, str(self._socket))
        self._smtp = await loop.create_server(
            lambda: Receiver(str(self._socket), self.maildirs), "127.0.0.1", self.port
        )
        self.port = self._smtp.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        """Stop everything."""
        self._smtp.close()
        self._milter.close()
        self._front.close()
        await self._world.close()
        self._resolver.close()
        self._stop_dns()
        self._history.close(2.0)
        self._log.flush()
        self._log_file.close()

    def _configure(self, dns_port: int) -> config.Generation:
        copy_shipped(self.config)
        self._state.mkdir()
        self.maildirs.mkdir()
        server = _SERVER.format(state=self._state, socket=self._socket, port=dns_port)
        (self.config / "policies" / "server.toml").write_text(server)
        for name, text in _DOMAINS.items():
            (self.config / "policies" / "domains" / name).write_text(text)
        return config.load(self.config)

    def _see(self, generation: config.Generation) -> World:
        lists = self._state / access_file.FILE_NAME
        access_file.put(lists, [_ALLOWED])
        access = AccessLists(lists, self._log)
        access.follow()
        zones = Zones(self._resolver, generation.zones.values())
        return world_over(self._resolver, zones, state=State(self._state, self._log), access=access)

    def _tell(self, judged: Judged) -> None:
        record = make_record(judged)
        self._judged.put_nowait(record)
        self._log.event("verdict", **verdict_fields(record))
        self._history.add(record)

    async def play(self, dialogue: Dialogue) -> list[Result]:
        """Play a dialogue through the receiver, and say in which folder accepted mail came to lie."""
        before = {recipient: self._folders(recipient) for recipient in dialogue.recipients}
        results = await play(dialogue, self.port)
        record = await asyncio.wait_for(self._judged.get(), 10)
        return [
            result._replace(outcome=self._landed(result, before[result.recipient]), verdict_id=record.id)
            for result in results
        ]

    def _folders(self, recipient: str) -> dict[str, int]:
        path = self.maildirs / recipient
        folders = {INBOX: path, JUNK: path / f".{JUNK}"}
        return {name: len(mailbox.Maildir(where)) if where.exists() else 0 for name, where in folders.items()}

    def _landed(self, result: Result, before: dict[str, int]) -> str:
        if result.reply:
            return result.outcome
        after = self._folders(result.recipient)
        grown = [name for name in after if after[name] == before[name] + 1]
        return grown[0] if len(grown) == 1 else "lost"
