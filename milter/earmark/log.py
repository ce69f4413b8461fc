"""The log: one JSON object a line, printable ASCII only (docs/schemas.md).

What mail says can neither break a line nor steer a terminal.
"""

import os
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Protocol

from earmark.core.record import Record
from earmark.serial import encode_ascii

SCHEMA = 1
_PRIORITIES = {"error": b"<3>", "warning": b"<4>", "info": b"<6>"}
_TOGETHER = 4096
"""Bytes that are written at once at most, where lines allow: PIPE_BUF, so that lines of several workers stay whole."""


class Stream(Protocol):
    """What the log needs of a binary stream; one without a buffer of its own is best."""

    def write(self, data: bytes, /) -> int | None:
        """Write some of the bytes and return how many."""

    def flush(self) -> None:
        """Pass on what is held back."""


class Log:
    """Writes events. A stream that fails (disk full, closed pipe) is counted in `failed`, never raised."""

    def __init__(
        self, stream: Stream, *, journal: bool = False, later: Callable[[Callable[[], None]], object] | None = None
    ) -> None:
        """`journal` puts the priority that systemd reads before each line; see `is_journal`.

        `later` arranges for a function to be called within a second or so. With it, "verdict" events are written
        several at a time; every other event takes those before it along at once.
        """
        self._stream = stream
        self._journal = journal
        self._later = later
        self._lines: list[bytes] = []
        self._size = 0
        self._lock = threading.Lock()
        self.failed = 0
        """Lines that could not be written."""

    def event(self, name: str, *, level: str = "info", **fields: Any) -> None:  # noqa: ANN401 - plain values, as JSON takes them
        """Write an event; `level` is "info", "warning" or "error". May be called from any thread."""
        now = datetime.now(UTC).isoformat(timespec="milliseconds")[:-6] + "Z"
        line = encode_ascii({"v": SCHEMA, "time": now, "event": name, "level": level, **fields}) + b"\n"
        if self._journal:
            line = _PRIORITIES[level] + line
        with self._lock:
            if self._size + len(line) > _TOGETHER:
                self._write()
            self._lines.append(line)
            self._size += len(line)
            if name != "verdict" or self._later is None:
                self._write()
            elif len(self._lines) == 1:
                self._later(self.flush)

    def flush(self) -> None:
        """Write what is held back."""
        with self._lock:
            self._write()

    def _write(self) -> None:
        lines, self._lines, self._size = self._lines, [], 0
        rest = b"".join(lines)
        try:
            while rest:
                written = self._stream.write(rest)
                if not written:  # it does not block, and is full
                    self.failed += len(lines)
                    return
                rest = rest[written:]
            self._stream.flush()
        except (OSError, ValueError):  # ValueError: the stream has been closed
            self.failed += len(lines)


def is_journal(stream: object) -> bool:
    """Return whether systemd's journal reads this stream (systemd.exec(5), JOURNAL_STREAM)."""
    number = getattr(stream, "fileno", None)
    try:
        status = os.fstat(number()) if number else None
    except OSError:
        return False
    return status is not None and os.environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"


def verdict_fields(record: Record) -> dict[str, Any]:
    """Return the fields of the "verdict" event. Its findings are the first harshest treated recipient's."""
    recipients = record.recipients
    leading = next((each for each in recipients if each["action"] == record.action), recipients[0])
    return {
        "id": record.id,
        "queue_id": record.queue_id,
        "message_id": record.message_id,
        "client": record.client,
        "helo": record.helo,
        "sender": record.sender.text,
        "user": record.user,
        "exempt": record.exempt,
        "action": record.action,
        "recipients": [_recipient_fields(each) for each in recipients],
        "findings": [{"name": found["name"], "score": found["score"]} for found in leading["findings"]],
        "unknown": leading["unknown"] if len(recipients) == 1 else _all_unknown(recipients),
        "generation": record.generation[:12],
        "ended": record.ended,
        "elapsed_ms": record.elapsed_ms,
    }


def _recipient_fields(report: dict[str, Any]) -> dict[str, Any]:
    return {
        "address": report["address"],
        "action": report["action"],
        "refuse_score": report["refuse_score"],
        "mark_score": report["mark_score"],
        "policy": report["policy"],
    }


def _all_unknown(recipients: list[dict[str, Any]]) -> list[str]:
    return list(dict.fromkeys(question for each in recipients for question in each["unknown"]))
