"""Hypothesis draws the same examples in every run, so that a red run is red again; `--hypothesis-seed` varies them.

`./dev test --quick` sets EARMARK_QUICK: a quarter of the examples.
"""

import os

from hypothesis import settings

_EXAMPLES = 25 if os.environ.get("EARMARK_QUICK") else 100

settings.register_profile("earmark", derandomize=True, deadline=None, max_examples=_EXAMPLES, database=None)
settings.load_profile("earmark")
