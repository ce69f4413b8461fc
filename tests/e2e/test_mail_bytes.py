"""What is accepted arrives once, and no byte of it is changed but for our own header fields.

The mails are also sent through Postfix without earmark: what it makes of a NUL, a bare CR, an mbox "From " line or a
Return-Path field is not our doing.
"""

import os
from pathlib import Path

import pytest

from e2e_lab.invariants import assert_invariants
from e2e_lab.lab import Lab
from e2e_lab.store import OUR_NAMES

CORPUS = Path(__file__).resolve().parents[1] / "corpus"


def test_every_mail_of_ours_arrives_once_as_postfix_alone_would_store_it(lab: Lab, own_mails: dict[str, bytes]) -> None:
    assert len(own_mails) > 15
    sent = [lab.send(message, f"{name}@lab.test") for name, message in own_mails.items()]
    assert all(one.queue_id for one in sent)
    for one in sent:
        one.stored_as = lab.without_earmark(one)
    assert_invariants(lab, sent)


def test_every_real_mail_arrives_once_and_unchanged(lab: Lab) -> None:
    directory = os.environ.get("EARMARK_MAILS", str(CORPUS))
    mails = sorted(Path(directory).rglob("*.eml"))
    assert len(mails) >= 60
    sent = [lab.send(file.read_bytes(), f"{number}@lab.test") for number, file in enumerate(mails)]
    assert all(one.queue_id for one in sent)
    for one in sent:
        one.stored_as = lab.without_earmark(one)
    assert_invariants(lab, sent)


@pytest.mark.parametrize("number", [1, 2, 3, 50])
def test_forged_fields_of_our_names_are_gone_however_many_there_are(lab: Lab, number: int) -> None:
    names = [b"X-Spam-Flag", b"x-spam-flag", b"X-SPAM-FLAG", b"X-Spam-Status", b"X-Earmark"]
    forged = b"".join(b"%s:\n YES %d\n" % (names[n % len(names)], n) for n in range(number))
    sent = lab.send(b"X-First: 1\n" + forged + b"Subject: forged\n" + forged + b"\nX-Spam-Flag: YES\n", "bob@lab.test")
    copy = lab.delivery("bob@lab.test")
    assert copy.folder == "INBOX"
    assert copy.message == b"X-First: 1\nSubject: forged\n\nX-Spam-Flag: YES\n"
    assert not any(b"YES" in field for field in copy.added if OUR_NAMES.match(field))
    assert_invariants(lab, [sent])


def test_a_header_field_of_200_kb_is_survived(lab: Lab) -> None:
    """Postfix cuts it at 60,000 bytes where a milter listens, so the rest is what is compared."""
    sent = lab.send(b"X-Long: " + b"a" * 200_000 + b"\nX-Spam-Flag: YES\nSubject: long\n\nbody\n", "bob@lab.test")
    copy = lab.delivery("bob@lab.test")
    assert copy.message.endswith(b"Subject: long\n\nbody\n")
    sent.stored_as = copy.message
    assert_invariants(lab, [sent])


def test_a_mail_sent_by_bdat_arrives_as_one_sent_by_data(lab: Lab, own_mails: dict[str, bytes]) -> None:
    message = own_mails["02-forged-own-fields"]
    sent = [lab.send(message, "data@lab.test"), lab.send(message, "bdat@lab.test", bdat=True)]
    assert lab.delivery("data@lab.test").message == lab.delivery("bdat@lab.test").message
    assert_invariants(lab, sent)
