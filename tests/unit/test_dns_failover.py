"""Several resolvers: who is asked when one is gone, silent, refuses or errs."""

import asyncio
import socket
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import uvloop

from earmark.clients.dns import Resolver
from earmark.core.evidence import Status
from fakes.dnsd import dnsd
from fakes.waiting import until

Runner = Callable[[Coroutine[Any, Any, None]], None]
both_loops = pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


@both_loops
def test_a_single_resolver_that_is_gone_is_noticed_at_once_and_found_again(run: Runner) -> None:
    async def main() -> None:
        port = free_port()
        resolver = Resolver([f"127.0.0.1:{port}"])
        fact = await resolver.get("a.example", "A", give_up=5)
        assert (fact.status, fact.why) == (Status.TEMPERROR, "resolver unreachable: Connection refused")
        async with dnsd("*. A 127.0.0.2", port=port):
            assert (await resolver.get("b.example", "A")).status is Status.PASS
        resolver.close()

    run(main())


@both_loops
def test_a_resolver_that_refuses_hands_over_at_once(run: Runner) -> None:
    async def main() -> None:
        async with dnsd("*. A 127.0.0.2") as second:
            resolver = Resolver([f"127.0.0.1:{free_port()}", second.address])
            names = [f"n{number}.example" for number in range(200)]
            facts = await asyncio.gather(*(resolver.get(name, "A", give_up=0.4) for name in names))
            assert {(fact.status, fact.source) for fact in facts} == {(Status.PASS, second.address)}
            resolver.close()

    run(main())


async def test_a_silent_resolver_costs_its_first_askers_little_and_later_ones_nothing() -> None:
    async with dnsd("*. TIMEOUT") as first, dnsd("*. A 127.0.0.2") as second:
        resolver = Resolver([first.address, second.address])
        facts = await asyncio.gather(*(resolver.get(f"n{number}.example", "A", give_up=2) for number in range(5)))
        assert {fact.source for fact in facts} == {second.address}
        first.queries.clear()
        await asyncio.gather(*(resolver.get(f"m{number}.example", "A", give_up=2) for number in range(50)))
        assert len(first.queries) <= 1  # one may see whether it is back
        resolver.close()


async def test_a_resolver_that_is_back_is_used_again() -> None:
    port = free_port()
    async with dnsd("*. A 127.0.0.2") as second:
        resolver = Resolver([f"127.0.0.1:{port}", second.address])
        assert (await resolver.get("a.example", "A")).source == second.address
        names = iter(range(10_000))
        async with dnsd("*. A 127.0.0.3", port=port) as first:

            async def first_answers() -> bool:
                return (await resolver.get(f"n{next(names)}.example", "A")).source == first.address

            await until(first_answers)
            assert await first_answers()
        resolver.close()


@pytest.mark.parametrize("status", ["SERVFAIL", "servfail"])
async def test_an_error_of_one_resolver_is_put_to_the_next(status: str) -> None:
    async with dnsd(f"*. {status}") as first, dnsd("*. A 127.0.0.2") as second:
        resolver = Resolver([first.address, second.address])
        fact = await resolver.get("a.example", "A")
        assert (fact.status, fact.source) == (Status.PASS, second.address)
        resolver.close()


async def test_an_error_of_all_resolvers_is_unknown() -> None:
    async with dnsd("*. SERVFAIL") as first, dnsd("*. SERVFAIL") as second:
        resolver = Resolver([first.address, second.address])
        fact = await resolver.get("a.example", "A")
        assert (fact.status, fact.why, fact.source) == (Status.TEMPERROR, "SERVFAIL", second.address)
        assert (len(first.queries), len(second.queries)) == (1, 1)
        resolver.close()
