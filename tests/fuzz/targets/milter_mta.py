"""What a filter says by milter, as the MTA's side reads it: `earmark probe`, and the tests' own MTA."""

from earmark.wire.milter_mta import MtaSide
from fuzz.checking import heard_alike
from fuzz.running import Target
from fuzz.targets.milter import damaged_packets

TOKENS = (
    b"\0", b"\0\0\0\0", b"\0\0\0\1", b"\xff\xff\xff\xff", b"550 5.7.1 ", b"%%", b"%", b"X-Spam-Flag\0", b" YES\0",
    b"\xff", b"\0\0\0\6", b"\0\0\0\5j\0", b"<b@example.org>\0", b"\0\0\0\2Oc",
)  # fmt: skip


def check(raw: bytes) -> str:
    responses, why = heard_alike(lambda: MtaSide().feed, raw)
    if why:
        return why
    side = MtaSide()
    side.feed(raw)
    if side.agreed:
        assert int(side.agreed.actions) | 0x1FF == 0x1FF
        assert int(side.agreed.steps) | 0x1FFFFF == 0x1FFFFF
    return f"{'responses' if responses else 'part'}: {sorted({type(one).__name__ for one in responses})}"


TARGET = Target("milter_mta", check, frozenset({"responses", "part", "refused"}), TOKENS, damaged_packets)
