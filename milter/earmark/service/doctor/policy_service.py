"""What Postfix's check_policy_service entries mean for us (SMTPD_POLICY_README). Settings in, diagnoses out.

The entry that we recommend, with its reasons, is in deploy/postfix/main.cf.earmark-delegation.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from earmark.service.doctor.diagnosis import Diagnosis, fails, passes, warns
from earmark.service.doctor.milters import Milter, leads_to, read_milters, words
from earmark.service.doctor.postconf import RESTRICTIONS, Server, read_seconds

_MARGIN = 2
"""Postfix must have at least so many times our budget: its clock runs from before we read to after we answer."""
_DEFAULTS = {"timeout": "100s", "default_action": "451 4.3.5 Server configuration problem"}
_TAKES = ("DUNNO", "OK", "PERMIT")


class Asked(NamedTuple):
    """An entry that leads to us."""

    setting: str
    """The list of restrictions that it stands in."""
    service: Milter


def ask_us(server: Server, listen: Sequence[str]) -> list[Asked]:
    """Return a server's entries that lead to one of `listen`, spelt as in `[policy] listen`.

    What stands in a restriction class or in an access map is not seen.
    """
    queue = server.settings.get("queue_directory", "")
    return [
        Asked(setting, service)
        for setting in RESTRICTIONS
        for service in _services(server.settings.get(setting, ""))
        if any(leads_to(service.endpoint, spec, queue, chroot=server.chroot) for spec in listen)
    ]


def _services(restrictions: str) -> Iterator[Milter]:
    """Yield what follows each check_policy_service; it is spelt as an entry of smtpd_milters is."""
    listed = iter(words(restrictions))
    for word in listed:
        if word.lower() == "check_policy_service":
            yield from read_milters(next(listed, ""))


def diagnose_policy_service(
    names: str, server: Server, listen: Sequence[str], budget: float, *, has_milter: bool
) -> Iterator[Diagnosis]:
    """Say how a server asks the policy door; nothing where it does not. `budget` is in seconds, as in server.toml."""
    asked = ask_us(server, listen)
    if not asked:
        return
    check = f"postfix policy service of {names}"
    if has_milter or len(asked) > 1:
        by = [*["smtpd_milters"] * has_milter, *(one.setting for one in asked)]
        seen = f"we are asked by {' and '.join(by)}: each recipient is judged, and counted by rates, more than once"
        yield warns(check, seen, "leave one of them")
    else:
        yield passes(check, f"{asked[0].setting} leads to us at {asked[0].service.endpoint}")
    yield _timeout(names, asked[0].service, server.settings, budget)
    yield _default_action(names, _option(asked[0].service, server.settings, "default_action"))


def _option(service: Milter, settings: Mapping[str, str], name: str) -> str:
    return service.options.get(name) or settings.get(f"smtpd_policy_service_{name}") or _DEFAULTS[name]


def _timeout(names: str, service: Milter, settings: Mapping[str, str], budget: float) -> Diagnosis:
    check, value = f"postfix policy timeout of {names}", _option(service, settings, "timeout")
    seconds = read_seconds(value)
    mend = f"set timeout={max(_MARGIN * budget, 15):g}s or more, or a smaller budget in server.toml"
    if seconds is None:
        return fails(check, f"{value!r} is no time that Postfix can read", mend)
    seen = f"{value}, and our budget is {budget:g} s"
    if seconds < _MARGIN * budget:
        return fails(check, f"{seen}: Postfix gives up on us while we wait for DNS", mend)
    return passes(check, seen)


def _default_action(names: str, action: str) -> Diagnosis:
    check = f"postfix policy default action of {names}"
    first = action.partition(" ")[0].upper()
    if first in _TAKES:
        seen = f"{action}: while we are down, nobody is refused"
        return warns(check, seen, "set default_action to a 451 reply, unless that is meant")
    if first == "REJECT" or first.startswith("5"):
        return fails(check, f"{action}: while we are down, all mail is refused", "set default_action to a 451 reply")
    return passes(check, f"{action}: while we are down, senders try again")
