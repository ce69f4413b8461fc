"""The header of one message as it comes in, field by field, within limits."""

from earmark.core.mail import Header
from earmark.core.stamp import is_ours

FIELDS = 1000
FIELD_BYTES = 64 * 1024
BYTES = 256 * 1024
"""What is kept of a header; the rest is left out, and the message counts as truncated."""
FORGED = 1000
"""Fields of our own names that are kept beyond the limits, without their values, since they are to be removed."""


class HeaderBlock:
    """Collects header fields."""

    __slots__ = ("_bytes", "_forged", "fields", "truncated")

    def __init__(self) -> None:
        self.fields: list[Header] = []
        self.truncated = False
        self._bytes = self._forged = 0

    def add(self, name: bytes, value: bytes) -> None:
        """Add a field, or as much of it as there is room for."""
        size = len(name) + len(value)
        if size > FIELD_BYTES:
            self.truncated = True
            name, value, size = name[:FIELD_BYTES], value[:FIELD_BYTES], FIELD_BYTES
        self._bytes += size
        if len(self.fields) < FIELDS and self._bytes <= BYTES:
            self.fields.append(Header(name, value))
            return
        self.truncated = True
        if self._forged < FORGED and is_ours(name):
            self._forged += 1
            self.fields.append(Header(name, b""))
