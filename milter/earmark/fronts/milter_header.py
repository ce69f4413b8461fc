"""The header of one message as it comes in, field by field, within limits."""

from earmark.core.mail import Header
from earmark.core.stamp import may_be_removed

FIELDS = 1000
FIELD_BYTES = 64 * 1024
BYTES = 256 * 1024
"""What is kept of a header; the rest is left out, and the message counts as truncated."""
FORGED, FORGED_BYTES = 1000, 200
"""Fields that may have to be removed are kept beyond the limits: how many, and how many bytes of each, name and value.
Nobody acts on a longer name, and whose results a field claims to hold stands at its beginning."""


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
        used = self._bytes + size
        if size <= FIELD_BYTES and used <= BYTES and len(self.fields) < FIELDS:
            self._bytes = used
            self.fields.append(Header(name, value))
        else:
            self._add_cut(name[:FIELD_BYTES], value)

    def _add_cut(self, name: bytes, value: bytes) -> None:
        self.truncated = True
        value = value[: FIELD_BYTES - len(name)]
        self._bytes += len(name) + len(value)
        if self._bytes <= BYTES and len(self.fields) < FIELDS:
            self.fields.append(Header(name, value))
        elif self._forged < FORGED and may_be_removed(name):
            self._forged += 1
            name = name[:FORGED_BYTES]
            self.fields.append(Header(name, value[: FORGED_BYTES - len(name)]))
