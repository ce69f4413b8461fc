"""Carries out a plan, step by step, and back."""

from collections.abc import Callable
from typing import NamedTuple, Protocol

from earmark.cluster.migration.actions import Action, Await, ByHand, Command, Demand, Look, Note, Plan, Step
from earmark.cluster.migration.execution import World
from earmark.cluster.migration.facts import Answer
from earmark.cluster.migration.journal import State
from earmark.cluster.migration.progress import Progress, parse

_PAUSE = 2.0
"""Seconds between looks at what is waited for."""


class Ended(NamedTuple):
    """How far it came."""

    step: str
    """The last step that was looked at; "" where there was none."""
    why: str = ""
    """What stopped it; "" where nothing did."""
    advice: str = ""
    waits_for_outage: bool = False
    """Whether the next step takes mail down, and nobody has said yes to that."""


class Record(Protocol):
    """The part of a journal that a runner needs."""

    @property
    def state(self) -> State:
        """What it says."""

    def append(self, event: str, **fields: object) -> None:
        """Add an event, durably."""


class Listener(Protocol):
    """Who is told what happens."""

    def step(self, step: Step, what: str) -> None:
        """Tell that a step is begun, found done, or undone."""

    def line(self, text: str) -> None:
        """Something that a person should read."""

    def progress(self, progress: Progress) -> None:
        """How far a copy is."""


class Runner:
    """A plan under way."""

    def __init__(self, plan: Plan, world: World, record: Record, listener: Listener) -> None:
        self._plan = plan
        self._world = world
        self._record = record
        self._listener = listener

    def run(self, *, until: str = "", outage: bool = False) -> Ended:
        """Do what is not done yet, up to and with the step `until`; what takes mail down only where `outage`."""
        changed = self._changed()
        if changed:
            return Ended(changed, "was done otherwise than the file says now", "put the file back, or undo first")
        last = ""
        for position, step in enumerate(self._plan):
            if step.name in self._record.state.done:
                if not self._must_stand(position, step) or self._holds(step.look):
                    continue
            elif step.outage and not outage:
                return Ended(step.name, waits_for_outage=True)
            why = self._perform(step)
            if why:
                self._record.append("failed", step=step.name, why=why)
                return Ended(step.name, why, step.advice)
            last = step.name
            if last == until:
                break
        return Ended(last)

    def undo(self) -> Ended:
        """Go back, the last step first. What is on the source, and what is on the disk, is never deleted."""
        for step in reversed(self._plan):
            if step.name not in self._record.state.touched:
                continue
            why = self._take_back(step)
            if why:
                self._record.append("failed", step=step.name, why=why)
                return Ended(step.name, why, "mend that, and undo again: it goes on here")
        return Ended("")

    def _changed(self) -> str:
        """Return a step that is done, and would be done otherwise by now."""
        done = self._record.state.done
        return next((step.name for step in self._plan if done.get(step.name, step.digest) != step.digest), "")

    def _must_stand(self, position: int, step: Step) -> bool:
        """Whether a later step that is not done yet relies on what this one brought about."""
        if not step.ended_by:
            return False
        names = [other.name for other in self._plan]
        end = names.index(step.ended_by) if step.ended_by in names else len(names)
        done = self._record.state.done
        return any(other.name not in done for other in self._plan[position + 1 : end + 1])

    def _holds(self, look: Look | None) -> bool:
        if look is None:
            return True
        answer = self._world.run(look.command)
        return answer.status in look.command.statuses and look.seen_in(answer.output)

    def _perform(self, step: Step) -> str:
        """Do a step; return why it could not be done, or ""."""
        self._record.append("begin", step=step.name, digest=step.digest)
        if step.look and self._holds(step.look):
            self._listener.step(step, "stands already")
        else:
            self._listener.step(step, step.about)
            for action in step.actions:
                why = self._act(action)
                if why:
                    return why
            if not self._holds(step.look):
                return f"all has been done, and yet it does not show: {step.look}"
        self._record.append("done", step=step.name, digest=step.digest)
        return ""

    def _take_back(self, step: Step) -> str:
        if any(isinstance(action, ByHand) for action in step.undo):
            for action in step.undo:
                self._listener.line(f"{step.name} stays; {action}")
            return ""
        self._listener.step(step, "undone")
        if step.undo and self._holds(step.look):
            for action in step.undo:
                if not isinstance(action, ByHand) and (why := self._act(action)):
                    return why
        self._record.append("undone", step=step.name)
        return ""

    def _act(self, action: Action) -> str:
        """Do one thing; return why it could not be done, or ""."""
        match action:
            case Command():
                return _judged(action, self._world.run(action, self._hears(action)))
            case Demand():
                answer = self._world.run(action.command)
                return "" if answer.status in action.command.statuses else f"{action.why} ({action.command})"
            case Await():
                return self._wait(action)
            case Note():
                answer = self._world.run(action.command)
                if answer.status == 0:
                    self._record.append("note", name=action.name, text=answer.output)
                return _judged(action.command, answer)
        return self._world.change(action)

    def _wait(self, action: Await) -> str:
        deadline = self._world.now() + action.seconds
        told = False
        while self._world.run(action.command).status not in action.command.statuses:
            if self._world.now() >= deadline:
                return f"{action.why} (waited {action.seconds:g} s for {action.command})"
            if not told:
                self._listener.line(f"waiting, {action.seconds:g} s at most: {action.why}")
                told = True
            self._world.wait(_PAUSE)
        return ""

    def _hears(self, command: Command) -> Callable[[str], None] | None:
        if not command.shows_progress:
            return None

        def hears(line: str) -> None:
            progress = parse(line)
            if progress:
                self._listener.progress(progress)

        return hears


def _judged(command: Command, answer: Answer) -> str:
    if answer.status in command.statuses:
        return ""
    said = (answer.errors.strip() or answer.output.strip())[-1000:]
    return f"{command}\nended with status {answer.status}" + (f":\n{said}" if said else "")
