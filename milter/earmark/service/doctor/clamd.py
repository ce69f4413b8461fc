"""ClamAV's clamd: does it answer, how old are its signatures, how many threads has it, and what are its limits?"""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

from earmark.clients.clamd_health import ClamdHealth, ask_health
from earmark.clients.limits import Endpoint
from earmark.config.settings import ScannerSettings
from earmark.service.doctor.access import WRITE, find_account, obstacle
from earmark.service.doctor.clamd_limits import Limits, try_limits
from earmark.service.doctor.diagnosis import Diagnosis, fails, passes, unknown, warns
from earmark.service.negotiation import why_not
from earmark.service.scanner_board import SIGNATURES_OLD, days_since
from earmark.wire import RemoteError

_MEBIBYTE = 1 << 20


def diagnose_clamd(settings: ScannerSettings, largest: int, user: str) -> Iterator[Diagnosis]:
    """Ask each endpoint of `[clamd]`. To be called outside of any event loop.

    `largest` is the size in bytes that some policy has scanned, 0 for none; `user` our account, "" where none is known.
    """
    for place in settings.endpoints:
        endpoint = Endpoint.parse(place)
        check = f"clamd {place}"
        try:
            health = ask_health(endpoint)
        except PermissionError:
            yield unknown(check, "we may not connect", "run earmark doctor as root")
            continue
        except (OSError, RemoteError) as error:
            mend = "systemctl start clamav-daemon, or correct [clamd] endpoints; without signatures it does not start"
            yield fails(check, why_not(error), mend)
            continue
        yield passes(check, f"it answers PING: {health.program}")
        yield from _admits(place, endpoint, user)
        yield diagnose_signatures(f"signatures of clamd {place}", health.issued, time.time())
        yield diagnose_threads(f"threads of clamd {place}", health, settings.at_once)
        if largest:
            yield from _limits(place, endpoint, largest)


def _admits(place: str, endpoint: Endpoint, user: str) -> Iterator[Diagnosis]:
    """Say whether the service's account may open a unix socket. What systemd adds to its groups is not seen."""
    account = find_account(user)
    if endpoint.port is not None or account is None:
        return
    check = f"access of {user} to {place}"
    try:
        closed = obstacle(Path(endpoint.host), account, WRITE)
    except OSError as error:
        yield unknown(check, f"{error.filename}: {error.strerror}", "run earmark doctor as root")
        return
    if closed:
        mend = f"make {user} a member of the group of {closed}, and restart earmark"
        yield fails(check, f"the mode of {closed} keeps {user} out", mend)
    else:
        yield passes(check, f"{user} may connect")


def diagnose_signatures(check: str, issued: str, now: float) -> Diagnosis:
    """Judge the day of ClamAV's own signatures, such as "2026-11-18"; "" for none. `now` is in seconds."""
    mend = "look at freshclam: systemctl status clamav-freshclam"
    age = days_since(issued, now)
    if age is None:
        return warns(check, "it has none of ClamAV's own, or does not tell their age", mend)
    seen = f"of {issued}, {age} days old"
    return warns(check, seen, mend) if age > SIGNATURES_OLD else passes(check, seen)


def diagnose_threads(check: str, health: ClamdHealth, at_once: int) -> Diagnosis:
    """Compare its threads with what all our workers together have it scan at once."""
    if not health.threads:
        mend = f"compare its MaxThreads with [clamd] at_once = {at_once}"
        return unknown(check, "its answer to STATS does not tell them", mend)
    seen = f"{health.threads} at most, {health.queue} messages in its queue; at_once = {at_once}"
    if at_once >= health.threads:
        mend = "set MaxThreads in clamd.conf above [clamd] at_once, or at_once below it"
        return warns(check, f"{seen}: under load nobody else is served, and messages wait there unseen", mend)
    return passes(check, seen)


def _limits(place: str, endpoint: Endpoint, largest: int) -> Iterator[Diagnosis]:
    try:
        limits = asyncio.run(try_limits(endpoint, largest))
    except (OSError, RemoteError) as error:
        mend = "run earmark doctor again, and look into clamd's log"
        yield unknown(f"limits of clamd {place}", why_not(error), mend)
        return
    yield diagnose_size(f"size limit of clamd {place}", largest, takes=limits.takes)
    yield diagnose_silence(f"other limits of clamd {place}", limits)


def diagnose_size(check: str, largest: int, *, takes: bool) -> Diagnosis:
    """Say what becomes of a message of `largest` bytes."""
    if takes:
        return passes(check, f"it takes the {largest} bytes that virus_at_most allows")
    seen = f"StreamMaxLength is below the {largest} bytes that virus_at_most allows: such mail is unscanned"
    mend = f"set StreamMaxLength {-(-largest // _MEBIBYTE)}M or more in clamd.conf, or a smaller virus_at_most"
    return fails(check, seen, mend)


def diagnose_silence(check: str, limits: Limits) -> Diagnosis:
    """Say what becomes of what clamd does not look into."""
    if not limits.tells:
        seen = "it says OK of what it has not looked at, such as archives nested too deep: a virus passes there"
        return fails(check, seen, "set AlertExceedsMax yes in clamd.conf, and restart clamd")
    if not limits.tells_of_large:
        seen = "it says OK of a file of 110 megabytes in an archive: unless it looks at that much, a virus passes there"
        return warns(check, seen, "set MaxFileSize and MaxScanSize in clamd.conf to the same size, and restart clamd")
    return passes(check, "it says where it has not looked")
