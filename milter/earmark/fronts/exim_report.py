"""A verdict as Exim's ACL reads it out of $spam_report (docs/exim.md, "The report").

A milter edits field by field. Exim takes off all fields of a name and adds new ones; so where only some of a name are
removed or changed, the others come back. There is room for 16,000 bytes: what may be left out, is, in a fixed order.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from earmark.core.checks.released import FIELD
from earmark.core.mail import Header
from earmark.core.recipients import Recipient
from earmark.core.text import printable
from earmark.core.verdict import (
    Action,
    AddRecipient,
    ChangeHeader,
    Edit,
    Hold,
    InsertHeader,
    RemoveHeader,
    RemoveRecipient,
    Verdict,
)
from earmark.fronts.exim_terms import RECIPIENT_LINES_AT_MOST
from earmark.wire.rspamc import REPLY_AT_MOST, encode_reply

_HEAD = 300
"""Bytes before the report, the numbers of its lines, and `cut`."""
_ACTED_ON = frozenset(
    ("x-spam-flag", "x-spam-status", "x-spam-level", "x-spam-score", "x-spam", "x-earmark", FIELD.lower(), "subject")
)
"""Names of ours that programs look at; these are taken off first."""
_RESULTS = frozenset(("authentication-results", "received-spf"))
_CONTROLS = re.compile(rb"[\x00-\x1f\x7f]")

Lines = list[bytes]


class About(NamedTuple):
    """What a verdict is about, as far as its report needs it."""

    fields: Sequence[Header]
    """The header as it came."""
    paths: Mapping[str, bytes]
    """The recipients as Exim gave them, by their text; b"" for a text that two have, who cannot be told apart."""
    answer_each: bool
    """Exim answers for each recipient after DATA."""
    verdict_id: str


class Changes(NamedTuple):
    """What becomes of the header, as names to take off and fields to put on top."""

    removed: dict[str, str]
    """The names of which fields are removed or changed, by their lower case."""
    left: dict[str, list[bytes]]
    """What is left of each, by its lower case: the values, the topmost first."""
    changed: frozenset[str]
    """Those of which a field is only changed: without all of its fields the name is left alone."""
    inserted: list[tuple[str, bytes]]
    """In the order in which they are put on top."""


_NO_CHANGES = Changes({}, {}, frozenset(), [])


def changes_of(edits: Iterable[Edit], fields: Sequence[Header]) -> Changes:
    """Return what the edits come to. A value keeps its folding, with a tab in its place."""
    edits = list(edits)
    removed = {edit.name.lower(): edit.name for edit in edits if isinstance(edit, RemoveHeader | ChangeHeader)}
    left: dict[str, list[bytes]] = {name: [] for name in removed}
    for header in fields:
        name = printable(header.name.strip().decode("latin-1"), 200).lower()
        if name in left:
            left[name].append(header.value)
    inserted: list[tuple[str, bytes]] = []
    for edit in edits:
        if isinstance(edit, RemoveHeader):
            del left[edit.name.lower()][edit.nth - 1 : edit.nth]
        elif isinstance(edit, ChangeHeader):
            left[edit.name.lower()][edit.nth - 1 : edit.nth] = [edit.value.encode("utf-8", "surrogateescape")]
        elif isinstance(edit, InsertHeader):
            inserted.append((edit.name, _one_line(edit.value.encode("utf-8", "surrogateescape"))))
    unfolded = {name: [_one_line(value) for value in values] for name, values in left.items()}
    changed = frozenset(edit.name.lower() for edit in edits if isinstance(edit, ChangeHeader))
    return Changes(removed, unfolded, changed, inserted)


def _one_line(value: bytes) -> bytes:
    """Return a field's value with a tab where it was folded, and no other control character."""
    lines = (_CONTROLS.sub(_plain, line).strip() for line in value.replace(b"\r\n", b"\n").split(b"\n"))
    first, *others = lines
    return b"\t".join([first, *filter(None, others)])


def _plain(control: re.Match[bytes]) -> bytes:
    return b" " if control[0] == b"\t" else b"?"


def action_of(verdict: Verdict) -> str:
    """Return the word for the message as a whole."""
    if verdict.action is Action.QUARANTINE:
        return "hold" if any(isinstance(edit, Hold) for edit in verdict.edits) else "discard"
    return verdict.action.word


def recipient_lines(verdict: Verdict, recipients: Sequence[Recipient], about: About) -> Iterator[bytes]:
    """Yield what is done for single recipients, in less than RECIPIENT_LINES_AT_MOST bytes.

    Who does not get it, and who gets it in another's place: the new address stands right before the one in whose place
    it comes, and for another such one it is there already. Who refuses it, where each can be answered.
    """
    instead = ""
    used = 0
    for edit in verdict.edits:
        if isinstance(edit, AddRecipient):
            instead = edit.address
        elif isinstance(edit, RemoveRecipient):
            path = about.paths[edit.address]
            line = b"readdress %b %b" % (instead.encode("ascii"), path) if instead else b"discard " + path
            yield line
            used += _numbered(line)
            instead = ""
    if about.answer_each:
        yield from _refusals(recipients, about, RECIPIENT_LINES_AT_MOST - used)


def _refusals(recipients: Sequence[Recipient], about: About, room: int) -> Iterator[bytes]:
    """Yield who refuses or defers, and with which reply; where there are many, the texts are cut alike."""
    refusing = [
        (b"%b %b" % (one.outcome.action.word.encode("ascii"), about.paths[one.address.text]), one.outcome.reply)
        for one in recipients
        if one.outcome.reply
    ]
    bare = [line + f" {reply.code} {reply.enhanced}".encode("ascii") for line, reply in refusing]
    spare = max(room - sum(map(_numbered, bare)), 0) // max(len(bare), 1)
    for line, (_, reply) in zip(bare, refusing, strict=True):
        yield line + f" {reply.text}".encode("ascii")[:spare].rstrip()


def _numbered(line: bytes) -> int:
    """Return how many bytes a recipient's line takes, with its key and its end."""
    return len(b"rcpt999=\n") + len(line)


def marked_lines(verdict: Verdict, recipients: Sequence[Recipient], about: About) -> Iterator[bytes]:
    """Yield the recipients who mark a message that is not marked as a whole, and get it under their own address."""
    taken_away = {edit.address for edit in verdict.edits if isinstance(edit, RemoveRecipient)}
    if verdict.action is Action.ACCEPT:
        for one in recipients:
            path = about.paths[one.address.text]
            alone = path and not _CONTROLS.search(path)
            if one.outcome.action is Action.MARK and alone and one.address.text not in taken_away:
                yield b"mark " + path


class _Room:
    """The lines of a report, as long as they fit."""

    def __init__(self, left: int) -> None:
        self._left = left
        self.cut: dict[str, None] = {}
        """What has been left out."""

    def holds(self, lines: Sequence[bytes], word: str) -> bool:
        """Return whether all these lines fit, and keep room for them; else note `word`."""
        size = sum(len(line) + 1 for line in lines)
        if size > self._left:
            self.cut[word] = None
            return False
        self._left -= size
        return True


def encode_verdict(verdict: Verdict, recipients: Sequence[Recipient], about: About) -> bytes:
    """Return the whole answer. `recipients` are as the verdict has left them."""
    action, reply = action_of(verdict), verdict.reply
    code, text = (str(reply.code), str(reply)) if reply else ("", "")
    pairs = (("v", "1"), ("action", action), ("code", code), ("reply", text), ("id", about.verdict_id))
    head = [f"{key}={value}".encode("ascii") for key, value in pairs]
    changes = changes_of(verdict.edits, about.fields) if verdict.edits else _NO_CHANGES
    single = list(recipient_lines(verdict, recipients, about))
    marked = list(marked_lines(verdict, recipients, about))
    room = _Room(REPLY_AT_MOST - _HEAD - sum(len(line) + 1 for line in head) - sum(map(_numbered, single)))
    lines = _fitted(changes, single, marked, room)
    report = [*head, *lines, b"cut=" + ",".join(room.cut).encode("ascii"), b"end=1"]
    score, threshold = _points(verdict, recipients)
    return encode_reply(action, marked=verdict.action >= Action.MARK, score=score, threshold=threshold, report=report)


def _fitted(changes: Changes, single: Lines, marked: Lines, room: _Room) -> Lines:
    """Return the lines of header and recipients that there is room for."""
    inserted = sorted(changes.inserted, key=lambda field: field[0].lower() in _RESULTS)
    fitting = {field for field in inserted if room.holds([_added(*field)], "fields")}
    names = sorted(changes.removed, key=lambda name: name not in _ACTED_ON and name not in _RESULTS)
    removed = [name for name in names if name not in changes.changed and room.holds([name.encode("ascii")], "remove")]
    told = [*single, *(line for line in marked if room.holds([b"rcpt999=" + line], "marks"))]
    back: Lines = []
    for name in names:
        values = [_added(changes.removed[name], value) for value in changes.left[name]]
        if name in changes.changed:
            if room.holds([name.encode("ascii"), *values], "fields"):
                removed.append(name)
                back = [*values, *back]
        elif name in removed:
            back = [*(value for value in values if room.holds([value], "fields")), *back]
    added = [*reversed(back), *(_added(*field) for field in changes.inserted if field in fitting)]
    return [
        b"remove=" + b":".join(changes.removed[name].encode("ascii") for name in removed),
        *(b"add%d=" % number + field[len(b"add000=") :] for number, field in enumerate(added)),
        *(b"rcpt%d=" % number + line for number, line in enumerate(told)),
    ]


def _added(name: str, value: bytes) -> bytes:
    return b"add000=%b: %b" % (name.encode("ascii"), value)


def _points(verdict: Verdict, recipients: Sequence[Recipient]) -> tuple[int, int]:
    """Return the score that the message shows, which is the lowest, and the threshold of the policy that gave it."""
    harshest = max(verdict.action, Action.MARK)
    shown = ((one.outcome.mark_score, one.policy.mark_at) for one in recipients if one.outcome.action <= harshest)
    return min(shown, default=(0, 0))
