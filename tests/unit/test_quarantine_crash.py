"""A process that is killed while it holds a message: whatever it had answered for is there, whole."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from earmark.stores.quarantine import DIRECTORY
from earmark.stores.quarantine_index import State
from earmark.stores.quarantine_upkeep import tidy
from fakes.held import ID, MESSAGE, message, messages, quiet, rows

_CRASHING = """
import asyncio, os, signal, sys
from pathlib import Path

step, state = int(sys.argv[1]), Path(sys.argv[2])

from fakes.held import content, held, quarantine

def die_at(frame, event, argument):
    # each line of the store is a step; we are killed before the one that was asked for
    global step
    if "/stores/quarantine" in frame.f_code.co_filename:
        if event == "line":
            step -= 1
            if step == 0:
                os.kill(os.getpid(), signal.SIGKILL)
        return die_at

async def keep():
    async with quarantine(state) as store:
        why = await store.keep(held())
        os.write(1, b"answered" if not why else why.encode())

import threading
sys.settrace(die_at)
threading.settrace(die_at)
asyncio.run(keep())
"""


def killed_at(step: int, state: Path) -> bool:
    """Keep a message in a process that is killed at this step; return whether it was answered for."""
    state.mkdir()
    words = [sys.executable, "-c", _CRASHING, str(step), str(state)]
    path = os.pathsep.join(str(Path(__file__).parents[2] / part) for part in ("tests", "milter"))
    done = subprocess.run(words, capture_output=True, env={**os.environ, "PYTHONPATH": path}, check=False)
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    return done.stdout == b"answered"


def test_a_process_killed_at_any_step_has_lost_nothing_that_was_answered(tmp_path: Path) -> None:
    """Whatever is left is either the whole message or nothing, and is found again."""
    answers, found = [], []
    for step in (*range(1, 40, 13), *range(40, 125, 4), 1_000_000):
        state = tmp_path / str(step)
        answered = killed_at(step, state)
        tidy(state / DIRECTORY, quiet(), set())
        there = (state / DIRECTORY).is_dir() and messages(state / DIRECTORY)
        if there == [ID]:
            assert message(state / DIRECTORY) == MESSAGE
            assert [row.state for row in rows(state / DIRECTORY)] == [State.HELD]
        else:
            assert not there or there == [f"{ID}.new"]
            assert not (state / DIRECTORY).is_dir() or not rows(state / DIRECTORY), "no row without its message"
        if answered:
            assert there == [ID]
        answers.append(answered)
        found.append(there == [ID])
    assert answers[-1]
    assert not answers[0]
    assert found.count(True) > answers.count(True), "some were on the disk and not answered for"
    assert found.count(False) > 5
