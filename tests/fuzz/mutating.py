"""A small mutator: it damages what the corpus holds.

Hypothesis, which the laws of `property` use, draws some hundred examples a second and begins with nothing. This makes
tens of thousands, from real wire bytes, which gets behind lengths and keywords; the same for the same seed.
"""

import random
from collections.abc import Sequence

LARGEST = 8192
"""Bytes of an input. What is larger is not damaged further: it says little more and takes much longer."""


class Mutator:
    """Makes inputs of those in `pool`, to which the caller may add."""

    def __init__(self, chance: random.Random, pool: Sequence[bytes], tokens: Sequence[bytes]) -> None:
        """`tokens` are the words and separators of the protocol."""
        self.chance = chance
        self._pool = pool
        self._tokens = tokens

    def seed(self) -> bytes:
        """Return one of the pool as it is."""
        return self.chance.choice(self._pool)

    def damaged(self, raw: bytes, most: int = 6) -> bytes:
        """Return it with up to `most` damages."""
        for _ in range(self.chance.randint(0, most)):
            raw = self._once(raw)
        return raw[:LARGEST]

    def _once(self, raw: bytes) -> bytes:
        chance = self.chance
        at = chance.randrange(len(raw) + 1)
        before, after = raw[:at], raw[at:]
        token = chance.choice(self._tokens) * chance.choice((1, 1, 1, 1, 2, 300))
        repeated = raw[chance.randrange(len(raw) + 1) :][: chance.randint(1, 200)]
        other = self.seed()
        flipped = bytes([after[0] ^ 1 << chance.randrange(8)]) if after else b""
        changes = (
            token + after,
            token + after,
            after[chance.randint(1, 30) :],
            repeated + after,
            other[chance.randrange(len(other) + 1) :],
            chance.randbytes(chance.randint(1, 4)) + after[1:],
            flipped + after[1:],
            b"",
        )
        return before + chance.choice(changes)
