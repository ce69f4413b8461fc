"""A plan as a person reads it before anything is done."""

import shlex
from collections.abc import Iterable, Iterator

from earmark.cluster.files import Finding
from earmark.cluster.migration.actions import Plan, Step
from earmark.cluster.migration.facts import Facts
from earmark.cluster.migration.layout import layout
from earmark.cluster.migration.request import Request
from earmark.core.text import printable


def shown_plan(request: Request, facts: Facts, findings: Iterable[Finding], plan: Plan) -> Iterator[str]:
    """Yield the lines: what was seen, what stands against it, and the steps with their commands, signs and undo."""
    source = "a new guest" if request.is_new else f"{request.source.kind} {request.source.at}"
    yield f"{request.name}: {source} -> {request.target.device}"
    if facts.reached and not request.is_new:
        yield ""
        yield from _seen(facts)
    for finding in findings:
        yield printable(str(finding), 500)
    if not facts.reached:
        return
    yield ""
    yield f"OPENED below: {layout(request).opened[1]}"
    yield ""
    before = False
    for number, step in enumerate(plan, 1):
        if step.outage and not before:
            yield "---- mail is down from here until the guest answers; run stops here without --yes ----"
        before = step.outage
        yield from shown_step(request, number, step)


def shown_step(request: Request, number: int, step: Step) -> Iterator[str]:
    """Yield the lines of one step. The words that open LVM for one partition are long: OPENED stands for them."""
    opened = shlex.quote(layout(request).opened[1])

    def told(part: object) -> str:
        return printable(str(part).replace(opened, "OPENED"), 2000)

    yield f"{number:2d} {step.name}: {step.about}"
    for action in step.actions:
        yield f"       {told(action)}"
    if step.look:
        yield f"     done when: {told(step.look)}"
    for undo in step.undo:
        yield f"     undo: {told(undo)}"


def _seen(facts: Facts) -> Iterator[str]:
    kernels = ", ".join(kernel.release for kernel in facts.kernels) or "none"
    yield printable(
        f"source: Debian {facts.release or '?'}, {facts.architecture or '?'}, kernels in /boot: {kernels}", 500
    )
    yield f"source: {facts.used / (1 << 30):.1f} GiB, {facts.inodes} files and directories"
