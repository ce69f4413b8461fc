"""The time-outs of deploy/sendmail/earmark.m4 against what earmark may take (RFC 5321 section 4.5.3.2)."""

import re
from pathlib import Path

from earmark.config.schema import ServerFile

LINES = Path(__file__).parents[2] / "deploy" / "sendmail" / "earmark.m4"
UNITS = {"s": 1, "m": 60}
CLIENT_WAITS = 600
"""Seconds for the answer to a message."""


def test_sendmail_waits_for_a_reply_as_long_as_earmark_may_take_and_a_client_longer() -> None:
    (filter_line,) = (line for line in LINES.read_text().splitlines() if line.startswith("INPUT_MAIL_FILTER("))
    times = {letter: int(number) * UNITS[unit] for letter, number, unit in re.findall(r"(\w):(\d+)(\w)", filter_line)}
    budget, scans = (ServerFile.model_fields[name].default for name in ("budget", "scan_budget"))
    assert times.keys() == set("CSRE")
    assert max(budget, scans) * 1.5 < times["R"] <= times["E"] < CLIENT_WAITS
    assert "F=T" in filter_line
