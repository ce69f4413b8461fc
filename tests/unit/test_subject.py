"""The tag shows once, whatever the Subject looks like."""

import pytest

from earmark.core.mail import Client, Envelope, Header, Message, Transaction
from earmark.core.stamp import Trace, edits
from earmark.core.subject import tagged_subject
from earmark.core.verdict import Action, ChangeHeader, InsertHeader, Outcome, Verdict
from fakes.policies import SITE, policy

TAG = "[SPAM]"


@pytest.mark.parametrize(
    ("value", "tagged"),
    [
        (b" Hello", "[SPAM] Hello"),
        (b" =?utf-8?q?Gr=C3=BC=C3=9Fe?=", "[SPAM] =?utf-8?q?Gr=C3=BC=C3=9Fe?="),
        (b" one\r\n\ttwo", "[SPAM] one\n\ttwo"),
        (b" one\n two", "[SPAM] one\n two"),
        (b" bare\rreturn", "[SPAM] bare return"),
        (b"", "[SPAM] "),
        (b" [SPAM] Hello", None),
        ("gr\u00fc\u00dfe".encode(), "[SPAM] gr\u00fc\u00dfe"),
        (b" caf\xe9", "[SPAM] caf\udce9"),
    ],
)
def test_a_subject_is_tagged_once_and_else_left_alone(value: bytes, tagged: str | None) -> None:
    assert tagged_subject(TAG, value) == tagged


def subject_edits(*subjects: bytes, tags: tuple[str, ...] = (TAG,), action: Action = Action.MARK) -> list[object]:
    message = Message([Header(b"subject", subject) for subject in subjects])
    txn = Transaction(Envelope(Client("192.0.2.7"), SITE), message)
    verdict = Verdict(action, tuple(Outcome(action, 0, 600) for _ in tags))
    made = edits(txn, {}, verdict, [policy(subject_tag=tag) for tag in tags], Trace("ID", "abc"))
    return [edit for edit in made if edit[0] == "Subject"]


def test_a_missing_subject_is_added() -> None:
    assert subject_edits() == [InsertHeader("Subject", "[SPAM]")]


def test_every_one_of_several_subjects_is_tagged() -> None:
    assert subject_edits(b" a", b" b") == [
        ChangeHeader("Subject", 1, "[SPAM] a"),
        ChangeHeader("Subject", 2, "[SPAM] b"),
    ]


def test_unmarked_mail_keeps_its_subject() -> None:
    assert subject_edits(b" a", action=Action.ACCEPT) == []


def test_recipients_who_want_different_tags_get_none() -> None:
    assert subject_edits(b" a", tags=(TAG, "")) == []
    assert subject_edits(b" a", tags=(TAG, "*spam*")) == []
