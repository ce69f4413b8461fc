"""SPF records, which end in a record or a ValueError, and the names that their macros make."""

from earmark.core.authentication.spf_macros import expand_name
from earmark.core.authentication.spf_record import RECORD_AT_MOST, read_record, select_record
from fuzz.running import Target

TOKENS = (
    b"%{", b"}", b"%", b"//", b"/", b":", b"=", b".", b" ", b"\0", b"\xff", b"%{s}", b"all", b"redirect=", b"9" * 50,
    b"a.", b"-", b"ip4:192.0.2.0/24", b"ip6:2001:db8::/32", b"include:", b"exists:%{ir}.", b"v=spf1 ",
)  # fmt: skip
_VALUES = dict.fromkeys("slodiphv", "a-b+c.d@" * 40)


def check(raw: bytes) -> str:
    text = select_record([raw.decode("latin-1")])
    if text is None:
        return "none"
    try:
        record = read_record(text)
    except ValueError as error:
        assert str(error).isprintable()  # noqa: PT017 - either is right
        return "refused"
    assert len(text) <= RECORD_AT_MOST
    for directive in record.directives:
        assert directive.text in text
        assert len(expand_name(directive.domain, _VALUES)) <= 253
    return f"record: {min(len(record.directives), 5)}"


TARGET = Target("spf", check, frozenset({"none", "refused", "record"}), TOKENS)
