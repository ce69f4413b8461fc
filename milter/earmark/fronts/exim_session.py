"""One message of the content door as the engine sees it: a request in, an answer out, no I/O.

Theory of operation

1. All that SMTP has shown is in the request and in the header: when both are here, CONNECT, HELO, MAIL, each RCPT and
   the header are told to the engine at once. While it decides on the recipients, the body is held back (`held_back`);
   then it is told as it comes.
2. The recipients have been taken at RCPT, through the policy door or without asking us: what is found of them now can
   only mark, and nothing that counts or waits is asked or written again.
3. A fault of Exim's is a RemoteError. A fault of ours is logged with its traceback. Both end the connection without an
   answer: the `spam` condition defers then, unless its ACL says `/defer_ok`.
"""

from collections.abc import Callable, Iterator

from earmark.core.mail import domain_key, parse_path
from earmark.core.text import decoded
from earmark.core.verdict import Outcome, Verdict
from earmark.engine import Engine, Session
from earmark.fronts.events import Events, tell_fault
from earmark.fronts.exim_report import About, encode_verdict
from earmark.fronts.exim_terms import client_of, means_of, paths_of, reverse_name_of, user_of
from earmark.fronts.milter_header import HeaderBlock
from earmark.wire import RemoteError
from earmark.wire.exim_message import MessageReader
from earmark.wire.rspamc import Request, Splitter


class EximSession:
    """A connection's one message: takes bytes, and has the answer in the end."""

    __slots__ = (
        "_asking",
        "_body",
        "_engine",
        "_header_block",
        "_log",
        "_looping",
        "_message",
        "_paths",
        "_recipients",
        "_resume",
        "_session",
        "_splitter",
        "_wants_body",
        "answer",
        "ended",
        "held_back",
    )

    def __init__(self, engine: Engine, log: Events, resume: Callable[[], None]) -> None:
        """Begin; `resume` is called when what was waited for has been decided."""
        self._engine = engine
        self._log = log
        self._resume = resume
        self._splitter = Splitter()
        self._message: MessageReader | None = None
        self._session: Session | None = None
        self._header_block = HeaderBlock()
        self._recipients: Iterator[bytes] = iter(())
        self._paths: dict[str, bytes] = {}
        """The recipients as Exim gave them, by their text; b"" for a text that two have."""
        self._asking = self._looping = False
        self._body: list[bytes] = []
        """What has come of the body while the recipients were decided on."""
        self._wants_body = False
        self.held_back = False
        """No more of the message is to be read for now."""
        self.answer = b""
        """The answer, once there is one."""
        self.ended = False
        """The connection is to be closed."""

    @property
    def begun(self) -> bool:
        """True when a request has begun to come."""
        return self._splitter.begun

    @property
    def whole(self) -> bool:
        """True when the message is here: now we are waited for."""
        return self._splitter.whole

    def take(self, data: bytes) -> None:
        """Take what Exim sent. Raises RemoteError where it breaks the protocol."""
        try:
            self._take(data)
        except RemoteError:
            raise
        except Exception as error:  # noqa: BLE001 - rule 3
            self.failed(error)

    def _take(self, data: bytes) -> None:
        piece = self._splitter.feed(data)
        request = self._splitter.request
        if request is None:
            return
        if self._message is None:
            self._message = MessageReader(request.sender, request.queue_id)
        body = self._message.feed(piece)
        if self._splitter.whole:
            body += self._message.finish()
        if self._message.fields is None:
            return
        self._body.append(body)
        if self._session is None:
            self._begin(request, self._message)
        elif not self.held_back:
            self._take_body()

    def _begin(self, request: Request, message: MessageReader) -> None:
        """Tell the engine all up to the recipients, and decide on these."""
        engine = self._engine
        session = self._session = engine.session(self.failed, taken=True)
        self._paths = paths_of(request)
        session.means = means_of(request, message.stamp, apart=all(self._paths.values()))
        host = domain_key(decoded(message.stamp.host, 255))
        session.connect(client_of(request), reverse_name_of(request, engine.clock()), host)
        if request.helo:
            session.helo(request.helo)
        session.mail(parse_path(request.sender), user=user_of(request, message.stamp))
        session.queue_id = decoded(request.queue_id, 100)
        for name, value in message.fields or ():
            self._header_block.add(name, value)
        self._recipients = iter(request.recipients)
        self.held_back = True
        self._decide_on_recipients(session)

    def _decide_on_recipients(self, session: Session) -> None:
        """Decide on one after the other. The engine may do so at once: then the loop goes on by itself."""

        def decided(_outcome: Outcome) -> None:
            self._asking = False
            if not self._looping:
                self._decide_on_recipients(session)

        self._looping = True
        for path in self._recipients:
            self._asking = True
            session.rcpt(parse_path(path), decided)
            if self._asking:
                break
        self._looping = False
        if not self._asking:
            self._tell_header(session)

    def _tell_header(self, session: Session) -> None:
        block = self._header_block
        self._wants_body = session.header(block.fields, truncated=block.truncated)
        self.held_back = False
        self._take_body()
        self._resume()

    def _take_body(self) -> None:
        session, body = self._session, self._body
        if session is None:
            return
        if self._wants_body:
            for piece in filter(None, body):
                session.body(piece)
        body.clear()
        if self.whole:
            verdict_id = session.id
            session.end_of_message(lambda verdict: self._decided(session, verdict, verdict_id))

    def _decided(self, session: Session, verdict: Verdict, verdict_id: str) -> None:
        about = About(self._header_block.fields, self._paths, session.means.answer_each, verdict_id)
        self.answer = encode_verdict(verdict, session.ended, about)
        self.ended = True
        self._resume()

    def failed(self, error: Exception) -> None:
        """Log a fault of ours, and end the connection."""
        tell_fault(self._log, "exim", error, self._session.id if self._session else "")
        self.answer = b""
        self.ended = True
        self.close()
        self._resume()

    def close(self) -> None:
        """Wait no more."""
        session, self._session = self._session, None
        if session is not None:
            try:
                session.close()
            except Exception as error:  # noqa: BLE001 - what is told of a verdict does not change it
                tell_fault(self._log, "exim", error)
