"""The engine: a short loop around `core.judge` that starts look-ups early, waits for them once, and decides."""

from earmark.engine.engine import Answers, Engine, new_verdict_id
from earmark.engine.session import Session

__all__ = ["Answers", "Engine", "Session", "new_verdict_id"]
