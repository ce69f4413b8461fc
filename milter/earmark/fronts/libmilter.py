"""The libmilter engine: pymilter's callbacks, and the listening socket that libmilter accepts on.

Theory of operation

1. libmilter opens a listening socket of its own, of the right family, and accepts on it in threads of its own. The one
   that the supervisor hands over is put in its place (dup2), and a descriptor on which nothing ever arrives when no
   connection is to be taken any more. It never has to be stopped: who drains waits for its sessions and ends the
   process, instead of the four or five seconds that libmilter takes.
2. The callbacks are bare functions: `Milter.Base` would cost a third of the speed. None lets an exception out.
3. pymilter cannot make text of bytes that are not UTF-8 and does not call back then. The bytes are in the exception
   that it reports, and each connection has a Python thread state of its own; so `_report` goes on with them.
4. Signals are for the main thread: libmilter would stop itself. They are blocked before its threads begin.

What libmilter cannot keep is said in docs/libmilter.md, and at the start in the log.
"""

import asyncio
import os
import signal
import socket
import stat
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any

import milter
from earmark.core.mail import Client, domain_key, parse_address_text
from earmark.core.text import decoded
from earmark.core.verdict import Reply
from earmark.engine import Engine
from earmark.fronts.events import Events, tell_fault
from earmark.fronts.libmilter_context import Context, macro_of, make_edits
from earmark.fronts.libmilter_session import Answer, LibmilterSession, Link
from earmark.fronts.milter_dialogue import NO_HEADER, Shared
from earmark.fronts.milter_terms import Terms, reverse_name, terms_for, user_of
from earmark.wire.milter import Steps

_SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
"""What libmilter takes for itself in every thread that has not blocked it."""
_BACKSTOP = 1.0
"""Seconds that a thread waits longer than the engine may take."""
_SETTLING = 0.2
"""Seconds that a drain lasts at least: a connection that was just accepted has said nothing yet."""
_NOREPLY, _CONTINUE = milter.NOREPLY, milter.CONTINUE
_MACROS = ("j", "{client_name}", "{client_ptr}", "{client_resolve}")
_ADDRESS = b" {client_addr}"
"""Asked for besides what the native engine asks: CONNECT without it is lost where a name is not UTF-8."""


class LibmilterFront:
    """All milter connections of a worker, by libmilter. One in a process: what it registers is libmilter's for good."""

    def __init__(self, engine: Engine, log: Events, ended: Callable[[], object], *, idle: float = 3600.0) -> None:
        """Have libmilter wait `idle` seconds for an MTA. `ended` is called should libmilter stop by itself."""
        self.shared = Shared(engine, log)
        self._loop = asyncio.get_running_loop()
        self._idle = idle
        self._ended = ended
        self._terms = Terms()
        """Those agreed last: after QUIT_NC there is no negotiation, and pymilter has forgotten the connection."""
        self._links: set[Link] = set()
        """The open connections; threads add and discard, which the interpreter does whole."""
        self._accepting = -1
        """The descriptor that libmilter accepts on, until it stops by itself and closes it."""
        self._listener = -1
        """The inode of the socket that was put there."""
        self._closed = False
        """Nobody is judged any more: what still comes until the process ends is put off."""
        self._empty = asyncio.Event()
        self._local = threading.local()
        """What is here belongs to a connection, not to a thread: see rule 3."""
        self._report_otherwise = sys.excepthook

    @property
    def sessions(self) -> int:
        """How many connections are open."""
        return len(self._links)

    def listen(self, listener: socket.socket) -> None:
        """Accept on this socket, which does not block, and on no other."""
        starting = self._accepting < 0
        if starting:
            self._register()
            self._accepting = _open_socket(listener.family)
        os.dup2(listener.fileno(), self._accepting, inheritable=False)
        self._listener = _inode(self._accepting)
        if starting:
            threading.Thread(target=self._serve, name="libmilter", daemon=True).start()
            self._say_what_is_lost()

    def _say_what_is_lost(self) -> None:
        version = ".".join(map(str, milter.getversion()))
        why = "callbacks that wait take a thread each, and may make others wait; see docs/libmilter.md"
        self.shared.log.event("libmilter", front="milter", version=version, why=why)

    def _serve(self) -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        try:
            milter.main()
        except milter.error as error:
            tell_fault(self.shared.log, "milter", error)
        with suppress(RuntimeError):  # the loop has been closed
            self._loop.call_soon_threadsafe(self._ended)

    def drain(self) -> None:
        """Accept nothing more. A connection ends with its SMTP session; one between two clients, with the process."""
        if self._accepting >= 0 and _inode(self._accepting) == self._listener:
            nothing = os.eventfd(0)
            os.dup2(nothing, self._accepting, inheritable=False)
            os.close(nothing)
        self._loop.call_later(_SETTLING, self._look_whether_empty)

    def _look_whether_empty(self) -> None:
        if self._links:
            self._loop.call_later(_SETTLING, self._look_whether_empty)
        else:
            self._closed = True
            self._empty.set()

    async def drained(self) -> None:
        """Wait until no connection is open. Whoever calls sets the deadline, and ends it with `close`."""
        await self._empty.wait()

    def close(self) -> None:
        """Forget all connections, and tell the verdicts of what is broken off. The sockets close with the process."""
        self._closed = True
        for link in tuple(self._links):
            link.session.close()
        self._links.clear()
        self._empty.set()

    def _register(self) -> None:
        milter.set_connect_callback(self._guarded(self._connect, _CONTINUE))
        milter.set_helo_callback(self._guarded(self._helo, _NOREPLY))
        milter.set_envfrom_callback(self._guarded(self._mail, _CONTINUE))
        milter.set_envrcpt_callback(self._guarded(self._rcpt, _CONTINUE))
        milter.set_header_callback(self._guarded(self._header, _NOREPLY))
        milter.set_eoh_callback(self._guarded(self._end_of_header, _NOREPLY))
        milter.set_body_callback(self._guarded(self._body, _NOREPLY))
        milter.set_eom_callback(self._guarded(self._end_of_message, _CONTINUE))
        milter.set_abort_callback(self._guarded(self._abort, _CONTINUE))
        milter.set_close_callback(self._guarded(self._close, _CONTINUE))
        milter.set_exception_policy(_CONTINUE)
        milter.settimeout(int(self._idle))
        negotiate = self._guarded(self._negotiate, milter.REJECT)
        milter.register("earmark", data=lambda _context: _NOREPLY, negotiate=negotiate)
        sys.excepthook = self._report

    def _guarded(self, callback: Callable[..., int], otherwise: int) -> Callable[..., int]:
        """Return the callback with all its exceptions taken as faults of ours."""

        def guarded(context: Context, *arguments: Any) -> int:  # noqa: ANN401 - as the callback has them
            if not self._closed:
                try:
                    return callback(context, *arguments)
                except Exception as error:  # noqa: BLE001 - pymilter would answer 451
                    self._failed(context, error)
            return milter.TEMPFAIL if self._closed and otherwise == _CONTINUE else otherwise

        return guarded

    def _failed(self, context: Context, error: Exception) -> None:
        link = context.getpriv()
        if link is None:
            tell_fault(self.shared.log, "milter", error)
        else:
            link.tell(LibmilterSession.failed, error)

    def _report(self, kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        """Take what pymilter could make no text of: the name of CONNECT or HELO, or that of a header field."""
        link: Link | None = getattr(self._local, "link", None)
        if link is None or not isinstance(error, UnicodeDecodeError):
            self._report_otherwise(kind, error, trace)
        elif not link.connected:
            self._connect_bymacro_of(self._local.context, link, error)
        elif link.block is not NO_HEADER:
            link.block.add(error.object, b"")
            link.block.truncated = True  # its value is lost
        else:
            link.tell(LibmilterSession.helo, error.object)

    def _negotiate(self, context: Context, options: list[int]) -> int:
        terms = terms_for(options[0], options[1], reads_body=self.shared.engine.policies.reads_body)
        self.shared.tell_lack(terms)
        for stage, names in terms.macros.items():
            context.setsymlist(stage, (names if stage else names + _ADDRESS).decode())
        options[:] = terms.actions, terms.steps, 0, 0
        self._terms = terms
        self._link(context)
        return _CONTINUE

    def _link(self, context: Context) -> Link:
        link = Link(self._loop, self.shared, self._terms)
        context.setpriv(link)
        self._local.link, self._local.context = link, context
        self._links.add(link)
        return link

    def _connect(self, context: Context, _host: str, family: int, where: Any) -> int:  # noqa: ANN401 - by the family
        link = context.getpriv() or self._link(context)
        inet = family in {socket.AF_INET, socket.AF_INET6}
        client = Client(parse_address_text(where[0]), where[1]) if inet else Client("")
        self._connected(context, link, client)
        return _CONTINUE

    def _connect_bymacro_of(self, context: Context, link: Link, error: Exception) -> None:
        address = parse_address_text(decoded(macro_of(context, "{client_addr}")))
        if address:
            self._connected(context, link, Client(address))
        else:
            link.connected = True
            link.tell(LibmilterSession.stranger, error)

    def _connected(self, context: Context, link: Link, client: Client) -> None:
        link.connected = True
        macros = {name.strip("{}").encode(): macro_of(context, name) for name in _MACROS}
        told = {name: value for name, value in macros.items() if value}
        reverse = reverse_name(told, self.shared.engine.clock())
        link.tell(LibmilterSession.connect, client, reverse, domain_key(decoded(macros[b"j"], 255)))
        link.hand_over()

    def _helo(self, context: Context, name: str) -> int:
        _linked(context).tell(LibmilterSession.helo, name.encode())
        return _NOREPLY

    def _mail(self, context: Context, path: bytes, *_parameters: bytes) -> int:
        link = context.getpriv() or self._link(context)
        link.begin_transaction()
        user = user_of({name: macro_of(context, f"{{{name.decode()}}}") for name in (b"auth_authen", b"auth_type")})
        link.tell(LibmilterSession.mail, path, user, macro_of(context, "i"))
        link.hand_over()
        return _CONTINUE

    def _rcpt(self, context: Context, path: bytes, *_parameters: bytes) -> int:
        link = _linked(context)
        link.tell(LibmilterSession.rcpt, path)
        answer = link.ask(self.shared.engine.budget + _BACKSTOP)
        if answer and answer.put_off:
            return milter.TEMPFAIL
        return _refuse(context, answer.reply) if answer and answer.reply else _CONTINUE

    def _header(self, context: Context, name: str, value: bytes) -> int:
        link = _linked(context)
        link.block.add(name.encode(), value if link.terms.leading_space else b" " + value)
        return _NOREPLY

    def _end_of_header(self, context: Context) -> int:
        _linked(context).end_of_header()
        return _NOREPLY

    def _body(self, context: Context, chunk: bytes) -> int:
        link = _linked(context)
        link.body(chunk)
        return _CONTINUE if link.terms.steps & Steps.NO_BODY else _NOREPLY

    def _end_of_message(self, context: Context) -> int:
        link = _linked(context)
        link.end_of_header()
        link.tell(LibmilterSession.message_ended, macro_of(context, "i"))
        engine = self.shared.engine
        longest = engine.budget + engine.scan_budget + 2 * _BACKSTOP
        answer = link.ask(longest, partial(_is_there, context))
        block, link.block = link.block, NO_HEADER
        if answer is None:
            answer = Answer(edits=link.session.unjudged_edits(block))
        if answer.reply:
            return _refuse(context, answer.reply)
        if answer.discard or answer.put_off:
            return milter.DISCARD if answer.discard else milter.TEMPFAIL
        try:
            make_edits(context, link.terms, answer.edits)
        except milter.error:  # the MTA has gone; should it still listen, it puts the message off
            return milter.TEMPFAIL
        return _CONTINUE

    def _abort(self, context: Context) -> int:
        link = _linked(context)
        link.block = NO_HEADER
        link.tell(LibmilterSession.aborted, macro_of(context, "i"))
        link.hand_over()
        return _CONTINUE

    def _close(self, context: Context) -> int:
        link = context.getpriv()
        if link is not None:
            self._links.discard(link)
            link.tell(LibmilterSession.close)
            link.hand_over()
            context.setpriv(None)
        return _CONTINUE


def _linked(context: Context) -> Link:
    link = context.getpriv()
    if link is None:
        raise RuntimeError("a command before CONNECT")
    return link


def _is_there(context: Context) -> bool:
    """Tell the MTA that we are at work; return whether there is one. By TCP its going shows at the second time."""
    try:
        context.progress()
    except milter.error:
        return False
    return True


def _refuse(context: Context, reply: Reply) -> int:
    """Set a reply. libmilter formats its text, so `%` is doubled; it is printable ASCII and short, being a Reply."""
    context.setreply(str(reply.code), reply.enhanced, reply.text.replace("%", "%%"))
    return milter.REJECT if reply.code >= 500 else milter.TEMPFAIL


def _open_socket(family: int) -> int:
    """Have libmilter open a listening socket of this family, at a place that nobody is told; return its descriptor."""
    with ExitStack() as leaving:
        place = {socket.AF_INET: "inet:0@127.0.0.1", socket.AF_INET6: "inet6:0@::1"}.get(socket.AddressFamily(family))
        if place is None:
            directory = leaving.enter_context(TemporaryDirectory(prefix="earmark-"))
            place = f"unix:{Path(directory, 'libmilter')}"
        before = set(_listening())
        milter.setconn(place)
        milter.opensocket(False)
        (opened,) = set(_listening()) - before
        return opened


def _inode(descriptor: int) -> int:
    """Return which file or socket a descriptor is of; 0 where it is closed."""
    try:
        return os.fstat(descriptor).st_ino
    except OSError:
        return 0


def _listening() -> Iterator[int]:
    """Return the descriptors of this process that accept connections."""
    for entry in list(Path("/proc/self/fd").iterdir()):
        with suppress(OSError):  # closed meanwhile
            descriptor = int(entry.name)
            if not stat.S_ISSOCK(os.fstat(descriptor).st_mode):
                continue
            with socket.socket(fileno=os.dup(descriptor)) as probe:
                if probe.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                    yield descriptor
