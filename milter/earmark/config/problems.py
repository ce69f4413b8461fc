"""What is wrong with a configuration: every problem at once, each with its place."""

from collections.abc import Iterable
from difflib import get_close_matches
from typing import NamedTuple


class Problem(NamedTuple):
    """One thing that is wrong. Problems sort by file, line and column."""

    file: str
    """Relative to the configuration directory."""
    line: int
    """From 1."""
    column: int
    """From 1, in characters."""
    key: str
    """The setting, dotted, such as "listings.weights.ZEN_SBL"; "file" for a file as a whole, "syntax" where no setting
    could be read."""
    reason: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}: {one_line(self.key)}: {one_line(self.reason)}"


class ConfigError(Exception):
    """The configuration cannot be used.

    `problems` holds all that is wrong with all files, sorted; `lines` is what to print, with `advice` as the last line.
    """

    def __init__(self, problems: Iterable[Problem], advice: str = "") -> None:
        self.problems = sorted(set(problems))
        self.lines = [*map(str, self.problems), *filter(None, [advice])]
        super().__init__("\n".join(self.lines))


def whole_file(file: str, reason: str) -> Problem:
    """Return a problem that has no line of its own."""
    return Problem(file, 1, 1, "file", reason)


def one_line(text: str) -> str:
    """Return text without line ends and control characters, cut to 400 characters."""
    text = text if len(text) <= 400 else text[:397] + "..."
    return "".join(character if character.isprintable() else "?" for character in text)


def quoted(value: object) -> str:
    """Return a value as a message shows it: strings in quotes, cut to 60 characters."""
    if isinstance(value, bool):
        return str(value).lower()
    text = one_line(str(value))
    text = text if len(text) <= 60 else text[:57] + "..."
    return f'"{text}"' if isinstance(value, str) else text


def counted(number: int, one: str, several: str = "") -> str:
    """Return a number with its word, such as "1 policy"; `several` where that is not `one` and an s."""
    return f"{number} {one if number == 1 else several or one + 's'}"


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return `; did you mean "..."?` for the nearest of the known words, "" where none is near."""
    by_folded = {name.lower(): name for name in known}
    near = get_close_matches(word.lower(), by_folded, n=1)
    return f'; did you mean "{by_folded[near[0]]}"?' if near else ""
