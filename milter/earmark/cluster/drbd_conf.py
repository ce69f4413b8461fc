"""DRBD's files as read: statements, their blocks, and the line of each (drbd.conf-8.4(5), drbd.conf-9.0(5))."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

_DEEPEST = 8
_TOKEN = re.compile(
    r'[ \t\r]+|#[^\n]*|(?P<end>\n)|(?P<mark>[{};])|"(?P<text>[^"\n]*)"|(?P<word>[^\s{};"#]+)|(?P<bad>.)', re.ASCII
)


class Syntax(NamedTuple):
    """Why a file cannot be read."""

    line: int
    reason: str


@dataclass(slots=True)
class Statement:
    """Words up to a semicolon, or up to the block that they head; the file as a whole is one without words."""

    words: list[str]
    line: int
    block: list["Statement"] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The first word."""
        return self.words[0] if self.words else ""

    @property
    def value(self) -> str:
        """The second word, "" where there is none."""
        return self.words[1] if len(self.words) > 1 else ""

    def within(self, *names: str) -> Iterator["Statement"]:
        """Yield the statements at a path of first words below this one."""
        first, *rest = names
        for statement in self.block:
            if statement.name == first:
                yield from statement.within(*rest) if rest else (statement,)


def read_drbd(text: str) -> Statement | Syntax:
    """Read a file."""
    around = [Statement([], 0)]
    words: list[str] = []
    begun = 1
    for kind, word, line in _tokens(text):
        if kind == "word":
            begun = begun if words else line
            words.append(word)
            continue
        reason = _misplaced(kind, word, words, around)
        if reason:
            return Syntax(begun if words else line, reason)
        if word == "}":
            around.pop()
        elif words:
            statement = Statement(words, begun)
            around[-1].block.append(statement)
            words = []
            around += [statement] if word == "{" else []
    if words or len(around) > 1:
        return (
            Syntax(begun, _open(words))
            if words
            else Syntax(around[-1].line, f"the block {_head(around)} is not closed")
        )
    return around[0]


def _tokens(text: str) -> Iterator[tuple[str, str, int]]:
    """Yield "word", "mark" or "bad", its text and its line."""
    line = 1
    for token in _TOKEN.finditer(text):
        kind = token.lastgroup
        if kind == "end":
            line += 1
        elif kind:
            yield "word" if kind == "text" else kind, token[kind], line


def _misplaced(kind: str, word: str, words: list[str], around: list[Statement]) -> str:
    """Return why a mark cannot stand where it does, "" where it can."""
    if kind == "bad":
        return "a quotation mark is not closed"
    if word == "}" and words:
        return _open(words)
    if word == "}" and len(around) == 1:
        return "this brace closes nothing"
    return "blocks are nested too deeply" if len(around) > _DEEPEST else ""


def _open(words: list[str]) -> str:
    return f"`{words[0]}` does not end with a semicolon"


def _head(around: list[Statement]) -> str:
    return f"`{' '.join(around[-1].words)}`"
