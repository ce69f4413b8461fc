"""The engine: a short loop around `core.judge` that starts look-ups early, waits for them once, and decides."""

from earmark.engine.engine import Engine, new_verdict_id
from earmark.engine.needs import Answers
from earmark.engine.session import Session

__all__ = ["Answers", "Engine", "Session", "new_verdict_id"]
