"""Token buckets: the arithmetic, and those of one process."""

import pytest

from earmark.core.evidence import Status, Taking
from earmark.stores.buckets import Buckets, take

NOW = 1_700_000_000.0
BUCKET = Taking("client", "192.0.2.7", "3/60")


def test_a_full_bucket_gives_its_tokens_at_once_and_then_one_as_it_drips_in() -> None:
    buckets = Buckets()
    times = [0, 0, 0, 0, 19, 20, 20, 41, 60, 60, 60]
    facts = [buckets.take(BUCKET, NOW + time) for time in times]
    assert [fact.status is Status.PASS for fact in facts] == [
        True, True, True, False, False, True, False, True, True, False, False,
    ]  # fmt: skip
    assert [fact.data for fact in facts[:5]] == [("2", "0"), ("1", "0"), ("0", "20"), ("0", "20"), ("0", "1")]


def test_each_bucket_is_its_own() -> None:
    buckets = Buckets()
    for other in (BUCKET, BUCKET._replace(key="192.0.2.8"), BUCKET._replace(limit="1/60")):
        assert buckets.take(other, NOW).status is Status.PASS


@pytest.mark.parametrize("poison", [float("nan"), float("inf"), NOW + 1e9, NOW + 61])
def test_a_time_that_cannot_be_empties_the_bucket_at_most(poison: float) -> None:
    _, full_at = take("3/60", poison, NOW)
    assert NOW <= full_at <= NOW + 60


def test_memory_is_bounded_and_who_is_busy_is_not_forgotten() -> None:
    buckets = Buckets(room=100)
    for number in range(1000):
        buckets.take(BUCKET._replace(key=f"192.0.2.{number}"), NOW)
        buckets.take(BUCKET, NOW)
    assert buckets.take(BUCKET, NOW).status is Status.FAIL
    assert len(buckets._young) + len(buckets._old) <= 200
