"""The protocol of SpamAssassin's spamd: requests of version 1.5, and what it answers.

A reply is whole when the server closes. Whatever is not exactly as expected is a RemoteError, for the caller to take as
"unknown": there is no score of 0 but one that SpamAssassin gave.
"""

import re
from decimal import ROUND_FLOOR, Decimal
from typing import Literal, NamedTuple

from earmark.wire import RemoteError

REPLY_AT_MOST = 64 * 1024
"""Bytes of a reply."""
RULES_AT_MOST = 1000
"""Rules that may have hit one message."""
PING = b"PING SPAMC/1.5\r\n\r\n"

_STATUS = re.compile(rb"SPAMD/\d{1,3}\.\d{1,3} (\d{1,3}) ([\x20-\x7e]{0,200})\r\n")
_SPAM = re.compile(rb"(?:True|False|Yes|No) ; (-?\d{1,7}(?:\.\d{1,3})?) / -?\d{1,7}(?:\.\d{1,3})?")
_REPORT = re.compile(rb"earmark 1 external=([0-9A-Fa-f:.]{0,45}) tests=(\S+)\s*")
_RULE = re.compile(r"([A-Za-z_][A-Za-z0-9_]{0,254})=(-?\d{1,6}(?:\.\d{1,17})?(?:e-\d{1,2})?)")
_USER = re.compile(r"(?!\.)[-A-Za-z0-9_.@+]{1,255}")
_ROUNDING = Decimal("0.1")
"""By how much the score that spamd shows may differ from the sum: 4.96 of 5 is shown as 4.9."""

Lesson = Literal["spam", "ham", "forget"]


class Report(NamedTuple):
    """What SpamAssassin found, as deploy/spamassassin/earmark.cf has it reported."""

    hundredths: int
    """The sum of the rules' scores in hundredths of a point, rounded down: none reaches a threshold that it misses."""
    last_external: str
    """The address that it took for the host that handed the message over, as it writes it; "" for none."""
    rules: tuple[tuple[str, str], ...]
    """Name and score of each rule that hit, the heaviest first."""


def encode_report(size: int, user: str) -> bytes:
    """Return what goes before a message of `size` bytes that is to be scanned.

    A user whose name spamd's protocol does not allow for, or "", has the preferences of the account that spamd runs as.
    """
    return _request("REPORT", size, user)


def encode_tell(size: int, lesson: Lesson, user: str) -> bytes:
    """Return what goes before a message of `size` bytes that is to be learnt as spam or ham, or to be forgotten."""
    headers = ("Remove: local",) if lesson == "forget" else (f"Message-class: {lesson}", "Set: local")
    return _request("TELL", size, user, *headers)


def _request(command: str, size: int, user: str, *headers: str) -> bytes:
    lines = [f"{command} SPAMC/1.5", f"Content-length: {size}", *headers]
    if _USER.fullmatch(user):
        lines.append(f"User: {user}")
    return "".join(f"{line}\r\n" for line in (*lines, "")).encode("ascii")


def decode_pong(reply: bytes) -> None:
    """Read the answer to PING. Raises RemoteError for any other."""
    if _status(reply)[0] != b"PONG":
        raise RemoteError(f"no PONG: {reply[:80]!r}")


def decode_tell(reply: bytes) -> bool:
    """Return whether spamd learnt; False where it knew that already. Raises RemoteError where it refuses."""
    headers, _ = _headers(reply)
    return b"local" in headers.get(b"didset", headers.get(b"didremove", b""))


def decode_report(reply: bytes) -> Report:
    """Read the whole answer to REPORT. Raises RemoteError for anything else, a report of another form included."""
    headers, body = _headers(reply)
    if headers.get(b"content-length") != b"%d" % len(body):
        raise RemoteError("its reply is cut short")
    shown = _SPAM.fullmatch(headers.get(b"spam", b""))
    if shown is None:
        raise RemoteError("its reply has no score")
    report = _REPORT.fullmatch(body.partition(b"\n")[0])
    if report is None:
        raise RemoteError("its site configuration lacks earmark.cf: see docs/spamassassin.md")
    rules = _rules(report[2].decode("ascii", "backslashreplace"))
    total = sum((score for _, score in rules), Decimal(0))
    if abs(total - Decimal(shown[1].decode())) > _ROUNDING:
        raise RemoteError(f"its rules add up to {total:.2f}, its score is {shown[1].decode()}")
    rules.sort(key=lambda rule: -abs(rule[1]))
    hundredths = int((total * 100).to_integral_value(ROUND_FLOOR))
    return Report(hundredths, report[1].decode(), tuple((name, f"{score:f}") for name, score in rules))


def _rules(text: str) -> list[tuple[str, Decimal]]:
    if text == "none":
        return []
    if text.count(",") >= RULES_AT_MOST:
        raise RemoteError(f"more than {RULES_AT_MOST} rules")
    rules = []
    for part in text.split(","):
        rule = _RULE.fullmatch(part)
        if rule is None:
            raise RemoteError(f"not a rule and its score: {part[:80]!r}")
        rules.append((rule[1], Decimal(rule[2])))
    return rules


def _status(reply: bytes) -> tuple[bytes, int]:
    """Return the words of the status line, and where it ends."""
    if not reply:
        raise RemoteError("closed without an answer")
    if len(reply) > REPLY_AT_MOST:
        raise RemoteError(f"more than {REPLY_AT_MOST} bytes")
    status = _STATUS.match(reply)
    if status is None:
        raise RemoteError(f"not of this protocol: {reply[:80]!r}")
    if int(status[1]):
        raise RemoteError(f"it refuses: {status[1].decode()} {status[2].decode()}")
    return status[2], status.end()


def _headers(reply: bytes) -> tuple[dict[bytes, bytes], bytes]:
    """Return the header fields of a reply by their names in lower case, and its body."""
    _, at = _status(reply)
    head, blank, body = reply[at:].partition(b"\r\n\r\n")
    if not blank:
        raise RemoteError("its reply is cut short")
    fields = (line.partition(b":") for line in head.split(b"\r\n"))
    return {name.lower(): value.strip() for name, _, value in fields}, body
