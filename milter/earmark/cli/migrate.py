"""`earmark migrate`: brings an existing mail server onto a disk of the cluster (docs/migration.md)."""

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from earmark.cli.exits import WRONG_USE, fail
from earmark.core.text import printable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from earmark.cluster.files import Finding
    from earmark.cluster.migration.actions import Plan, Step
    from earmark.cluster.migration.execution import Machines
    from earmark.cluster.migration.facts import Answer, Facts
    from earmark.cluster.migration.journal import Journal
    from earmark.cluster.migration.progress import Progress
    from earmark.cluster.migration.request import Request
    from earmark.cluster.migration.runner import Ended

FileArgument = Annotated[Path, typer.Argument(metavar="FILE", help="The migration file.", show_default=False)]
JournalOption = Annotated[Path, typer.Option("--journals", metavar="DIRECTORY", help="Where journals are kept.")]
_JOURNALS = Path("/var/lib/earmark-migrate")


def register(app: typer.Typer) -> None:
    """Add the family."""
    family = typer.Typer(help="Bring an existing mail server onto a disk of the cluster.", no_args_is_help=True)
    for command in (plan, run, verify, undo):
        family.command()(command)
    app.add_typer(family, name="migrate")


def plan(file: FileArgument) -> None:
    """Look at the source and at this host, and print what would be done. Exit status 1 where something forbids it."""
    from earmark.cluster.migration.shown import shown_plan

    request = _request(file)
    facts = _facts(request, _ask(request))
    steps = _plan(request, facts)
    findings = _findings(request, facts, steps)
    for line in shown_plan(request, facts, findings, steps):
        print(line)
    raise typer.Exit(1 if any(finding.refuses for finding in findings) else 0)


def run(
    file: FileArgument,
    *,
    until: Annotated[str, typer.Option(metavar="STEP", help="Stop after this step.")] = "",
    yes: Annotated[bool, typer.Option("--yes", help="Also what takes mail down.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what is left to do, and do nothing.")] = False,
    journals: JournalOption = _JOURNALS,
) -> None:
    """Carry out the plan, or go on with it. Exit status 1 where a step failed, 3 where --yes is needed to go on."""
    from earmark.cluster.migration.runner import Runner

    request = _request(file)
    journal = _journal(request, journals)
    facts = _begun(request, journal, dry_run=dry_run)
    steps = _plan(request, facts)
    if until and until not in {step.name for step in steps}:
        fail(f"there is no step {until}: {', '.join(step.name for step in steps)}", WRONG_USE)
    if dry_run:
        _print_rest(request, steps, journal)
        return
    if journal.state.left_mail:
        fail(f"mail was left on the guest's disk on the way back: save it, and begin anew without {journal.path}")
    ended = Runner(steps, _machines(request), journal, _Told()).run(until=until, outage=yes)
    _end(file, ended, f"done up to {ended.step}" if until and ended.step else "all steps are done")
    if "boot" in journal.state.done and not until:
        raise typer.Exit(0 if _verified(request, facts, journal) else 1)


def verify(file: FileArgument, *, journals: JournalOption = _JOURNALS) -> None:
    """Look whether the guest does what the source did. Exit status 1 where not."""
    request = _request(file)
    journal = _journal(request, journals)
    facts = _begun(request, journal, dry_run=True)
    raise typer.Exit(0 if _verified(request, facts, journal) else 1)


def undo(
    file: FileArgument,
    *,
    leave_mail: Annotated[
        bool, typer.Option("--leave-mail", help="Though the guest may have mail that the source has not.")
    ] = False,
    journals: JournalOption = _JOURNALS,
) -> None:
    """Go back to the source. It has never been changed but for its services; the guest's disk stays as it is.

    Where there is none, a new guest's disk is let go until it has been started.
    """
    from earmark.cluster.migration.runner import Runner

    request = _request(file)
    journal = _journal(request, journals)
    steps = _plan(request, _begun(request, journal, dry_run=True))
    if request.is_new and "boot" in journal.state.touched:
        fail("a new guest that has been started has nothing to go back to: shut it down and wipe its disk by hand")
    if "boot" in journal.state.touched:
        if leave_mail:
            journal.append("left-mail")
        else:
            _assert_no_mail_is_left(request, journal)
    ended = Runner(steps, _machines(request), journal, _Told()).undo()
    stays = "its copy stays until you delete it"
    _end(file, ended, "what is on the disk stays" if request.is_new else f"the source serves as before; {stays}")


def _request(file: Path) -> "Request":
    from earmark.cluster.migration.request import load_request
    from earmark.config.problems import ConfigError

    try:
        return load_request(file)
    except ConfigError as error:
        fail("\n".join(error.lines))


def _journal(request: "Request", directory: Path) -> "Journal":
    from earmark.cluster.migration.journal import Journal, JournalError

    try:
        return Journal(directory / f"{request.name}.jsonl")
    except (JournalError, OSError) as error:
        fail(error)


def _machines(request: "Request") -> "Machines":
    from earmark.cluster.migration.execution import Machines

    return Machines({"source": request.source.at, "guest": request.guest.at})


def _ask(request: "Request") -> "dict[str, Answer]":
    from earmark.cluster.migration.probes import probes

    machines = _machines(request)
    return {name: machines.run(command) for name, command in probes(request).items()}


def _facts(request: "Request", answers: "Mapping[str, Answer]") -> "Facts":
    from earmark.cluster.migration.facts import read_facts

    return read_facts(request, answers)


def _plan(request: "Request", facts: "Facts") -> "Plan":
    from earmark.cluster.migration.steps import plan_of

    return plan_of(request, facts)


def _findings(request: "Request", facts: "Facts", steps: "Plan") -> "list[Finding]":
    from earmark.cluster.migration.preflight import preflight

    return preflight(request, facts, steps)


def _begun(request: "Request", journal: "Journal", *, dry_run: bool) -> "Facts":
    """Return what was seen when it began: now, unless the journal knows. What forbids it ends the command."""
    from earmark.cluster.migration.facts import Answer

    known = {name: Answer(*answer) for name, answer in journal.state.answers.items()}
    if known:
        return _facts(request, known)
    answers = _ask(request)
    facts = _facts(request, answers)
    findings = _findings(request, facts, _plan(request, facts))
    for finding in findings:
        print(printable(str(finding), 500), file=sys.stderr)
    if any(finding.refuses for finding in findings):
        fail("nothing has been done")
    if not dry_run:
        journal.append("seen", answers=answers)
    return facts


def _verified(request: "Request", facts: "Facts", journal: "Journal") -> bool:
    """Print what is looked at; return whether nothing of it is wrong."""
    from earmark.cluster.migration.verify import checks

    wrong = False
    for check in checks(request, facts, journal.state, _machines(request)):
        word = {True: "well", False: "WRONG", None: "not looked at"}[check.well]
        print(f"{check.name}: {word}: {printable(check.said, 500)}", flush=True)
        wrong = wrong or check.well is False
    return not wrong


def _assert_no_mail_is_left(request: "Request", journal: "Journal") -> None:
    """End the command where the guest has mail that nobody else has, or that cannot be told; else stop its MTA."""
    from earmark.cluster.migration.returning import only_there

    why = only_there(request, journal.state, _machines(request), print)
    if why:
        fail(
            f"{printable(why, 500)}; nothing has been undone. --leave-mail goes back all the same, and leaves it there"
        )


def _print_rest(request: "Request", steps: "Plan", journal: "Journal") -> None:
    from earmark.cluster.migration.shown import shown_step

    done = journal.state.done
    for number, step in enumerate(steps, 1):
        if step.name in done:
            print(f"{number:2d} {step.name}: is done")
        else:
            print("\n".join(shown_step(request, number, step)))


def _end(file: Path, ended: "Ended", well: str) -> None:
    if ended.waits_for_outage:
        print(f"next is {ended.step}, and mail is down from there on: earmark migrate run --yes {file}")
        raise typer.Exit(3)
    if not ended.why:
        print(well)
        return
    print("\n".join(printable(line, 2000) for line in f"{ended.step}: {ended.why}".split("\n")), file=sys.stderr)
    if ended.advice:
        print(f"what may help: {printable(ended.advice, 500)}", file=sys.stderr)
    print(f"then: earmark migrate run {file} goes on here; earmark migrate undo {file} goes back", file=sys.stderr)
    raise typer.Exit(1)


class _Told:
    """Prints what happens: a line a step; of a copy, a line that is written over, or one every ten percent."""

    def __init__(self) -> None:
        self._percent = -10
        self._over = sys.stdout.isatty()

    def step(self, step: "Step", what: str) -> None:
        self._percent = -10
        print(f"{time.strftime('%H:%M:%S')} {step.name}: {what}", flush=True)

    def line(self, text: str) -> None:
        print(f"         {printable(text, 500)}", flush=True)

    def progress(self, progress: "Progress") -> None:
        if self._over:
            print(f"\r         {progress}", end="\n" if progress.percent == 100 else "", flush=True)
        elif progress.percent >= self._percent + 10:
            self._percent = progress.percent - progress.percent % 10
            print(f"         {progress}", flush=True)
