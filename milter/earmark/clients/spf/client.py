"""SPF as a client: from a CheckHost question to its Fact."""

import asyncio

from earmark.clients.dns import Lookups
from earmark.clients.dns.chains import Chains, unknown
from earmark.clients.spf.evaluation import Evaluation
from earmark.core.evidence import CheckHost, Fact
from earmark.core.mail import parse_address_text

_SECONDS_AT_MOST = 20.0
"""After which a check is given up as TEMPERROR; the least that RFC 7208 section 4.6.4 asks for."""


class Spf(Chains[CheckHost]):
    """Answers what `CheckHost` asks, by our own resolver."""

    def __init__(self, resolver: Lookups, *, cache_size: int = 5_000) -> None:
        super().__init__(resolver, cache_size=cache_size)

    async def answer(self, question: CheckHost) -> Fact:
        """Find the answer."""
        address = parse_address_text(question.address)
        if not address:
            return unknown("not an address")
        try:
            async with asyncio.timeout(_SECONDS_AT_MOST):
                return await Evaluation(self._resolver, question._replace(address=address)).run()
        except TimeoutError:
            return unknown("timeout")
