"""Laws of token buckets, whatever the limit and whenever somebody comes."""

from hypothesis import given
from hypothesis import strategies as st

from earmark.core.evidence import Status, Taking
from earmark.stores.buckets import Buckets, read_limit

limits = st.builds(lambda tokens, seconds: f"{tokens}/{seconds}", st.integers(1, 50), st.integers(1, 5000))
steps = st.lists(st.one_of(st.just(0.0), st.floats(0, 500)), max_size=80)


@given(limits, steps)
def test_in_no_time_does_more_get_through_than_the_bucket_and_what_drips_in(limit: str, waits: list[float]) -> None:
    tokens, seconds = read_limit(limit)
    buckets, now, taken = Buckets(), 1_700_000_000.0, []
    for wait in waits:
        now += wait
        if buckets.take(Taking("client", "192.0.2.7", limit), now).status is Status.PASS:
            taken.append(now)
    for first in range(len(taken)):
        for last in range(first, len(taken)):
            allowed = tokens + (taken[last] - taken[first]) * tokens / seconds
            assert last - first + 1 <= allowed + 0.01


@given(limits, steps)
def test_who_waits_as_long_as_told_gets_a_token(limit: str, waits: list[float]) -> None:
    buckets, now = Buckets(), 1_700_000_000.0
    asked = Taking("client", "192.0.2.7", limit)
    for wait in waits:
        now += wait
        fact = buckets.take(asked, now)
        if fact.status is Status.FAIL:
            now += int(fact.data[1])
            assert buckets.take(asked, now).status is Status.PASS
