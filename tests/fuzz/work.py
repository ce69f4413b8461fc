"""How much work a call does, counted and not timed: a clock says something else on every machine and every day."""

import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any, Self

WIRE = str(Path("earmark", "wire"))
_A_LINE = 64
"""Bytes that a method of bytes looks at in about the time that a line of Python takes."""
_LOOKS_AT_A_PART = {"find", "rfind", "index", "startswith", "endswith", "clear", "append", "removeprefix"}


class Work:
    """The work of the codecs while it is the context: lines that ran, and bytes whose methods were called.

    A line counts one; a method that looks at all of its bytes or text one more for each 64. What is not seen is what
    begins in the middle (slices, `find` with an offset), and what regular expressions do: the meta level holds those
    to a form in which they cannot go back.
    """

    def __init__(self) -> None:
        self.lines = 0
        self.bytes = 0
        self.modules = set[str]()
        """The names of the modules of earmark.wire that ran."""

    @property
    def units(self) -> int:
        return self.lines + self.bytes // _A_LINE

    def __enter__(self) -> Self:
        self._before: tuple[Callable[..., Any] | None, Callable[..., Any] | None] = sys.gettrace(), sys.getprofile()
        sys.settrace(self._enters)
        sys.setprofile(self._calls)
        return self

    def __exit__(self, *_: object) -> None:
        sys.settrace(self._before[0])
        sys.setprofile(self._before[1])

    def _enters(self, frame: FrameType, _event: str, _argument: object) -> Callable[..., Any] | None:
        path = Path(frame.f_code.co_filename)
        if not str(path.parent).endswith(WIRE):
            return None
        self.modules.add(path.stem)
        return self._runs

    def _runs(self, _frame: FrameType, event: str, _argument: object) -> Callable[..., Any]:
        self.lines += event == "line"
        return self._runs

    def _calls(self, frame: FrameType, event: str, argument: Any) -> None:
        if event == "c_call" and WIRE in frame.f_code.co_filename:
            owner = getattr(argument, "__self__", None)
            if isinstance(owner, bytes | bytearray | str) and argument.__name__ not in _LOOKS_AT_A_PART:
                self.bytes += len(owner)
