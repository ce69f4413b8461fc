"""Which milter engine serves, and whether it is there: pymilter is an extra."""

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING

from earmark.config import Generation, Problem
from earmark.engine import Engine
from earmark.fronts.events import Events
from earmark.fronts.milter import MilterFront

if TYPE_CHECKING:
    from earmark.fronts.libmilter import LibmilterFront

_ADVICE = "install gcc, libmilter-dev and python3-dev, then pip install 'earmark[libmilter]'; \"native\" needs nothing"


def engine_problems(generation: Generation) -> list[Problem]:
    """Return what keeps the engine that server.toml names from serving here."""
    if generation.server.milter.engine != "libmilter":
        return []
    try:
        import_module("earmark.fronts.libmilter")
    except ImportError as error:
        place = generation.server.places["milter.engine"]
        return [Problem(place.file, place.line, 1, "milter.engine", f"pymilter is not here ({error}): {_ADVICE}")]
    return []


def milter_front(
    generation: Generation, engine: Engine, log: Events, ended: Callable[[], object]
) -> "MilterFront | LibmilterFront":
    """Return the front for the milter sockets. `ended` is called should it stop by itself."""
    settings = generation.server.milter
    if settings.engine == "libmilter":
        from earmark.fronts.libmilter import LibmilterFront  # noqa: PLC0415 - only who asks for it needs pymilter

        return LibmilterFront(engine, log, ended, idle=settings.idle)
    return MilterFront(engine, log, idle=settings.idle)
