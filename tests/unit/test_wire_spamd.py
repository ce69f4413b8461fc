"""What spamd is told, and what its answers come to: a score that it gave, or a RemoteError."""

import pytest

from earmark.wire import RemoteError
from earmark.wire.spamd import (
    REPLY_AT_MOST,
    RULES_AT_MOST,
    Report,
    decode_pong,
    decode_report,
    decode_tell,
    encode_report,
    encode_tell,
)
from fakes.spamd import framed, reply

STOCK_REPORT = b"""Spam detection software, running on the system "mx.example.org", has NOT identified this email

Content analysis details:   (4.9 points, 5.0 required)

 pts rule name              description
---- ---------------------- --------------------------------------------------
 4.9 LAB_ROUND              BODY: Just below five points
"""


def test_a_request_says_how_long_the_message_is_and_whose_preferences_hold() -> None:
    assert encode_report(12, "bob@example.org") == (
        b"REPORT SPAMC/1.5\r\nContent-length: 12\r\nUser: bob@example.org\r\n\r\n"
    )
    assert encode_report(12, "") == b"REPORT SPAMC/1.5\r\nContent-length: 12\r\n\r\n"


@pytest.mark.parametrize(
    "user",
    ["bob smith", "bob\r\nSet: local", "bob\n", "b\xf6b", "../root", "..", ".", "bob:x", "bob/x", "bob'", "b" * 256],
)
def test_a_user_of_an_odd_name_is_the_default_user(user: str) -> None:
    assert encode_report(12, user) == encode_report(12, "")


@pytest.mark.parametrize("user", ["bob", "bob@example.org", "bob+junk@example.org", "_a-b.c", "b" * 255])
def test_a_user_of_a_plain_name_is_named(user: str) -> None:
    assert f"User: {user}\r\n".encode() in encode_report(12, user)


def test_a_lesson_says_what_is_to_be_learnt() -> None:
    assert encode_tell(5, "spam", "bob") == (
        b"TELL SPAMC/1.5\r\nContent-length: 5\r\nMessage-class: spam\r\nSet: local\r\nUser: bob\r\n\r\n"
    )
    assert encode_tell(5, "ham", "") == (
        b"TELL SPAMC/1.5\r\nContent-length: 5\r\nMessage-class: ham\r\nSet: local\r\n\r\n"
    )
    assert encode_tell(5, "forget", "") == b"TELL SPAMC/1.5\r\nContent-length: 5\r\nRemove: local\r\n\r\n"


@pytest.mark.parametrize(
    ("said", "learnt"),
    [
        (b"SPAMD/1.1 0 EX_OK\r\nDidSet: local\r\n\r\n\r\n", True),
        (b"SPAMD/1.1 0 EX_OK\r\nDidRemove: local\r\n\r\n\r\n", True),
        (b"SPAMD/1.1 0 EX_OK\r\n\r\n\r\n", False),
        (b"SPAMD/1.1 0 EX_OK\r\nDidSet: remote\r\n\r\n\r\n", False),
    ],
)
def test_a_lesson_was_new_or_was_not(said: bytes, learnt: bool) -> None:  # noqa: FBT001 - a table's column
    assert decode_tell(said) is learnt


def test_a_spamd_that_may_not_learn_says_so() -> None:
    said = b"SPAMD/1.0 69 Service Unavailable: TELL commands are not enabled, set the --allow-tell switch.\r\n"
    with pytest.raises(RemoteError, match="--allow-tell"):
        decode_tell(said)


def test_a_pong_is_told_from_anything_else() -> None:
    decode_pong(b"SPAMD/1.5 0 PONG\r\n")
    for said in (b"", b"PONG", b"SPAMD/1.5 0 PING\r\n", b"SPAMD/1.0 76 Bad header line: (EOF during headers)\r\n"):
        with pytest.raises(RemoteError):
            decode_pong(said)


def test_the_score_is_the_sum_of_the_rules_heaviest_first() -> None:
    assert decode_report(reply("SMALL=0.001,GOOD=-2.3,LARGE=7.25", shown="5.0", external="2001:DB8::7")) == Report(
        495, "2001:DB8::7", (("LARGE", "7.25"), ("GOOD", "-2.3"), ("SMALL", "0.001"))
    )


@pytest.mark.parametrize(
    ("tests", "shown", "hundredths"),
    [
        ("LAB_ROUND=4.96", "4.9", 496),  # "5.0 of 5.0, no spam" is what SpamAssassin avoids to say
        ("A=4.999", "4.9", 499),  # not the 5.00 that it is not
        ("A=5", "5.0", 500),
        ("A=-1.001", "-1.0", -101),
        ("GTUBE=1000,NO_RELAYS=-0.001", "1000.0", 99999),
        ("none", "0.0", 0),
        ("A=-0.04", "-0.0", -4),
        ("A=1.1,B=5.55111512312578e-17", "1.1", 110),  # as perl writes a sum of decimals that is not quite 0
        (",".join(f"R{number}=0.01" for number in range(500)), "5.0", 500),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_score_is_exact_to_the_hundredth(tests: str, shown: str, hundredths: int) -> None:
    assert decode_report(reply(tests, shown=shown)).hundredths == hundredths


UNKNOWN = {
    "nothing": b"",
    "a status alone": b"SPAMD/1.1 0 EX_OK\r\n",
    "a status cut": b"SPAMD/1.1 0 EX",
    "no spamd": b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "another length": b"SPAMD/1.0 76 Bad header line: (Content-Length mismatch: Expected 5 bytes, got 4 bytes)\r\n",
    "a temporary failure": b"SPAMD/1.1 75 EX_TEMPFAIL\r\n",
    "too slow": b"SPAMD/1.0 79 Timeout: (30 second socket timeout reading input from client)\r\n",
    "a failure with a report": reply().replace(b" 0 EX_OK", b" 70 EX_SOFTWARE"),
    "no Spam line": reply().replace(b"Spam: ", b"Span: "),
    "no Content-length": reply().replace(b"Content-length: ", b"Content-size: "),
    "half a report": reply()[:-4],
    "more than the report": reply() + b"x",
    "no end of its header": reply().replace(b"\r\n\r\n", b"\r\n"),
    "the report of Debian's configuration": framed(STOCK_REPORT),
    "no template": framed(b"(no report template found)\n\n"),
    "our line only in what the mail says": framed(b"Content preview:\n earmark 1 external=192.0.2.7 tests=A=4.9\n"),
    "a tag that it does not know": framed(b"earmark 1 external=_LASTEXTERNALIP_ tests=A=4.9\n"),
    "no list of rules": reply(""),
    "a score of nan": reply(shown="nan"),
    "a score of inf": reply(shown="inf"),
    "a score of -inf": reply(shown="-inf"),
    "a score of 1e308": reply(shown="1e308"),
    "a decimal comma": reply("A=4,9", shown="4,9"),
    "a decimal comma in the rules alone": reply("A=4,9"),
    "a rule of nan": reply("A=4.9,B=nan"),
    "a rule of inf": reply("A=4.9,B=inf"),
    "a rule of 1e308": reply("A=4.9,B=1e308"),
    "a rule without score": reply("A=4.9,B"),
    "a rule without name": reply("A=4.9,=0"),
    "rules that do not add up": reply("A=4.7"),
    "no rule, and a score": reply("none"),
    "rules without number": reply(",".join(["A=0"] * (RULES_AT_MOST + 1)), shown="0.0"),
    "a score of a thousand digits": reply("A=1." + "0" * 1000, shown="1.0"),
    "more than can be right": framed(b"earmark 1 external= tests=A=4.9\n" + b"x" * REPLY_AT_MOST),
}


@pytest.mark.parametrize("said", UNKNOWN.values(), ids=UNKNOWN.keys())
def test_what_is_no_score_is_unknown_and_never_0(said: bytes) -> None:
    with pytest.raises(RemoteError) as caught:
        decode_report(said)
    assert len(str(caught.value)) < 400


def test_a_report_of_another_form_is_blamed_on_the_site_configuration() -> None:
    with pytest.raises(RemoteError, match=r"lacks earmark\.cf: see docs/spamassassin\.md"):
        decode_report(framed(STOCK_REPORT))


def test_lines_below_ours_are_somebody_elses() -> None:
    said = framed(
        b"earmark 1 external=192.0.2.7 tests=A=4.96\nearmark 1 external=198.51.100.1 tests=B=0\n" + STOCK_REPORT
    )
    assert decode_report(said) == Report(496, "192.0.2.7", (("A", "4.96"),))
