"""Hypothesis draws the same examples in every run, so that a red run is red again; `--hypothesis-seed` varies them."""

from hypothesis import settings

settings.register_profile("earmark", derandomize=True, deadline=None, max_examples=100, database=None)
settings.load_profile("earmark")
