"""What a request of the content door means to the engine."""

from earmark.core.evidence import Fact
from earmark.core.mail import Client, parse_address_text, parse_path
from earmark.core.recipients import JUNK, Means
from earmark.core.text import decoded
from earmark.fronts.reverse_name import reverse_fact
from earmark.wire import RemoteError
from earmark.wire.exim_message import Stamp
from earmark.wire.rspamc import Request

RECIPIENT_LINES_AT_MOST = 4000
"""Bytes of a report that tell what single recipients meet; room that is always there."""
_LINE = len(f"rcpt999=readdress +{JUNK} \n")
"""What a line needs besides the address, which it may have twice; it is enough for a code and an enhanced code, too."""
_AUTHENTICATED = frozenset((b"esmtpa", b"esmtpsa", b"utf8esmtpa", b"utf8esmtpsa"))
"""Protocols (RFC 3848, RFC 6531) whose client has authenticated; the last two as Exim writes them."""


def client_of(request: Request) -> Client:
    """Return the client; without an address where a local program handed the message in. Raises RemoteError."""
    address = parse_address_text(request.address.decode("latin-1"))
    if request.address and not address:
        raise RemoteError(f"a bad IP {request.address[:60]!r}")
    return Client(address)


def reverse_name_of(request: Request, at: float) -> Fact | None:
    """Return what Exim knows of the client's reverse name; None where it does not say, so that we ask.

    It says nothing of a name that is not there, that does not lead back, or that it could not look up.
    """
    return reverse_fact(b"OK" if request.hostname else None, request.hostname, b"", at)


def user_of(request: Request, stamp: Stamp) -> str:
    """Return who authenticated; "" for nobody. An authenticator may prove somebody without naming him."""
    return decoded(request.user or (stamp.protocol if stamp.protocol in _AUTHENTICATED else b""))


def paths_of(request: Request) -> dict[str, bytes]:
    """Return the recipients as Exim gave them, by their text; b"" for a text that two of them have.

    Texts are cut and escaped, so two addresses may have the same: then neither must be taken for the other.
    """
    paths: dict[str, bytes] = {}
    for path in request.recipients:
        text = parse_path(path).text
        paths[text] = path if paths.get(text, path) == path else b""
    return paths


def means_of(request: Request, stamp: Stamp, *, apart: bool) -> Means:
    """Return what Exim can do with this message: single recipients are told apart as far as the report has room.

    An address with control characters would not come back as it is, and so would match nobody. `apart`: no two have the
    same text.
    """
    told = sum(_LINE + 2 * len(recipient) for recipient in request.recipients)
    plain = all(min(recipient, default=0x20) >= 0x20 and 0x7F not in recipient for recipient in request.recipients)
    each = plain and apart and told <= RECIPIENT_LINES_AT_MOST
    return Means(readdress=each, hold=True, answer_each=each and stamp.prdr)
