"""Comments in header fields (RFC 5322 section 3.2.2): they nest, and a backslash takes the next character's meaning."""

import re

_PIECES = re.compile(r"[()]|\\.?|[^()\\]+", re.DOTALL)


def end_of_comment(text: str, at: int) -> int:
    """Return where the comment ends whose parenthesis stands before `at`; -1 where it does not end. Linear."""
    depth = 1
    while found := _PIECES.match(text, at):
        at = found.end()
        depth += {"(": 1, ")": -1}.get(found[0], 0)
        if not depth:
            return at
    return -1
