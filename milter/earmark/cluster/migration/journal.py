"""What has been done, on disk before the next thing is begun: JSON lines, one an event."""

import fcntl
import json
import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Event = Mapping[str, Any]
VERSION = 1


class JournalError(Exception):
    """The journal cannot be used: somebody else has it, or it is not one."""


@dataclass(slots=True)
class State:
    """What a journal says."""

    answers: dict[str, tuple[int, str, str]] = field(default_factory=dict)
    """What the probes answered when the migration began; it is planned by that ever after."""
    done: dict[str, str] = field(default_factory=dict)
    """The digest of each step that is done."""
    begun: dict[str, str] = field(default_factory=dict)
    """The same for steps that were begun, and perhaps not ended."""
    notes: dict[str, str] = field(default_factory=dict)
    left_mail: bool = False
    """Whether a way back was taken that left mail on the guest's disk."""

    @property
    def touched(self) -> set[str]:
        """Steps of which something may stand."""
        return self.done.keys() | self.begun.keys()


def state_of(events: Iterable[Event]) -> State:
    """Return what events add up to."""
    state = State()
    for event in events:
        step = event.get("step", "")
        match event["event"]:
            case "seen":
                state.answers = {name: (answer[0], answer[1], answer[2]) for name, answer in event["answers"].items()}
            case "begin":
                state.begun[step] = event["digest"]
            case "done":
                state.begun.pop(step, None)
                state.done[step] = event["digest"]
            case "undone":
                state.begun.pop(step, None)
                state.done.pop(step, None)
            case "note":
                state.notes[event["name"]] = event["text"]
            case "left-mail":
                state.left_mail = True
    return state


def read_events(content: bytes) -> tuple[list[Event], int]:
    """Return the events in a journal's bytes, and how many of the bytes they are.

    A crash can leave one line that is torn, the last: it is no event. Raises JournalError where another line is broken.
    """
    events: list[Event] = []
    end = 0
    lines = content.split(b"\n")
    for number, line in enumerate(lines[:-1], 1):
        event = _event(line)
        if event is None:
            if number == len(lines) - 1 and not lines[-1]:
                break
            raise JournalError(f"line {number} is not an event")
        events.append(event)
        end += len(line) + 1
    return events, end


def _event(line: bytes) -> Event | None:
    try:
        event = json.loads(line)
    except ValueError:
        return None
    right = isinstance(event, dict) and event.get("v") == VERSION and isinstance(event.get("event"), str)
    return event if right else None


class Journal:
    """An open journal. One process has it at a time."""

    def __init__(self, path: Path) -> None:
        """Open or begin it. Raises JournalError, OSError."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_APPEND, 0o600)
        try:
            self._lock()
            self.events, end = read_events(path.read_bytes())
        except JournalError:
            os.close(self._file)
            raise
        os.ftruncate(self._file, end)
        _synchronise(path.parent)

    def _lock(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise JournalError(f"{self.path}: another process is at this migration") from None

    @property
    def state(self) -> State:
        """What it says by now."""
        return state_of(self.events)

    def append(self, event: str, **fields: object) -> None:
        """Add an event; it is on the disk when this returns."""
        entry = {"v": VERSION, "at": round(time.time(), 3), "event": event, **fields}
        os.write(self._file, json.dumps(entry).encode() + b"\n")
        os.fsync(self._file)
        self.events.append(entry)

    def close(self) -> None:
        """Let others have it."""
        os.close(self._file)


def _synchronise(directory: Path) -> None:
    opened = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
