"""The two dialects of the policy door: what a request's attributes mean, and how an answer is put.

Postfix's own (`request=smtpd_access_policy`, SMTPD_POLICY_README) and ours for Exim's ${readsocket}
(`request=earmark`), which has the same attributes and some more, and answers that cannot be mistaken when cut short.
"""

from collections.abc import Callable
from typing import NamedTuple

from earmark.core.evidence import Fact, Stage
from earmark.core.mail import Address, Client, parse_address_text, parse_path
from earmark.core.text import decoded
from earmark.core.verdict import Outcome, Reply
from earmark.fronts.reverse_name import reverse_fact
from earmark.wire import RemoteError
from earmark.wire.attributes import DUNNO, Attributes, encode_refusal, encode_report, split_mailboxes

_STAGES = {
    b"CONNECT": Stage.CONNECT,
    b"HELO": Stage.HELO,
    b"EHLO": Stage.HELO,
    b"MAIL": Stage.MAIL,
    b"RCPT": Stage.RCPT,
}
_UNKNOWN = (b"", b"unknown")
"""How the MTA writes a name or an address that it does not have."""


class Dialect(NamedTuple):
    """What differs between the two."""

    go_on: bytes
    """The answer where nothing is decided."""
    answer: Callable[[Outcome, str], bytes]
    """The answer to a recipient, with the verdict's id."""
    one_request: bool
    """Each connection brings one request, after which the client may close its side."""
    any_state: bool
    """Requests come in states that we have nothing to do with."""


def _to_postfix(outcome: Outcome, _verdict_id: str) -> bytes:
    return encode_refusal(str(outcome.reply)) if outcome.reply else DUNNO


def _to_exim(outcome: Outcome, verdict_id: str) -> bytes:
    return _report(outcome.action.word, outcome.reply, verdict_id)


def _report(action: str, reply: Reply | None = None, verdict_id: str = "") -> bytes:
    code, text = (str(reply.code), str(reply)) if reply else ("", "")
    return encode_report((("action", action), ("code", code), ("reply", text), ("id", verdict_id)))


POSTFIX = Dialect(DUNNO, _to_postfix, one_request=False, any_state=True)
EXIM = Dialect(_report("accept"), _to_exim, one_request=True, any_state=False)
_DIALECTS = {b"smtpd_access_policy": POSTFIX, b"earmark": EXIM}


def dialect_of(request: Attributes) -> Dialect:
    """Return the dialect that a request is in. Raises RemoteError for one of another protocol."""
    dialect = _DIALECTS.get(request.get(b"request", b""))
    if dialect is None:
        raise RemoteError("neither request=smtpd_access_policy nor request=earmark")
    return dialect


def stage_of(request: Attributes, dialect: Dialect) -> Stage | None:
    """Return the stage that a request is about; None where it is one at which nothing is decided.

    Raises RemoteError where our own dialect names another: an ACL with a slip of the pen must not pass all mail.
    """
    state = request.get(b"protocol_state", b"")
    stage = _STAGES.get(state)
    if stage is None and not dialect.any_state:
        raise RemoteError(f"unknown protocol_state {state[:40]!r}")
    return stage


def client_of(request: Attributes) -> Client:
    """Return the client; without an address where the MTA has none. Raises RemoteError where it does not say."""
    told = _needed(request, b"client_address")
    address = parse_address_text(told.decode("latin-1"))
    if not address and told not in _UNKNOWN:
        raise RemoteError(f"a bad client_address {told[:60]!r}")
    port = request.get(b"client_port", b"")
    return Client(address, int(port) if port.isdigit() and len(port) <= 5 else 0)


def reverse_name_of(request: Attributes, at: float) -> Fact | None:
    """Return what the MTA knows of the client's reverse name; None where it cannot be told, so that we ask.

    Postfix says "unknown" for a name that is not there, one that does not lead back, and one that it could not look up.
    """
    name = request.get(b"client_name", b"")
    state = request.get(b"reverse_state") or (None if name in _UNKNOWN else b"OK")
    return reverse_fact(state, name, request.get(b"reverse_client_name", b""), at)


def user_of(request: Attributes) -> str:
    """Return who authenticated; "" for nobody. A mechanism may prove somebody without naming him."""
    return decoded(request.get(b"sasl_username") or request.get(b"sasl_method", b""))


def sender_of(request: Attributes) -> Address:
    """Return the reverse-path. Raises RemoteError where there is no such attribute; an empty one is the null sender."""
    return parse_path(_needed(request, b"sender"))


def recipient_of(request: Attributes) -> Address:
    """Return the forward-path. Raises RemoteError where there is none."""
    path = _needed(request, b"recipient")
    if not path:
        raise RemoteError("an empty recipient at RCPT")
    return parse_path(path)


def taken_before(request: Attributes) -> list[Address]:
    """Return the recipients that the MTA has accepted before, as far as it tells."""
    return [parse_path(mailbox) for mailbox in split_mailboxes(request.get(b"recipients", b""))]


def _needed(request: Attributes, name: bytes) -> bytes:
    try:
        return request[name]
    except KeyError:
        raise RemoteError(f"no attribute {name.decode()}") from None
