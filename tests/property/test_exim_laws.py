"""What holds for each message that Exim hands over, and for each answer to it."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from earmark.core.mail import Header, parse_path
from earmark.core.policy import Policy
from earmark.core.recipients import Recipient
from earmark.core.verdict import (
    Action,
    AddRecipient,
    ChangeHeader,
    Edit,
    InsertHeader,
    Outcome,
    RemoveHeader,
    RemoveRecipient,
    Reply,
    Verdict,
)
from earmark.fronts.exim_report import About, encode_verdict
from earmark.fronts.exim_terms import means_of
from earmark.wire.exim_message import MessageReader, Stamp, written_by_exim
from earmark.wire.rspamc import Request, Splitter, encode_request
from fakes.exim_front import QUEUE_ID, Report, read_as_exim_does, received
from fakes.policies import policy

names = st.from_regex(rb"[!-9;-~]{1,12}", fullmatch=True)
lines = st.binary(max_size=30).map(lambda line: line.replace(b"\n", b"").replace(b"\r", b""))
values = st.lists(lines, min_size=1, max_size=3).map(lambda parts: b" " + b"\n\t".join(parts))
fields = st.lists(st.tuples(names, values), max_size=6).filter(
    lambda found: not found or not found[0][0].startswith((b"From", b">From"))
)
bodies = st.lists(lines, max_size=5).map(lambda parts: b"".join(line + b"\r\n" for line in parts))
paths = st.binary(min_size=1, max_size=30).map(lambda raw: raw.translate(None, b"\0\r\n") + b"@example.org")


@given(
    fields,
    bodies,
    st.lists(paths, min_size=1, max_size=4),
    st.sampled_from([b"", b"a@example.net"]),
    st.integers(1, 400),
)
def test_what_exim_hands_over_is_what_a_milter_would_have_been_given(
    header: list[tuple[bytes, bytes]], body: bytes, recipients: list[bytes], sender: bytes, step: int
) -> None:
    message = written_by_exim(header, body, sender=sender, recipients=[b"b@example.org"], received=received())
    said = encode_request(Request(0, sender, tuple(recipients), QUEUE_ID), message)
    splitter, reader, heard = Splitter(), MessageReader(sender, QUEUE_ID), b""
    for at in range(0, len(said), step):
        heard += reader.feed(splitter.feed(said[at : at + step]))
    heard += reader.finish()
    assert splitter.whole
    assert splitter.request is not None
    assert splitter.request.recipients == tuple(recipients)
    assert reader.stamp == Stamp(b"mx.example.org", b"esmtp")
    assert [(name, value) for name, value in reader.fields or ()] == header
    assert heard == body


texts = st.text(max_size=40)
SPAM_NAMES = (b"X-Spam-Flag", b"x-spam-flag", b"X-Spam-Why", b"X-Earmark", b"Authentication-Results", b"Subject", b"To")
header_fields = st.lists(
    st.builds(
        Header,
        st.sampled_from(SPAM_NAMES),
        st.binary(max_size=60) | st.binary(min_size=1, max_size=3).map(lambda some: some * 3000),
    ),
    max_size=12,
)
ADDRESSES = [b"b%d@example.org" % number for number in range(6)] + [b'"q u"@example.org', "ü@example.org".encode()]
DEFAULT: Policy = policy("default")


@st.composite
def edits(draw: st.DrawFn, header: Sequence[Header]) -> list[Edit]:
    """Draw edits as `core.stamp` makes them: removals from the last to the first, what is inserted, one change."""
    seen: dict[bytes, int] = {}
    removable: list[Edit] = []
    for name, _ in header:
        seen[name.lower()] = seen.get(name.lower(), 0) + 1
        if name not in {b"Subject", b"To"} and draw(st.booleans()):
            removable.append(RemoveHeader(name.decode(), seen[name.lower()]))
    found: list[Edit] = list(reversed(removable))
    found += [
        InsertHeader(name, draw(st.sampled_from(["YES", "a,\n\tb,\n\tc"]))) for name in ("X-Earmark", "X-Spam-Flag")
    ]
    if seen.get(b"subject") and draw(st.booleans()):
        nth = draw(st.integers(1, seen[b"subject"]))
        found.append(ChangeHeader("Subject", nth, "[SPAM] " + draw(texts)))
    return found


def as_a_milter(header: Sequence[Header], made: Sequence[Edit]) -> list[tuple[bytes, bytes]]:
    """Return the fields as an MTA with milter leaves them."""
    left = list(header)
    for edit in made:
        if isinstance(edit, InsertHeader):
            left.insert(0, Header(edit.name.encode(), edit.value.encode()))
            continue
        if isinstance(edit, RemoveHeader | ChangeHeader):
            same = [at for at, (name, _) in enumerate(left) if name.lower() == edit.name.lower().encode()]
            at = same[edit.nth - 1]
            if isinstance(edit, RemoveHeader):
                del left[at]
            else:
                left[at] = Header(left[at].name, edit.value.encode("utf-8", "surrogateescape"))
    return [(field.name, field.value) for field in left]


def as_exim(header: Sequence[Header], report: Report) -> list[tuple[bytes, bytes]]:
    """Return the fields as Exim leaves them."""
    removed = {name.lower().encode() for name in report.removed}
    left = [(field.name, field.value) for field in header if field.name.lower() not in removed]
    for added in report.added:
        name, _, value = added.partition(b":")
        left.insert(0, (name, value))
    return left


def shown(found: Sequence[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Return fields in one order and one spelling: Exim has what comes back on top, and blanks where tabs were."""
    kept = bytes(range(0x21, 0x7F)) + bytes(range(0x80, 0x100))
    return sorted(
        (name.lower(), bytes(byte for byte in value if byte in kept and byte != 0x3F)) for name, value in found
    )


@given(header_fields, st.data())
def test_exims_way_to_edit_comes_to_what_a_milter_would_have_edited(header: list[Header], data: st.DataObject) -> None:
    made = data.draw(edits(header))
    report = report_on(Verdict(Action.ACCEPT, edits=tuple(made)), [], header)
    by_milter, by_exim = shown(as_a_milter(header, made)), shown(as_exim(header, report))
    if not report.value("cut"):
        assert by_exim == by_milter
    for edit in made:
        if isinstance(edit, RemoveHeader):
            assert edit.name.lower() in {name.lower() for name in report.removed}, "what is forged goes in any case"
    assert set(by_exim) - set(by_milter) <= set(shown([(field.name, field.value) for field in header]))


def report_on(
    verdict: Verdict, recipients: Sequence[Recipient], header: Sequence[Header] = (), *, each: bool = False
) -> Report:
    known = {one.address.text: ADDRESSES[number] for number, one in enumerate(recipients)}
    return read_as_exim_does(encode_verdict(verdict, recipients, About(header, known, each, "ID0000000000")))


outcomes = st.tuples(st.sampled_from(Action), st.integers(-2000, 99_999_99)).map(
    lambda drawn: Outcome(drawn[0], 0, drawn[1])
)


@given(st.lists(outcomes, min_size=1, max_size=8), st.sampled_from(["each", "together"]), texts)
def test_each_recipient_who_meets_something_else_is_told_once(found: list[Outcome], answered: str, text: str) -> None:
    each = answered == "each"
    replies = {Action.DEFER: Reply(451, "4.7.1", text), Action.REJECT: Reply(550, "5.7.1", text)}
    found = [one._replace(reply=replies.get(one.action)) for one in found]
    if not each:
        found = [one._replace(action=min(one.action, Action.QUARANTINE), reply=None) for one in found]
    recipients = [Recipient(parse_path(path), DEFAULT, one) for path, one in zip(ADDRESSES, found, strict=False)]
    action = min(one.action for one in found)
    made: list[Edit] = []
    for number, one in enumerate(recipients):
        if one.outcome.action is Action.QUARANTINE and action < Action.QUARANTINE:
            made.append(RemoveRecipient(one.address.text))
        elif one.outcome.action is Action.MARK and action is Action.ACCEPT and number % 2:
            made += [AddRecipient(f"x{number}+junk@example.org"), RemoveRecipient(one.address.text)]
    report = report_on(Verdict(action, edits=tuple(made), reply=replies.get(action)), recipients, each=each)
    told = [line.split(" ", 1)[0] for line in report.recipients]
    count = {word: sum(one.action.word == word for one in found) for word in ("mark", "quarantine", "defer", "reject")}
    assert told.count("discard") == (count["quarantine"] if action < Action.QUARANTINE else 0)
    assert told.count("mark") + told.count("readdress") == (count["mark"] if action is Action.ACCEPT else 0)
    assert told.count("defer") + told.count("reject") == (count["defer"] + count["reject"] if each else 0)
    assert len(report.recipients) == len(set(report.recipients))


@given(st.sampled_from([1, 2, 10, 40, 100, 1000]), st.sampled_from([1, 30, 240]), st.sampled_from(["each", "together"]))
def test_however_many_recipients_there_are_what_must_be_told_is(count: int, length: int, answered: str) -> None:
    addresses = [b"%d" % number + b"x" * length + b"@example.org" for number in range(count)]
    request = Request(0, b"", tuple(addresses))
    means = means_of(request, Stamp(prdr=answered == "each"), apart=True)
    assert means.hold
    reply = Reply(550, "5.7.1", "y" * 400)
    action = Action.REJECT if means.answer_each else Action.QUARANTINE
    made: list[Edit] = []
    recipients = []
    for path in addresses:
        address = parse_path(path)
        outcome = Outcome(Action.MARK, 0, 0)
        if means.readdress:
            outcome = Outcome(action, 0, 0, reply=reply if action is Action.REJECT else None)
            made += (
                [] if action is Action.REJECT else [AddRecipient(address.text + "+junk"), RemoveRecipient(address.text)]
            )
        recipients.append(Recipient(address, DEFAULT, outcome))
    known = {one.address.text: path for one, path in zip(recipients, addresses, strict=True)}
    verdict = Verdict(Action.ACCEPT, edits=tuple(made))
    report = read_as_exim_does(encode_verdict(verdict, recipients, About((), known, means.answer_each, "ID0000000000")))
    if means.readdress:
        assert len(report.recipients) == count
        assert not report.value("cut")
    else:
        assert all(line.startswith("mark ") for line in report.recipients)
        assert (len(report.recipients) < count) == (report.value("cut") == "marks")
