"""What must hold after every test of a front, whatever it was about (as far as a milter socket shows it)."""

import asyncio
import gc
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from earmark.core.evidence import Listing, ReverseName
from earmark.core.policy import Mode
from earmark.core.record import Judged
from earmark.core.verdict import Action


def descriptors() -> int:
    """How many file descriptors this process has open."""
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def resident() -> int:
    """How many bytes of memory this process has in use."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Before:
    """What the process held before the test."""

    descriptors: int
    resident: int

    @classmethod
    def now(cls) -> "Before":
        gc.collect()
        return cls(descriptors(), resident())

    async def holds(self, told: Sequence[Judged], refusals: Sequence[str], budget: float) -> None:
        """Assert that nothing is left behind, and that every refusal and every verdict is accounted for."""
        async with asyncio.timeout(10):
            while descriptors() > self.descriptors:  # noqa: ASYNC110 - the kernel sends no event for it
                await asyncio.sleep(0.01)
        gc.collect()
        assert resident() < self.resident * 1.2 + 32 * 2**20
        assert len({judged.id for judged in told}) == len(told), "one verdict for each transaction"
        for judged in told:
            _is_sound(judged, budget)
        allowed = {str(outcome.reply) for judged in told for _, _, outcome in judged.recipients if outcome.reply}
        for refusal in refusals:
            assert refusal in allowed or refusal.startswith("452 4.5.3"), f"nobody's policy says {refusal}"


def _is_sound(judged: Judged, budget: float) -> None:
    envelope = judged.txn.envelope
    about = {envelope.client.address} | {hop.address for hop in judged.txn.message.hops}
    for question in judged.facts:
        if isinstance(question, Listing | ReverseName):
            assert question.address in about, "a fact of another session"
    assert judged.elapsed < budget * (len(judged.recipients) + 1) + 1.0
    for _, policy, outcome in judged.recipients:
        if outcome.action is Action.REJECT:
            assert policy.mode is Mode.ENFORCE
            assert policy.refuses
            if any(policy.after_data.get(found.opt_in) is Action.REJECT for found in outcome.findings):
                continue  # after DATA, by the domain's own word
            assert outcome.refuse_score >= policy.refuse_at
            assert not envelope.exempt
            assert not envelope.relay
