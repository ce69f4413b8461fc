"""The quarantine: can messages be held there, and can what is released go back to the MTA?"""

import os
import smtplib
import stat
from collections.abc import Iterator
from pathlib import Path

from earmark.clients.limits import Endpoint
from earmark.config import Generation
from earmark.core.checks.content import HeldBy
from earmark.core.policy import Policy
from earmark.service.doctor.access import find_account
from earmark.service.doctor.diagnosis import Diagnosis, fails, passes, unknown, warns
from earmark.service.negotiation import why_not
from earmark.stores.quarantine import DIRECTORY

_MEGABYTE = 1_000_000


def diagnose_quarantine(state: Path, generation: Generation) -> Iterator[Diagnosis]:
    """Look at the quarantine, and at the way out of it, where some policy may have us hold a message."""
    holding = [policy for policy in generation.policies.all if _holds(policy, generation)]
    directory = state / DIRECTORY
    if not holding and not directory.exists():
        return
    yield diagnose_directory(directory, generation.server.user)
    place = directory if directory.exists() else state
    if holding and place.exists():
        megabytes = max(policy.content.quarantine_megabytes for policy in holding)
        yield diagnose_space(place, _free(place), megabytes)
    yield diagnose_submission(generation.server.quarantine.submission)


def _holds(policy: Policy, generation: Generation) -> bool:
    return policy.content.quarantine is HeldBy.EARMARK and policy.may_hold(generation.policies.site)


def diagnose_directory(directory: Path, user: str) -> Diagnosis:
    """Say whether the directory is the account's alone. `user` is "" where none is configured."""
    check = f"quarantine {directory}"
    try:
        status = directory.stat()
    except FileNotFoundError:
        return passes(check, "nothing is held there yet")
    except OSError as error:
        return unknown(check, error.strerror or str(error), "run earmark doctor as root")
    account = find_account(user)
    if account and status.st_uid != account.uid:
        return fails(check, f"it does not belong to {user}: nothing can be held", f"chown -R {user} {directory}")
    mode = stat.S_IMODE(status.st_mode)
    if mode & stat.S_IRWXO:
        return fails(check, f"its mode is {mode:04o}: others can reach mail that is held", f"chmod 0700 {directory}")
    return passes(check, f"mode {mode:04o}")


def _free(directory: Path) -> int:
    """Return the bytes that an account other than root can still write there."""
    found = os.statvfs(directory)
    return found.f_bavail * found.f_frsize


def diagnose_space(directory: Path, free: int, megabytes: int) -> Diagnosis:
    """Compare the free bytes with what one domain may have held: when they are used up, its mail is put off (451)."""
    check = f"space of the quarantine in {directory}"
    seen = f"{free // _MEGABYTE} megabytes are free, and one domain may have {megabytes} held"
    if free < megabytes * _MEGABYTE:
        return warns(check, seen, "make room, or set a smaller quarantine_megabytes in [content]")
    return passes(check, seen)


def diagnose_submission(place: str, patience: float = 5.0) -> Diagnosis:
    """Say whether the MTA at `[quarantine] submission` takes a message as it was. Nothing is sent.

    `patience` is in seconds, for each reply.
    """
    check = f"submission {place}"
    endpoint = Endpoint.parse(place)
    smtp = smtplib.SMTP(timeout=patience, local_hostname="localhost")  # else it asks the DNS for our name
    try:
        code, said = smtp.connect(endpoint.host, endpoint.port or 0)
        if code != 220:
            words = said.decode("ascii", "backslashreplace")
            return _closed(check, f"{code} {words}")
        smtp.ehlo()
        if not smtp.has_extn("8bitmime"):
            mend = "let it offer 8BITMIME, as Postfix does unless smtpd_discard_ehlo_keywords forbids it"
            return warns(check, "it does not offer 8BITMIME: what is released may be changed on its way", mend)
    except (OSError, smtplib.SMTPException) as error:
        return _closed(check, why_not(error))
    finally:
        smtp.close()
    return passes(check, "220, with 8BITMIME")


def _closed(check: str, seen: str) -> Diagnosis:
    mend = "start the MTA there, or correct [quarantine] submission: until then nothing that is held can be released"
    return warns(check, seen, mend)
