"""One connection of the policy door as the engine sees it: requests in, answers out, no I/O.

Theory of operation

1. Each request is a session of its own with all that it tells: the one before it may have met another worker, or a
   process that has been replaced since. `instance`, by which Postfix says which requests are of one message, is not
   used.
2. At CONNECT, HELO and MAIL look-ups begin, so that their answers are in the cache when RCPT comes; the answer is given
   at once. RCPT waits (`waiting`) until the engine decides; the requests behind it wait too, so answers are in order.
3. A fault of the other end is a RemoteError. A fault of ours is logged with its traceback. Both end the connection
   without an answer: each MTA has been told by its administrator what to do then, and neither takes it for consent.
"""

from collections.abc import Callable, Iterator

from earmark.core.evidence import Stage
from earmark.core.mail import domain_key
from earmark.core.text import decoded
from earmark.core.verdict import Outcome
from earmark.engine import Engine, Session
from earmark.fronts.events import Events, tell_fault
from earmark.fronts.policy_terms import (
    POSTFIX,
    client_of,
    dialect_of,
    recipient_of,
    reverse_name_of,
    sender_of,
    stage_of,
    taken_before,
    user_of,
)
from earmark.wire import RemoteError
from earmark.wire.attributes import Attributes


class PolicySession:
    """A policy connection: takes requests in order, appends answers to `out`."""

    __slots__ = ("_dialect", "_engine", "_log", "_resume", "_session", "ended", "out", "waiting")

    def __init__(self, engine: Engine, log: Events, resume: Callable[[], None]) -> None:
        """Begin; `resume` is called when what was waited for has been answered."""
        self._engine = engine
        self._log = log
        self._resume = resume
        self._dialect = POSTFIX
        self._session: Session | None = None
        self.out: list[bytes] = []
        self.waiting = False
        """A recipient on whom the engine has yet to decide."""
        self.ended = False
        """The connection is to be closed."""

    @property
    def may_half_close(self) -> bool:
        """True where a client that has sent its request closes its side and goes on to read."""
        return self._dialect.one_request

    def take(self, requests: Iterator[Attributes]) -> None:
        """Take requests up to one that waits for the engine or ends the connection; `requests` keeps the others.

        Raises RemoteError where a request cannot be understood.
        """
        for request in requests:
            try:
                self._take(request)
            except RemoteError:
                raise
            except Exception as error:  # noqa: BLE001 - rule 3
                self.failed(error)
            if self.waiting or self.ended:
                return

    def _take(self, request: Attributes) -> None:
        self._dialect = dialect_of(request)
        stage = stage_of(request, self._dialect)
        if stage is Stage.RCPT:
            self.waiting = True
            session = self._begun(request, stage)
            for recipient in taken_before(request):
                session.took(recipient)
            session.rcpt(recipient_of(request), self._decided)
        else:
            if stage is not None:
                self._begun(request, stage).close()
            self._answer(self._dialect.go_on)

    def _begun(self, request: Attributes, stage: Stage) -> Session:
        """Return the session of a request, up to its stage; look-ups begin."""
        engine = self._engine
        session = self._session = engine.session(self.failed, ahead=stage is not Stage.RCPT)
        client, reverse = client_of(request), reverse_name_of(request, engine.clock())
        session.connect(client, reverse, domain_key(decoded(request.get(b"host", b""), 255)))
        helo = request.get(b"helo_name")
        if helo and stage >= Stage.HELO:
            session.helo(helo)
        if stage >= Stage.MAIL:
            session.mail(sender_of(request), user=user_of(request))
            session.queue_id = decoded(request.get(b"queue_id", b""), 100)
        return session

    def _decided(self, outcome: Outcome) -> None:
        session = self._session
        if not self.waiting or session is None:
            return
        self.waiting = False
        self._answer(self._dialect.answer(outcome, session.id))
        try:
            session.answered()
        except Exception as error:  # noqa: BLE001 - what is told of a verdict does not change it
            self._tell(error)
        self.close()
        self._resume()

    def _answer(self, answer: bytes) -> None:
        self.out.append(answer)
        self.ended = self._dialect.one_request

    def failed(self, error: Exception) -> None:
        """Log a fault of ours, and end the connection."""
        self._tell(error)
        waited, self.ended = self.waiting, True
        self.close()
        if waited:
            self._resume()

    def _tell(self, error: Exception) -> None:
        tell_fault(self._log, "policy", error, self._session.id if self._session else "")

    def close(self) -> None:
        """Wait no more."""
        self.waiting = False
        session, self._session = self._session, None
        if session is not None:
            session.close()
