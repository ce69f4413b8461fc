"""What Postfix's settings mean for us. Nothing here reads anything: settings in, diagnoses out.

The settings that we recommend, with their reasons, are in deploy/postfix/main.cf.earmark.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from earmark.service.doctor.diagnosis import Diagnosis, fails, passes, unknown, warns
from earmark.service.doctor.milters import Milter, leads_to, misspelt, read_milters
from earmark.service.doctor.policy_service import ask_us, diagnose_policy_service
from earmark.service.doctor.postconf import Postfix, Server, read_seconds

_MARGIN = 2
"""Postfix must have at least so many times our budget: its clock runs from before we read to after we answer."""
_STRICT_ENDS = ("normalize", "yes", "reject", "note")
_MEND_NEWLINE = "set smtpd_forbid_bare_newline = normalize in main.cf"


class _Budget(NamedTuple):
    """How long we wait."""

    name: str
    """In server.toml."""
    seconds: float
    awaited: str


class Wired(NamedTuple):
    """Servers of Postfix with the same settings, and which of their milters is us."""

    names: str
    server: Server
    ours: Milter | None


class Needs(NamedTuple):
    """What Postfix must fit."""

    listen: Sequence[str]
    """As in [milter]."""
    budget: float
    """Seconds, as in server.toml."""
    scan_budget: float = 0.0
    """Likewise; 0 where there is no scanner."""
    readdresses: bool = False
    """Some policy has mixed_marks = "detail"."""
    policy: Sequence[str] = ()
    """As in [policy] listen."""


def diagnose_postfix(postfix: Postfix, needs: Needs) -> Iterator[Diagnosis]:
    """Say how Postfix and we are put together."""
    listen = needs.listen
    wired = [_wired(names, server, listen) for names, server in _groups(postfix.servers)]
    if not wired:
        yield unknown("postfix", "master.cf has no smtpd", "run earmark doctor where mail comes in")
    somewhere = any(each.ours for each in wired)
    for each in wired:
        if each.ours or not ask_us(each.server, needs.policy):
            yield from _wiring(each, listen, somewhere=somewhere)
        yield from diagnose_policy_service(
            each.names, each.server, needs.policy, needs.budget, has_milter=each.ours is not None
        )
        if each.ours:
            settings = each.server.settings
            yield _default_action(each.names, _option(each.ours, settings, "default_action"))
            yield from _timeouts(each.names, each.ours, settings, needs)
            yield _protocol(each.names, _option(each.ours, settings, "protocol"))
        if each.ours or not _is_internal(each.server):
            yield _line_ends(each.names, each.server.settings)
    yield from _local_mail(postfix, listen)
    yield from _originals(postfix.settings.get("enable_original_recipient", ""))
    if needs.readdresses:
        yield _delimiter(postfix.settings.get("recipient_delimiter", ""))


def _groups(servers: Sequence[Server]) -> list[tuple[str, Server]]:
    """Put together those that differ in nothing that we look at."""
    groups: dict[object, list[Server]] = {}
    for server in servers:
        key = (server.chroot, _is_internal(server), *sorted(server.settings.items()))
        groups.setdefault(key, []).append(server)
    return [(", ".join(server.name for server in group), group[0]) for group in groups.values()]


def _wired(names: str, server: Server, listen: Sequence[str]) -> Wired:
    milters = read_milters(server.settings.get("smtpd_milters", ""))
    ours = (milter for milter in milters if _is_ours(milter, server, listen, chroot=server.chroot))
    return Wired(names, server, next(ours, None))


def _is_ours(milter: Milter, server: Server, listen: Sequence[str], *, chroot: bool) -> bool:
    queue = server.settings.get("queue_directory", "")
    return any(leads_to(milter.endpoint, spec, queue, chroot=chroot) for spec in listen)


def _is_internal(server: Server) -> bool:
    """Return whether only this machine can reach it, as where a content filter gives mail back."""
    return server.name.startswith(("127.", "[::1]:", "localhost:"))


def _wiring(wired: Wired, listen: Sequence[str], *, somewhere: bool) -> Iterator[Diagnosis]:
    """Say whether a server asks us, and if not, why that may be."""
    server, value = wired.server, wired.server.settings.get("smtpd_milters", "")
    check = f"postfix milter of {wired.names}"
    wrong = list(_spelling(check, "smtpd_milters", value))
    yield from wrong
    if wired.ours:
        yield passes(check, f"smtpd_milters leads to us at {wired.ours.endpoint}")
        return
    for milter in read_milters(value) if server.chroot else ():
        if _is_ours(milter, server, listen, chroot=False):
            queue = server.settings.get("queue_directory", "")
            seen = f"{milter.endpoint} is sought below {queue}, since smtpd runs there in its chroot"
            yield fails(check, seen, f"put the socket of [milter] listen below {queue}, or use inet:")
            return
    if wrong or (_is_internal(server) and not value):
        return
    seen = f"smtpd_milters = {value}" if value else "smtpd_milters is empty"
    if somewhere:
        mend = "remove its -o smtpd_milters from master.cf, unless that is meant"
        yield warns(check, f"{seen}: what comes in there is not judged", mend)
    else:
        yield fails(check, f"{seen}: it does not name us", f"add {' or '.join(listen)} to smtpd_milters in main.cf")


def _spelling(check: str, setting: str, value: str) -> Iterator[Diagnosis]:
    for milter in read_milters(value):
        why, meant = misspelt(milter.endpoint)
        if why:
            mend = f"write {meant}" if meant else "write inet:host:port or unix:path"
            yield fails(check, f"{setting} names {milter.endpoint!r}: {why}", mend)


def _option(milter: Milter, settings: Mapping[str, str], name: str) -> str:
    return milter.options.get(name, settings.get(f"milter_{name}", "")).lower()


def _default_action(names: str, action: str) -> Diagnosis:
    check = f"postfix default action of {names}"
    match action:
        case "tempfail" | "shutdown":
            return passes(check, f"{action}: while we are down, senders try again")
        case "quarantine":
            return passes(check, "quarantine: while we are down, mail is held until somebody releases it")
        case "accept":
            seen = "accept: while we are down, mail passes unjudged, with whatever X-Spam-Flag its sender forged"
            return warns(check, seen, "set default_action=tempfail, unless that is meant")
        case "reject":
            return fails(check, "reject: while we are down, all mail is refused", "set default_action=tempfail")
    return fails(check, f"{action!r} is no action that Postfix knows", "set default_action=tempfail")


def _timeouts(names: str, milter: Milter, settings: Mapping[str, str], needs: Needs) -> Iterator[Diagnosis]:
    answers = _Budget("budget", needs.budget, "DNS")
    scans = _Budget("scan_budget", needs.scan_budget, "the scanners")
    for option, budget in (
        ("command_timeout", answers),
        ("content_timeout", scans if scans.seconds > answers.seconds else answers),
    ):
        yield _timeout(f"postfix {option} of {names}", option, _option(milter, settings, option), budget)


def _timeout(check: str, option: str, value: str, budget: _Budget) -> Diagnosis:
    least = _MARGIN * budget.seconds
    seconds = read_seconds(value)
    seen = f"{value}, and our {budget.name} is {budget.seconds:g} s"
    mend = f"set {option}={max(least, 15):g}s or more, or a smaller {budget.name} in server.toml"
    if seconds is None:
        return fails(check, f"{value!r} is no time that Postfix can read", mend)
    if seconds < least:
        return fails(check, f"{seen}: Postfix gives up on us while we wait for {budget.awaited}", mend)
    return passes(check, seen)


def _protocol(names: str, value: str) -> Diagnosis:
    check = f"postfix milter protocol of {names}"
    if value == "6":
        return passes(check, "version 6")
    if value in ("2", "3", "4", "5"):
        seen = f"version {value}: earmark cannot ask for the macros and the exact header bytes that it needs"
        return warns(check, seen, "set milter_protocol = 6")
    return fails(check, f"version {value!r}", "set milter_protocol = 6")


def _line_ends(names: str, settings: Mapping[str, str]) -> Diagnosis:
    check = f"postfix line ends of {names}"
    value = settings.get("smtpd_forbid_bare_newline")
    version = settings.get("mail_version", "of unknown version")
    if value is None:
        seen = f"Postfix {version} cannot forbid bare newlines: SMTP smuggling is possible (CVE-2023-51764)"
        return fails(check, seen, f"update it to 3.5.24, 3.6.14, 3.7.10, 3.8.5 or later, then {_MEND_NEWLINE}")
    if value.lower() in _STRICT_ENDS:
        return passes(check, f"smtpd_forbid_bare_newline = {value}: one message cannot smuggle in another")
    seen = f"smtpd_forbid_bare_newline = {value} in Postfix {version}: SMTP smuggling is possible (CVE-2023-51764)"
    return fails(check, seen, _MEND_NEWLINE)


def _local_mail(postfix: Postfix, listen: Sequence[str]) -> Iterator[Diagnosis]:
    """Say whether mail that no SMTP client brings is shown to us. The chroot of its cleanup(8) is not looked at."""
    check, value = "postfix local mail", postfix.settings.get("non_smtpd_milters", "")
    yield from _spelling(check, "non_smtpd_milters", value)
    local = Server("", False, postfix.settings)
    if any(
        _is_ours(milter, local, listen, chroot=chroot) for milter in read_milters(value) for chroot in (False, True)
    ):
        seen = "non_smtpd_milters names us: what we refuse or defer of this machine's own mail stays in the queue"
        yield warns(check, seen, "take earmark out of non_smtpd_milters in main.cf")


def _originals(value: str) -> Iterator[Diagnosis]:
    """Say where Postfix makes one of two recipients with the same mailbox: to take one away then takes both."""
    if value == "no":
        seen = "enable_original_recipient = no: of two addresses of one mailbox, what one has held is lost for both"
        yield fails("postfix original recipients", seen, "set enable_original_recipient = yes in main.cf")


def _delimiter(value: str) -> Diagnosis:
    check = "postfix recipient delimiter"
    if "+" in value:
        return passes(check, f"recipient_delimiter = {value}")
    seen = (
        f'recipient_delimiter = {value}, and a policy has mixed_marks = "detail": user+junk@ may be nobody, and bounce'
    )
    mend = "set recipient_delimiter = + in main.cf, unless only what delivers looks recipients up, and knows it"
    return warns(check, seen, mend)
