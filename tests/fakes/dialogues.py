"""What the dialogue files of all doors have in common: their lines, policies, facts and patterns."""

import re
import shlex
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from earmark.core.checks.content import ContentKnobs, HeldBy, MixedMarks, MixedRecipients, OnVirus, Scanned
from earmark.core.evidence import Fact, Status
from earmark.core.policy import Mode, OnError, Policy
from earmark.core.record import Judged
from fakes.milter_front import lists_only
from fakes.waiting import until
from fakes.world import LATER, zone_fact

Steps = list[tuple[str, str]]

_SETTINGS: dict[str, Callable[[str], Any]] = {
    "mode": Mode, "on_error": OnError, "refuse_at": int, "mark_at": int, "subject_tag": str, "help_url": str,
}  # fmt: skip
_CONTENT: dict[str, Callable[[str], Any]] = {
    "clamav": Scanned, "virus": OnVirus, "quarantine": HeldBy, "mixed_marks": MixedMarks,
    "mixed_recipients": MixedRecipients,
}  # fmt: skip


def read_steps(file: Path) -> Steps:
    """Return the words and their arguments, line by line."""
    lines = [line.rstrip() for line in file.read_text("utf-8").splitlines()]
    assert lines[0].startswith("# "), "a dialogue begins with its sentence"
    steps = [re.split(r"\s+", line, maxsplit=1) for line in lines if line and not line.startswith("#")]
    return [(step[0], step[1] if len(step) > 1 else "") for step in steps]


def facts_of(steps: Steps) -> dict[str, Fact]:
    """Return what the world answers."""
    facts = dict(zone_fact(*shlex.split(rest)) for word, rest in steps if word == "zone")
    return facts | dict(_fact(rest) for word, rest in steps if word == "fact")


def _fact(rest: str) -> tuple[str, Fact]:
    question, _, answer = rest.partition(" = ")
    status, *data = answer.split()
    return question, LATER if status == "LATER" else Fact(Status(status), tuple(data))


def policies_of(steps: Steps) -> dict[str, Policy]:
    """Return the policies by domain, "default" among them where it differs."""
    return dict(_policy(rest) for word, rest in steps if word == "policy")


def _policy(rest: str) -> tuple[str, Policy]:
    name, *settings = shlex.split(rest)
    pairs = [setting.split("=", 1) for setting in settings]
    content = ContentKnobs(**{key: _CONTENT[key](value) for key, value in pairs if key in _CONTENT})
    return name, lists_only(name, content=content, **{k: _SETTINGS[k](v) for k, v in pairs if k in _SETTINGS})


def options_of(steps: Steps) -> dict[str, str]:
    """Return how the front is started."""
    return dict(part.split("=") for word, rest in steps if word == "front" for part in rest.split() if "=" in part)


def raw(argument: str) -> bytes:
    """Return the bytes that `\\xNN` and `\\n` stand for."""
    return argument.encode().decode("unicode_escape").encode("latin-1")


def matches(line: str, pattern: str) -> bool:
    """Return whether a line is as written, where `*` stands for anything."""
    return fnmatchcase(line, pattern.replace("[", "[[]"))


def verdict_line(judged: Judged) -> str:
    """Return a verdict as dialogues write it."""
    recipients = ",".join(f"{address.text}={outcome.action.word}" for address, _, outcome in judged.recipients)
    named = {"user": judged.txn.envelope.user, "queue": judged.queue_id, "exempt": judged.txn.envelope.exempt}
    extras = [f"{key}={value}" for key, value in named.items() if value]
    if judged.txn.message.truncated:
        extras.append("truncated")
    return " ".join([judged.ended, judged.action.word, recipients, *extras])


async def has_told(told: Sequence[Judged | str], count: int, pattern: str) -> None:
    """Assert that the verdict of this number, from 1, is as written; it may still have to come."""
    await until(lambda: len(told) >= count)
    found = told[count - 1]
    line = found if isinstance(found, str) else verdict_line(found)
    assert matches(line, pattern), f"told {line!r}, not {pattern!r}"


async def has_logged(lines: Sequence[str], pattern: str) -> None:
    """Assert that an event is as written, which may still have to come; or that there is none."""
    if pattern == "nothing":
        assert not lines
    else:
        await until(lambda: any(matches(line, pattern) for line in lines))
