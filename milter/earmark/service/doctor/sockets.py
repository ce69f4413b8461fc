"""The sockets of [milter] listen: does a milter answer there, and may Postfix in?"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from earmark.service.doctor.access import WRITE, find_account, obstacle
from earmark.service.doctor.diagnosis import Diagnosis, fails, passes, unknown
from earmark.service.negotiation import negotiate, why_not
from earmark.wire import RemoteError

_PATIENCE = 3.0
"""Seconds for one negotiation."""


def diagnose_sockets(listen: Sequence[str], mail_owner: str) -> Iterator[Diagnosis]:
    """Negotiate at each socket. `mail_owner` is the account that Postfix runs as; "" where that is not known."""
    for spec in listen:
        check = f"socket {spec}"
        try:
            yield passes(check, negotiate(spec, _PATIENCE))
        except PermissionError as error:
            yield unknown(check, why_not(error), "run earmark doctor as root")
        except (OSError, RemoteError) as error:
            yield fails(check, why_not(error), "start the service; if it runs, look into its log")
        if spec.startswith("unix:") and mail_owner:
            yield from _admits(spec, mail_owner)


def _admits(spec: str, mail_owner: str) -> Iterator[Diagnosis]:
    check = f"access of Postfix to {spec}"
    account = find_account(mail_owner)
    if account is None:
        yield fails(check, f"mail_owner = {mail_owner}: there is no such account", "set mail_owner in main.cf")
        return
    try:
        closed = obstacle(Path(spec.removeprefix("unix:")), account, WRITE)
    except FileNotFoundError:
        return  # that nobody answers there has been said
    except OSError as error:
        yield unknown(check, f"{error.filename}: {error.strerror}", "run earmark doctor as root")
        return
    if closed:
        mend = f"make {mail_owner} a member of the group of {closed}, and restart Postfix; see [milter] socket_mode"
        yield fails(check, f"the mode of {closed} keeps {mail_owner} out", mend)
    else:
        yield passes(check, f"{mail_owner} may connect")
