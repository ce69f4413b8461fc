"""What SpamAssassin said of a message, as lines of a Fact's data: the score, the last external relay, the rules."""

from collections.abc import Sequence
from typing import NamedTuple

from earmark.core.evidence import Points, points_text

RULES = 300
"""Rules that are kept of one scan; the score is over all of them."""


class SpamScore(NamedTuple):
    """One scan's result."""

    score: Points
    """The sum of the rules' scores, to the hundredth: SpamAssassin itself shows 4.96 as 4.9."""
    last_external: str
    """The address, canonical, that SpamAssassin took for the host that handed the message to us; "" for none."""
    rules: tuple[tuple[str, str], ...]
    """Name and score of each rule that hit, the heaviest first. The names decide nothing."""


def spam_score_data(found: SpamScore) -> tuple[str, ...]:
    """Return what `read_spam_score` reads: "5.30", "192.0.2.1", "RULE=1.778"; the address "-" where there is none."""
    rules = (f"{name}={score}" for name, score in found.rules[:RULES])
    return (points_text(found.score), found.last_external or "-", *rules)


def read_spam_score(data: Sequence[str]) -> SpamScore:
    """Return what `spam_score_data` wrote. Raises ValueError for anything else."""
    if len(data) < 2:
        raise ValueError(f"not the data of a spam scan: {data!r}")
    score, address, *rules = data
    pairs = (rule.rpartition("=") for rule in rules)
    return SpamScore(
        Points(round(float(score) * 100)),
        "" if address == "-" else address,
        tuple((name, points) for name, _, points in pairs),
    )
