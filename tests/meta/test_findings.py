"""Every finding is told in the manual and shown by a golden case."""

import re
import tomllib
from pathlib import Path

from earmark.core import recipients
from earmark.core.checks import (
    access,
    allowed,
    authentication,
    client,
    content,
    greylist,
    helo,
    rates,
    released,
    sender,
    spf,
)

ROOT = Path(__file__).resolve().parents[2]
MANUAL = (ROOT / "docs" / "findings.md").read_text()
CASES = "".join(path.read_text() for path in sorted((ROOT / "tests" / "golden" / "cases").glob("*.expected")))


def named_in_code() -> set[str]:
    """The names of all findings but those of lists, which are data."""
    modules = (access, allowed, authentication, client, content, greylist, helo, released, sender, spf)
    source = "".join(Path(module.__file__ or "").read_text() for module in modules)
    written = set(
        re.findall(
            r'"((?:ACCESS|AUTHOR|DKIM|DMARC|GREYLIST|NO|PTR|RELEASE|SCANNER|SENDER|HELO|SPAM|SPF)_?[A-Z_]+)"', source
        )
    )
    mark = content.WhenUnscanned.MARK
    scanning = content.ContentKnobs(
        clamav=content.Scanned.ALL, spamassassin=content.Scanned.ALL, virus_unscanned=mark, spam_unscanned=mark
    )
    return (
        written
        | {recipients.SEPARATED.name}
        | {word.upper() for word in scanning.after_data()}
        | {f"HELO_{name.upper()}" for name in helo._WHY}
        | {f"SPF_{knob.upper()}" for knob in spf._WEIGHTS.values()}
        | {f"RATE_{bucket.upper()}" for bucket in rates.BUCKETS}
    )


def test_every_finding_stands_in_the_manual_and_in_a_golden_case() -> None:
    assert len(named_in_code()) >= 16
    for name in named_in_code():
        assert f"`{name}`" in MANUAL, f"{name} is not in docs/findings.md"
        assert re.search(rf"^    {name} ", CASES, re.MULTILINE), f"no golden case shows {name}"


def test_the_manual_names_no_finding_that_does_not_exist() -> None:
    told = set(re.findall(r"^\| `([A-Z_]+)` ", MANUAL, re.MULTILINE))
    assert told == named_in_code() | {"RECEIVED_"}


def test_every_code_of_a_list_that_is_asked_by_default_stands_in_a_golden_case() -> None:
    default = tomllib.loads((ROOT / "policies" / "default.toml").read_text())
    asked = {name for table in default.values() if isinstance(table, dict) for name in table.get("zones", ())}
    zones = tomllib.loads((ROOT / "rules" / "zones.toml").read_text())["zone"]
    symbols = [code["symbol"] for zone in zones if zone["name"] in asked for code in zone["code"]]
    assert len(symbols) >= 10
    for symbol in symbols:
        assert re.search(rf"^    {symbol} ", CASES, re.MULTILINE), f"no golden case shows {symbol}"
