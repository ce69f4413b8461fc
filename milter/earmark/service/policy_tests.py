"""Configuration that has passed its own tests: each [[test]] of a policy file is played offline by the real engine.

Nothing but the files decides how a test ends: names that its `dns` lines leave out do not exist, nobody has been seen
before, and this machine's mode is put aside (docs/policy-tests.md).
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from earmark.clients.offline import ZoneFile
from earmark.config import ConfigError, Generation, Problem, load
from earmark.config.files import in_directory, load_shadow
from earmark.config.generation import DEFAULT
from earmark.config.policy_tests import PolicyTest
from earmark.config.problems import did_you_mean, quoted
from earmark.content import Content
from earmark.core.evidence import Fact, Question, Scanner, Status, points_text, question_text
from earmark.core.mail import Address, Header, parse_path
from earmark.core.policy import Policy, PolicySet
from earmark.core.record import Judged
from earmark.core.spam_score import SpamScore, spam_score_data
from earmark.core.verdict import Outcome
from earmark.playing import Player, play_message
from earmark.wire.message import body_lines, split_header


class Tested(NamedTuple):
    """What a configuration directory holds, and a second one beside it."""

    generation: Generation
    shadow: Generation | None
    shadow_directory: str
    """ "" for none."""


def load_tested(directory: Path, shadow: Path | None = None) -> Tested:
    """Read, compile and test a configuration, and its shadow: the one given, else the one that server.toml names.

    Raises ConfigError with everything that is wrong, or else with every test that fails.
    """
    generation = load(directory)
    problems = failures(generation)
    beside = shadow or (Path(generation.server.shadow) if generation.server.shadow else None)
    second = load_shadow(beside, generation) if beside else None
    if beside and second:
        problems += in_directory(beside, failures(second))
    if problems:
        raise ConfigError(problems, _advice(problems))
    return Tested(generation, second, str(beside or ""))


def _advice(failed: Iterable[Problem]) -> str:
    if not any(problem.file.endswith(DEFAULT) for problem in failed):
        return ""
    return (
        f"the tests in {DEFAULT} ship with it: whoever means the change that breaks one"
        " changes or removes the test together with the setting (docs/policy-tests.md)"
    )


def failures(generation: Generation) -> list[Problem]:
    """Return a problem for each test that fails. To be called outside of any event loop."""
    return asyncio.run(_failures(generation)) if generation.tests else []


async def _failures(generation: Generation) -> list[Problem]:
    found = [await _failure(test, generation) for test in generation.tests]
    return [problem for problem in found if problem]


async def _failure(test: PolicyTest, generation: Generation) -> Problem | None:
    policies = generation.policies
    policy = policies.domains[test.policy] if test.policy else policies.default
    recipient = parse_path(test.recipient.encode())
    chosen = policies.find(Address(recipient.text, "", recipient.domain))
    if chosen is not policy:
        return test.problem("rcpt", f"the policy of {quoted(recipient.text)} is not this file's, but {chosen.name}'s")
    answers = _answers(test)
    if isinstance(answers, Problem):
        return answers
    site = policies.site._replace(scanners=frozenset({"clamav", "spamassassin"}))
    alone = PolicySet(replace(policy, mode=test.mode), {}, site)
    async with Player(replace(generation, policies=alone), answers, scanners=_scanners(test)) as player:
        judged = await _play(test, player, recipient)
    return _difference(test, *judged.recipients[0][1:])


class _Scanner:
    """In place of a content scanner: it says of each message what the test says."""

    def __init__(self, fact: Fact) -> None:
        self._fact = fact

    def ask(self, question: Question, deliver: Callable[[Question, Fact], None]) -> None:
        """Answer at once."""
        deliver(question, Fact(Status.PASS, source="test") if isinstance(question, Scanner) else self._fact)

    def hold(self, content_id: str, content: Content) -> None:
        """Leave the message alone."""

    def drop(self, content_id: str) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


def _scanners(test: PolicyTest) -> tuple[_Scanner, _Scanner]:
    virus = Fact(Status.FAIL, (test.virus,), source="test") if test.virus else Fact(Status.NONE, source="test")
    score = SpamScore(test.spam, test.client, (("TEST", points_text(test.spam)),) if test.spam else ())
    return _Scanner(virus), _Scanner(Fact(Status.PASS, spam_score_data(score), source="test"))


def _answers(test: PolicyTest) -> ZoneFile | Problem:
    for number, line in enumerate(test.dns):
        try:
            ZoneFile.parse(line)
        except ValueError as error:
            return test.problem(f"dns[{number}]", f"{quoted(line)}: {str(error).removeprefix('FILE:1: ')}")
    return ZoneFile.parse("\n".join(test.dns), "test")


async def _play(test: PolicyTest, player: Player, recipient: Address) -> Judged:
    raw = test.message.encode()
    fields, offset = split_header(raw)
    headers = [
        *(Header(b"Received", b" " + value.encode()) for value in test.received),
        *(Header(name, value) for name, value in fields),
    ]
    session = player.connect(test.client)
    if test.helo is not None:
        session.helo(test.helo.encode())
    sender, body = parse_path(test.sender.encode()), body_lines(raw[offset:])
    await play_message(session, sender, [recipient], headers, user=test.user, body=body)
    return player.judged[0]


def _difference(test: PolicyTest, policy: Policy, outcome: Outcome) -> Problem | None:
    """Return one problem with all that came out otherwise, at the first setting that says so."""
    found = list(_differences(test, outcome))
    if not found:
        return None
    reason = "; ".join([*(reason for _, reason in found), *_told(outcome, policy)])
    return test.problem(found[0][0], reason)


def _differences(test: PolicyTest, outcome: Outcome) -> Iterator[tuple[str, str]]:
    if outcome.action.word != test.action:
        yield "action", f"expected {test.action}, came {outcome.action.word}"
    names = {found.name for found in outcome.findings}
    for number, name in enumerate(test.findings or ()):
        if name not in names:
            yield f"findings[{number}]", f"expected {name}, not found{did_you_mean(name, names)}"
    for name in sorted(names.difference(test.findings or ())) if test.findings is not None else ():
        yield "findings", f"found {name}, not expected"
    if test.refuse_score is not None and outcome.refuse_score != test.refuse_score:
        expected, came = points_text(test.refuse_score), points_text(outcome.refuse_score)
        yield "refuse_score", f"expected a refuse score of {expected}, came {came}"


def _told(outcome: Outcome, policy: Policy) -> Iterator[str]:
    """Yield what `explain` would say first."""
    yield f"refuse score {points_text(outcome.refuse_score)} of {points_text(policy.refuse_at)}"
    yield f"mark score {points_text(outcome.mark_score)} of {points_text(policy.mark_at)}"
    for found in outcome.findings:
        yield f"{points_text(found.score)} {found.name}: {found.why}"
    for question in outcome.unknown:
        yield f"unknown: {question_text(question)}"
