"""A Received field's value cut into its clauses: from, by, via, with, id, for (RFC 5321 section 4.4).

Hostile input: the value is read once from left to right, and only its outermost comments are kept, so that neither
depth nor length costs more than linear time.
"""

import re
from collections.abc import Iterator

# Each alternative starts with another character and repeats one class at most: there is nothing to go back to.
_PIECES = re.compile(r"[()]|\\.?|[^()\\]+", re.DOTALL)
CLAUSES = frozenset(("from", "by", "via", "with", "id", "for"))
"""The words that begin a clause."""


class Clause:
    """A keyword's words and comments: `from helo (rdns [192.0.2.1])`."""

    __slots__ = ("comments", "lead", "words")

    def __init__(self) -> None:
        self.words: list[str] = []
        self.comments: list[str] = []
        self.lead: int | None = None
        """How many of the words stand before the first comment; None where there is no comment."""

    @property
    def value(self) -> str:
        """The first word; "" where there is none."""
        return self.words[0] if self.words else ""

    def add_comment(self, text: str) -> None:
        """Add a comment, without its parentheses."""
        if self.lead is None:
            self.lead = len(self.words)
        self.comments.append(text)


def read_clauses(text: str) -> dict[str, Clause]:
    """Return the clauses by keyword, each keyword's first one; what stands before the first keyword is under ""."""
    current = Clause()
    clauses = {"": current}
    for is_comment, piece in _pieces(text):
        if is_comment:
            current.add_comment(piece)
            continue
        plain, date, _ = piece.partition(";")
        words = plain.split()
        for position, word in enumerate(words, start=1):
            key = word.lower() if len(word) <= 4 else ""
            if key in CLAUSES and _begins(key, clauses, current, is_last=position == len(words)):
                current = Clause()
                clauses.setdefault(key, current)
            else:
                current.words.append(word)
        if date:
            break
    return clauses


def _begins(key: str, clauses: dict[str, Clause], current: Clause, *, is_last: bool) -> bool:
    """Return whether this keyword begins a clause, and is not a client's HELO or a part of it.

    `from` comes first, and where there is one, the others come after `by`. The last word before the comment of `from`,
    if it is the first one too, is the HELO: `from by (rdns [192.0.2.1]) by mx.example.org`.
    """
    if key == "from":
        return len(clauses) == 1
    if is_last and not current.words and current is clauses.get("from"):
        return False
    return key == "by" or "by" in clauses or "from" not in clauses


def _pieces(text: str) -> Iterator[tuple[bool, str]]:
    """Return comments, and what stands between them, in order. Comments within comments are left out."""
    depth = 0
    held: list[str] = []
    for piece in _PIECES.findall(text):
        if piece == "(":
            if depth == 0:
                yield False, "".join(held)
                held = []
            depth += 1
        elif piece == ")" and depth:
            depth -= 1
            if depth == 0:
                yield True, "".join(held)
                held = []
        elif depth <= 1:
            held.append(piece)
    yield depth > 0, "".join(held)
