"""All checks, one after the other. Each looks and none changes anything."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from earmark.config import ConfigError, Generation, load
from earmark.core.checks.content import MixedMarks
from earmark.service.doctor.diagnosis import Diagnosis, fails, passes, unknown
from earmark.service.doctor.exim import Doors, examine_exim
from earmark.service.doctor.machine import diagnose_clock, diagnose_files, diagnose_state
from earmark.service.doctor.names import ask_resolvers, diagnose_lists, diagnose_resolver
from earmark.service.doctor.postconf import PostconfError, Postfix, find_postconf, read_postfix
from earmark.service.doctor.postfix import Needs, diagnose_postfix
from earmark.service.doctor.scanners import diagnose_scanners
from earmark.service.doctor.sendmail import diagnose_sendmail
from earmark.service.doctor.service import diagnose_service
from earmark.service.doctor.sockets import diagnose_sockets
from earmark.service.doctor.store import diagnose_stores
from earmark.service.lists import keys_of, lists_of
from earmark.service.policy_tests import Tested, load_tested


class Places(NamedTuple):
    """Where to look."""

    configuration: Path
    state: Path | None
    """None for the directory that server.toml names."""
    postfix: Path | None
    """None for the directory that postconf(1) takes by itself."""
    sendmail: Path | None = None
    """The sendmail.cf; None for the usual place, where it need not be."""
    exim: Path | None = None
    """Exim's configuration file; None for the one that it takes by itself."""


def examine(places: Places) -> Iterator[Diagnosis]:
    """Yield what each check found, as soon as it is known. To be called outside of any event loop."""
    yield diagnose_clock(time.time())
    tested, told = _configuration(places.configuration)
    yield from told
    if tested is None:
        yield unknown("everything else", "it depends on the configuration", "correct the configuration first")
        return
    generation, shadow, _ = tested
    server = generation.server
    state = places.state or server.state
    yield from diagnose_files(places.configuration, generation, shadow)
    yield diagnose_state(state, server.user)
    yield from diagnose_service(state, places.configuration, generation.id, shadow.id if shadow else "")
    postfix, wrong = _postfix(places.postfix)
    yield from diagnose_sockets(server.milter.listen, postfix.settings.get("mail_owner", ""))
    if wrong:
        yield wrong
    else:
        yield from diagnose_postfix(postfix, _needs(generation))
    yield from diagnose_sendmail(places.sendmail, _needs(generation))
    yield from examine_exim(_doors(generation), places.exim)
    yield from diagnose_stores(state, generation)
    yield from diagnose_scanners(state, generation)
    yield from _names(tested)


def _configuration(directory: Path) -> tuple[Tested | None, list[Diagnosis]]:
    """Return the configuration, where it compiles, and what `earmark config check` would say."""
    try:
        tested = load_tested(directory)
    except ConfigError as error:
        wrong = [fails("configuration", str(problem), "correct the file there") for problem in error.problems]
        try:
            return Tested(load(directory), None, ""), wrong  # it compiles, and only its tests fail
        except ConfigError:
            return None, wrong
    generation = tested.generation
    seen = f"{directory}: generation {generation.id[:12]}, {len(generation.tests)} tests pass"
    return tested, [passes("configuration", seen)]


def _postfix(directory: Path | None) -> tuple[Postfix, Diagnosis | None]:
    nothing = Postfix({}, ())
    program = find_postconf()
    if not program:
        seen = "there is no postconf on this machine"
        return nothing, unknown("postfix", seen, "run earmark doctor where Postfix runs")
    try:
        return read_postfix(program, directory), None
    except PostconfError as error:
        return nothing, fails("postfix", str(error), "correct it, or name the directory with --postfix-config")


def _needs(generation: Generation) -> Needs:
    server, policies = generation.server, generation.policies
    return Needs(
        server.milter.listen,
        server.budget,
        server.scan_budget if policies.site.scanners else 0.0,
        readdresses=any(policy.content.mixed_marks is MixedMarks.DETAIL for policy in policies.all),
        policy=server.policy.listen,
    )


def _doors(generation: Generation) -> Doors:
    server = generation.server
    scan_budget = server.scan_budget if generation.policies.site.scanners else 0.0
    return Doors(server.policy.listen, server.exim.listen, server.budget, scan_budget)


def _names(tested: Tested) -> Iterator[Diagnosis]:
    generation, shadow, _ = tested
    resolvers = generation.server.dns.resolvers
    for resolver, fact in asyncio.run(ask_resolvers(resolvers)).items():
        yield diagnose_resolver(resolver, fact)
    yield from diagnose_lists(lists_of(generation, shadow), resolvers, keys_of(generation, shadow)[0])
