import pytest

from earmark.core.verdict import Reply


def test_a_reply_shows_code_enhanced_code_and_text() -> None:
    assert str(Reply(550, "5.7.1", "Refused")) == "550 5.7.1 Refused"


@pytest.mark.parametrize(
    ("code", "enhanced"),
    [(250, "2.0.0"), (600, "5.7.1"), (550, "4.7.1"), (451, "5.7.1"), (550, "5.7"), (550, "5.7.1\n")],
)
def test_an_inconsistent_reply_cannot_be_built(code: int, enhanced: str) -> None:
    with pytest.raises(ValueError, match="code"):
        Reply(code, enhanced, "text")


def test_a_reply_is_one_line_of_bounded_length() -> None:
    reply = Reply(451, "4.7.1", "x\r\n250 OK " + "y" * 1000)
    assert "\r" not in reply.text
    assert "\n" not in reply.text
    assert len(reply.text) == 400


def test_replies_are_equal_by_what_they_say() -> None:
    assert Reply(550, "5.7.1", "no") == Reply(550, "5.7.1", "no")
    assert len({Reply(550, "5.7.1", "no"), Reply(550, "5.7.1", "no")}) == 1
