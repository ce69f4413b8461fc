"""What all sessions of a worker share: one generation of policies, the world, and where verdicts are told."""

import time
from base64 import b32encode
from collections.abc import Callable
from dataclasses import dataclass, field
from os import urandom

from earmark.core.policy import PolicySet
from earmark.core.record import Judged
from earmark.engine.needs import Answers
from earmark.engine.session import Session
from earmark.engine.shadow import Shadow

# Crockford's base 32: nothing to confuse when it is read out on the phone.
_TO_CROCKFORD = bytes.maketrans(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", b"0123456789ABCDEFGHJKMNPQRSTVWXYZ")


def new_verdict_id() -> str:
    """Return 12 random base-32 digits: short enough to quote, long enough not to meet another."""
    return b32encode(urandom(8))[:12].translate(_TO_CROCKFORD).decode("ascii")


@dataclass(frozen=True, slots=True)
class Engine:
    """Makes the sessions."""

    policies: PolicySet
    world: Answers
    generation: str
    tell: Callable[[Judged], None]
    budget: float = 6.0
    """Seconds that RCPT and end of message each may wait for answers; well under half of the MTA's own limit."""
    scan_budget: float = 60.0
    """Seconds that the content scanners may take at the end of a message."""
    clock: Callable[[], float] = time.time
    new_id: Callable[[], str] = new_verdict_id
    shadow: PolicySet | None = None
    """A second set of policies, which judges the same and changes nothing."""
    shadow_generation: str = ""
    _shadows: set[Shadow] = field(default_factory=set, init=False)
    """Those that still wait for what only they ask."""

    def session(
        self, fault: Callable[[Exception], None] | None = None, *, taken: bool = False, ahead: bool = True
    ) -> Session:
        """Return the session for a new connection.

        `fault` takes an exception of ours that came up when an answer arrived, or at the deadline; what was waited for
        is then not decided. Without it such an exception goes to whoever delivered the answer. `taken` and `ahead`: as
        in Session.
        """
        return Session(self, fault, taken=taken, ahead=ahead)

    def finish(self, judged: Judged) -> None:
        """Tell what was judged: at once, or when the shadow has judged it too."""
        if self.shadow is None:
            self.tell(judged)
            return
        shadow = Shadow(judged, self.shadow, self.shadow_generation, self._shadow_judged)
        self._shadows.add(shadow)
        shadow.judge(self.world, self.budget)

    def _shadow_judged(self, shadow: Shadow, judged: Judged) -> None:
        self._shadows.discard(shadow)
        self.tell(judged)

    def flush(self) -> None:
        """Tell what still waits for the shadow's answers, as things stand."""
        for shadow in list(self._shadows):
            shadow.give_up()
