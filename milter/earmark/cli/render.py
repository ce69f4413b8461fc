"""An explanation for people: plain lines, coloured on a terminal. Everything in it has been made printable."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from earmark.cli.access_entry import entry_line
from earmark.cli.scans import is_scan, scan_words, spam_scans
from earmark.core.access import read_entry
from earmark.core.text import printable

_STYLES = {"accept": "green", "mark": "yellow", "quarantine": "yellow", "defer": "magenta", "reject": "bold red"}


class Line(NamedTuple):
    """One line of text and its style in rich's words."""

    text: str
    style: str = ""


def lines(explained: dict[str, Any]) -> Iterator[Line]:
    """Yield the lines that tell an explanation. An exempt session is said first."""
    if explained["exempt"]:
        yield Line(f"exempt: {explained['exempt']}; nothing of connection, envelope and path counts", "cyan")
    yield from _session(explained)
    for recipient in explained["recipients"]:
        yield from _recipient(recipient, _held_by(explained))
    yield from _unchecked(explained)
    yield from _scans(explained)
    yield from _others(explained)
    yield from _chain(explained)
    yield from _edits(explained)
    yield from _rederived(explained["rederived"])
    if explained["shadow"]:
        yield Line("")
        yield Line(f"the shadow, generation {explained['shadow']['generation'][:12]}, would have said:", "cyan")
        for recipient in explained["shadow"]["recipients"]:
            yield from _recipient(recipient)
        yield from _rederived(explained["shadow"]["rederived"])


def show(explained: dict[str, Any]) -> None:
    """Print an explanation; in colour on a terminal, unless NO_COLOR is set."""
    from rich.console import Console

    console = Console(highlight=False)
    for line in lines(explained):
        console.print(printable(line.text, 2000), style=line.style or None, markup=False, emoji=False, soft_wrap=True)


def _session(explained: dict[str, Any]) -> Iterator[Line]:
    yield Line(f"{explained['action']}: verdict {explained['id']} of {explained['at']}", _STYLES[explained["action"]])
    helo = explained["helo"] if explained["helo"] is not None else "(none)"
    yield Line(f"  client {explained['client'] or '(none)'}, HELO {helo}, sender <{explained['sender']}>")
    for key in ("user", "relay", "queue_id", "message_id"):
        if explained[key]:
            yield Line(f"  {key.replace('_', ' ')} {explained[key]}")
    if explained["ended"] != "eom":
        yield Line(f"  no message was judged: the transaction ended by {explained['ended']}")


def _held_by(explained: dict[str, Any]) -> str:
    """Return where it is held for whom it is held; "" where it is only supposed, and so is nowhere."""
    if any(edit[0] == "hold" for edit in explained["edits"]):
        return "held by the MTA, in its queue"
    held = explained["rederived"] is not None
    return f"held in the quarantine: earmark quarantine show {explained['id']}" if held else ""


def _recipient(report: dict[str, Any], held_by: str = "") -> Iterator[Line]:
    yield Line("")
    title = f"<{report['address']}>: {report['action']} (policy {report['policy']}, mode {report['mode']})"
    yield Line(title, _STYLES[report["action"]])
    yield Line(
        f"  refuse score {report['refuse_score']:.2f} of {report['refuse_at']:.2f},"
        f" mark score {report['mark_score']:.2f} of {report['mark_at']:.2f}"
    )
    if report["reply"]:
        yield Line(f"  reply {report['reply']}")
    if report["action"] == "quarantine" and held_by:
        yield Line(f"  {held_by}")
    for found in report["findings"]:
        yield from _finding(found)
    if not report["findings"]:
        yield Line("  nothing found")
    for flip in report["flips"]:
        yield Line(f"  {flip}", "dim")


def _finding(found: dict[str, Any]) -> Iterator[Line]:
    late = ", too late to refuse on" if found["late"] else ""
    yield Line(f"  {found['score']:+.2f} {found['name']} ({found['origin']}{late}): {found['why']}")
    if found["evidence"]:
        yield Line(f"        {found['question']}: {_evidence(found['evidence'], found['question'])}", "dim")
        yield from (Line(f"          {step}", "dim") for step in _steps(found["evidence"]))
    yield Line(f"        weight {found['knob']} set by {found['set_by'] or 'the program'}", "dim")


def _evidence(fact: dict[str, Any], question: str) -> str:
    """Return what was answered, without lines that tell how it came about (SPF's steps, signatures, rules)."""
    words = scan_words(fact) if is_scan(question) else [word for word in fact["data"] if " " not in word]
    said = " ".join([fact["status"], *words])
    why = f" ({fact['why']})" if fact["why"] else ""
    return f"{said}{why}, {fact['age']:g} s old, from {fact['source'] or 'nobody'}"


def _steps(fact: dict[str, Any]) -> Iterator[str]:
    """Yield the lines that tell how an answer came about; entries of the allow and deny lists as `list` has them."""
    for step in fact["data"]:
        if " " in step:
            entry = read_entry(step)
            yield entry_line(entry) if entry else step


def _unchecked(explained: dict[str, Any]) -> Iterator[Line]:
    if explained["unknown"]:
        yield Line("")
        yield Line("could not be checked:", "magenta")
    for question in explained["unknown"]:
        fact = explained["facts"].get(question)
        yield Line(f"  {question}: {_evidence(fact, question) if fact else 'no answer'}")


def _scans(explained: dict[str, Any]) -> Iterator[Line]:
    told = list(spam_scans(explained["facts"]))
    if told:
        yield Line("")
    yield from (Line(line, "dim" if line.startswith(" ") else "") for line in told)


def _others(explained: dict[str, Any]) -> Iterator[Line]:
    """Yield the answers that say something and that no finding shows, such as signatures, or tokens left of a limit."""
    shown = {found["question"] for recipient in explained["recipients"] for found in recipient["findings"]}
    shown.update(explained["unknown"], (question for question in explained["facts"] if question.startswith("spam ")))
    others = {key: fact for key, fact in explained["facts"].items() if key not in shown and fact["status"] != "none"}
    if others:
        yield Line("")
        yield Line("also answered:")
    for question, fact in others.items():
        yield Line(f"  {question}: {_evidence(fact, question)}")
        yield from (Line(f"    {step}", "dim") for step in _steps(fact))


def _chain(explained: dict[str, Any]) -> Iterator[Line]:
    if explained["received"]:
        yield Line("")
        yield Line("Received, newest first:")
    for hop in explained["received"]:
        words = [f"by {hop['by'] or '?'}"]
        words += [f"with {hop['with']}"] if hop["with"] else []
        words += ["authenticated"] if hop["authenticated"] else []
        words += ["trusted" if hop["trusted"] else "not trusted"]
        yield Line(
            f"  {hop['ip'] or '(no address)'} ({hop['helo'] or hop['rdns'] or '?'}) {', '.join(words)}: {hop['why']}"
        )
    if explained["received_cut"]:
        yield Line("  (the record holds no more of them)")


def _edits(explained: dict[str, Any]) -> Iterator[Line]:
    if explained["edits"]:
        yield Line("")
        yield Line("edits:")
    for edit in explained["edits"]:
        yield Line(f"  {edit_text(edit)}")


def edit_text(edit: list[str | int]) -> str:
    """Return an edit (as `core.report.edits_report` writes it) as one line."""
    kind, name, *rest = str(edit[0]), *edit[1:]
    value = " ".join(str(rest[-1]).split()) if rest else ""
    match kind:
        case "remove":
            return f"remove {name} (number {rest[0]})"
        case "change":
            return f"change {name} (number {rest[0]}): {value}"
        case "add-recipient" | "remove-recipient":
            return f"{kind.replace('-', ' ')} {name}"
        case "hold":
            return f"hold: {name}"
        case _:
            return f"{kind} {name}: {value}"


def _rederived(rederived: dict[str, Any] | None) -> Iterator[Line]:
    if rederived is None:
        return
    yield Line("")
    if rederived["exact"]:
        yield Line("judged again from the record: the same")
        return
    yield Line(
        "shown as stored; judged again it is not the same:" if rederived["differences"] else "shown as stored", "yellow"
    )
    for reason in [*rederived["obstacles"], *rederived["differences"]]:
        yield Line(f"  {reason}", "yellow")
