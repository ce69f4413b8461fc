"""The content scanners: who is asked for, and by whom."""

from collections.abc import Iterator
from pathlib import Path

from earmark.config import Generation
from earmark.config.settings import ScannerSettings
from earmark.core.checks.content import Scanned
from earmark.service.bundle import worker_count
from earmark.service.doctor.clamd import diagnose_clamd
from earmark.service.doctor.diagnosis import Diagnosis, warns
from earmark.service.doctor.quarantine import diagnose_quarantine
from earmark.service.doctor.spamd import diagnose_spamd

_NAMED_AT_MOST = 3
"""Policies that are named in one line."""


def diagnose_scanners(state: Path, generation: Generation) -> Iterator[Diagnosis]:
    """Ask the scanners of server.toml, look at the quarantine, and say which scanner is wanted and not there."""
    server, policies = generation.server, generation.policies.all
    viruses = [policy for policy in policies if policy.content.clamav is not Scanned.OFF]
    spam = [policy for policy in policies if policy.content.spamassassin is not Scanned.OFF]
    if viruses and not server.clamd.endpoints:
        yield _missing("clamav", "[clamd]", [policy.name for policy in viruses])
    if spam and not server.spamd.endpoints:
        yield _missing("spamassassin", "[spamd]", [policy.name for policy in spam])
    largest = max((1000 * policy.content.virus_at_most for policy in viruses), default=0)
    for section, settings in (("clamd", server.clamd), ("spamd", server.spamd)):
        yield from diagnose_share(section, settings, worker_count(server))
    yield from diagnose_clamd(server.clamd, largest, server.user)
    yield from diagnose_spamd(server.spamd)
    yield from diagnose_quarantine(state, generation)


def diagnose_share(section: str, settings: ScannerSettings, workers: int) -> Iterator[Diagnosis]:
    """Say where `at_once` of `[clamd]` or `[spamd]` does not hold, since each worker scans at least one message."""
    if settings.endpoints and workers > settings.at_once:
        seen = f"at_once = {settings.at_once}, and each of {workers} workers has one message scanned: {workers} at once"
        mend = f"set [{section}] at_once = {workers} and give {section} more threads or children, or set fewer workers"
        yield warns(f"share of {section}", seen, mend)


def _missing(scanner: str, section: str, names: list[str]) -> Diagnosis:
    named = ", ".join(names[:_NAMED_AT_MOST]) + (" and others" if len(names) > _NAMED_AT_MOST else "")
    seen = f"wanted by the policy of {named}, and {section} names no endpoint: no mail is scanned"
    return warns(
        f"scanner {scanner}", seen, f'name its endpoints in server.toml, or set {scanner} = "off" in [content]'
    )
