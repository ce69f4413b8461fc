from earmark.core.text import decoded, printable


def test_printable_text_stays_as_it_is() -> None:
    assert printable("mail.example.net [192.0.2.7]") == "mail.example.net [192.0.2.7]"


def test_control_characters_and_line_ends_are_replaced() -> None:
    assert printable("a\r\nX-Spam-Flag: NO\x1b[2J\x00\x7f") == "a??X-Spam-Flag: NO?[2J??"


def test_what_is_not_ascii_is_replaced() -> None:
    assert printable("b\u00fccher \u202e \U0001f4e7 \udcff") == "b?cher ? ? ?"


def test_text_is_cut_and_says_so() -> None:
    assert printable("a" * 500, 10) == "aaaaaaa..."
    assert len(printable("\x00" * 500, 10)) == 10


def test_bytes_that_are_not_utf8_are_told_as_escapes() -> None:
    assert decoded(b"ab\xff\xfe") == r"ab\xff\xfe"
    assert decoded("b\u00fccher.example".encode()) == "b\u00fccher.example"
    assert len(decoded(b"\xff" * 5000)) == 4000
