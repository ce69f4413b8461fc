"""The content scanners: who is asked for, and by whom."""

from collections.abc import Iterator
from pathlib import Path

from earmark.config import Generation
from earmark.core.checks.content import Scanned
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
    yield from diagnose_clamd(server.clamd, largest, server.user)
    yield from diagnose_spamd(server.spamd)
    yield from diagnose_quarantine(state, generation)


def _missing(scanner: str, section: str, names: list[str]) -> Diagnosis:
    named = ", ".join(names[:_NAMED_AT_MOST]) + (" and others" if len(names) > _NAMED_AT_MOST else "")
    seen = f"wanted by the policy of {named}, and {section} names no endpoint: no mail is scanned"
    return warns(
        f"scanner {scanner}", seen, f'name its endpoints in server.toml, or set {scanner} = "off" in [content]'
    )
