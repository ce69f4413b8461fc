"""SpamAssassin's spamd: does it answer, and does it report in our form and see our client where it is?"""

import asyncio
import time
from collections.abc import Iterator

from earmark.clients.limits import Endpoint
from earmark.config.settings import ScannerSettings
from earmark.core.mail import Address, Client, Envelope, Site
from earmark.core.own_received import own_received
from earmark.service.doctor.diagnosis import Diagnosis, fails, passes, unknown
from earmark.service.exchange import exchange
from earmark.service.negotiation import why_not
from earmark.wire import RemoteError, spamd

_PONG_WITHIN = 5.0
_REPORT_WITHIN = 20.0
"""Seconds; SpamAssassin's own look-ups may take fifteen."""
_CLIENT = "203.0.113.77"
"""Nobody's address (RFC 5737)."""
_MESSAGE = (
    b"From: earmark doctor <doctor@example.org>\r\nTo: <postmaster@example.org>\r\n"
    b"Subject: is this seen as it came?\r\nMessage-ID: <doctor@example.org>\r\n\r\nNothing is delivered.\r\n"
)
_NO_FORM = "copy deploy/spamassassin/earmark.cf into /etc/spamassassin/, and restart spamd (docs/spamassassin.md)"


def diagnose_spamd(settings: ScannerSettings) -> Iterator[Diagnosis]:
    """Ask each endpoint of `[spamd]`. To be called outside of any event loop."""
    for place in settings.endpoints:
        check = f"spamd {place}"
        endpoint = Endpoint.parse(place)
        try:
            spamd.decode_pong(_said(endpoint, spamd.PING, _PONG_WITHIN))
        except PermissionError:
            yield unknown(check, "we may not connect", "run earmark doctor as root")
            continue
        except (OSError, RemoteError) as error:
            yield fails(
                check, why_not(error), "systemctl start spamd, or correct [spamd] endpoints; it has its own log"
            )
            continue
        yield passes(check, "it answers PING")
        yield _report(f"report of spamd {place}", endpoint)
        mend = f"compare its --max-children with [spamd] at_once = {settings.at_once}: what is more waits there unseen"
        yield unknown(f"children of spamd {place}", "spamd does not tell how many it has", mend)


def _report(check: str, endpoint: Endpoint) -> Diagnosis:
    """Have a message scanned that nobody sent, and say what its report lacks."""
    try:
        report = spamd.decode_report(_said(endpoint, _request(), _REPORT_WITHIN))
    except TimeoutError:
        return fails(check, f"no answer within {_REPORT_WITHIN:g} s", "look into its log; its own look-ups may hang")
    except OSError as error:
        return fails(check, why_not(error), "look into its log")
    except RemoteError as error:
        return fails(check, f"{error}: what it says counts as unknown", _NO_FORM)
    if report.last_external != _CLIENT:
        seen = f"it takes {report.last_external or 'nobody'} for the client, not {_CLIENT}: its scores refuse nothing"
        return fails(check, seen, "name your own hosts, and no others, in its internal_networks and trusted_networks")
    return passes(check, "in our form, and it sees the client where it is")


def _request() -> bytes:
    sender = Address("doctor@example.org", "doctor", "example.org")
    envelope = Envelope(
        Client(_CLIENT), Site(), helo="mail.example.org", sender=sender, at=time.time(), authserv_id="mx.example.org"
    )
    message = own_received(envelope, "mail.example.org", "doctor") + _MESSAGE
    return spamd.encode_report(len(message), "") + message


def _said(endpoint: Endpoint, request: bytes, within: float) -> bytes:
    return asyncio.run(exchange(endpoint, request, within=within, at_most=spamd.REPLY_AT_MOST, half_close=True))
