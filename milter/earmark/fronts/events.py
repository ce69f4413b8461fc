"""Where the fronts tell what happens."""

import traceback
from typing import Any, Protocol


class Events(Protocol):
    """A place to tell events; see `earmark.log`."""

    def event(self, name: str, *, level: str = "info", **fields: Any) -> None:  # noqa: ANN401 - plain values, as JSON
        """Write one event."""


def tell_fault(events: Events, front: str, error: Exception, verdict_id: str = "") -> None:
    """Tell an exception of ours, with its traceback."""
    trace = "".join(traceback.format_exception(error))
    events.event("error", level="error", front=front, id=verdict_id, error=repr(error), traceback=trace)
