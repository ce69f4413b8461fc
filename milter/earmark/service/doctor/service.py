"""The running service: is it there, are its workers ready, and do they serve what is on disk?"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from earmark.service.control import ControlError, ask
from earmark.service.doctor.diagnosis import Diagnosis, fails, passes, unknown, warns

_PATIENCE = 5.0
"""Seconds that the supervisor may take to answer."""


def diagnose_service(state: Path, directory: Path, generation: str, shadow: str) -> Iterator[Diagnosis]:
    """Ask the service with this state directory; the rest is what was read on disk, "" for what was not."""
    try:
        status = ask(state, "status", patience=_PATIENCE)
    except ControlError as error:
        if isinstance(error.__cause__, PermissionError):
            yield unknown("service", str(error), "run earmark doctor as root, or as the service's account")
        else:
            yield fails("service", str(error), "systemctl start earmark; its log says why it ended")
        return
    except ValueError as error:
        yield fails("service", f"its answer cannot be read: {error}", "systemctl restart earmark")
        return
    yield _running(status)
    if generation:
        yield _current(status, directory, generation, shadow)


def _running(status: dict[str, Any]) -> Diagnosis:
    workers = [child for child in status["children"] if child["role"] == "worker"]
    ready = sum(child["state"] == "ready" for child in workers)
    seen = f"{status['state']}: process {status['pid']}, {ready} of {len(workers)} workers ready"
    if status["state"] == "ready":
        return passes("service", seen)
    if status["state"] == "not answering":
        return fails("service", seen, "look into its log: it says why its workers end")
    return warns("service", seen, "look again in a few seconds, then into its log")


def _current(status: dict[str, Any], directory: Path, generation: str, shadow: str) -> Diagnosis:
    """Compare what is in force with what was read. What a failed reload said is said again."""
    check = "generation in force"
    if status["directory"] != str(directory.absolute()):
        seen = f"the service reads {status['directory']}, not {directory.absolute()}"
        return warns(check, seen, f"run earmark doctor -c {status['directory']}")
    beside = (status["shadow"] or {}).get("generation", "")
    if (status["generation"], beside) == (generation, shadow):
        return passes(check, f"{generation[:12]}, as on disk")
    problems = status["reload"]["problems"]
    if status["generation"] == generation and not problems:
        seen = f"the shadow in force is {beside[:12] or 'none'}, that of server.toml {shadow[:12] or 'none'}"
        return warns(check, seen, "run earmark reload, unless earmark serve was given --shadow")
    seen = f"reload pending: {status['generation'][:12]} serves, and {generation[:12]} is on disk"
    if problems:
        return fails(check, f"{seen}; the last reload failed: {problems[0]}", "correct that, then run earmark reload")
    return warns(check, seen, "run earmark reload")
