"""The one sanitiser for all text that leaves: replies, headers, log lines and what commands print.

Mail data is hostile. What leaves is printable ASCII on one line, cut to a length; nothing in it can end a line, start a
header or a second reply line, or steer a terminal.
"""

_PLAIN = {code: chr(code) for code in range(0x20, 0x7F)}


def printable(text: str, limit: int = 400) -> str:
    """Return `text` as printable ASCII of at most `limit` characters; every other character becomes "?"."""
    if len(text) > limit:
        text = text[: max(limit - 3, 0)] + "..."
    if text.isascii() and text.isprintable():
        return text
    return "".join(_PLAIN.get(ord(character), "?") for character in text)


def decoded(raw: bytes, limit: int = 1000) -> str:
    """Return bytes from the wire as text for matching: UTF-8, and what is not as backslash escapes. Never raises."""
    return raw[:limit].decode("utf-8", "backslashreplace")
