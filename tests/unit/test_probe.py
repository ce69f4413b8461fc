"""`earmark probe` against the real front, and against what is none."""

import asyncio
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from earmark.cli.probe import register
from fakes.milter_front import milter_front
from fakes.policy_front import policy_front

app = typer.Typer()
register(app)


@app.callback()
def _family() -> None:
    """Keep the command's name, as the whole command line does."""


async def probe(*words: str) -> tuple[int, str]:
    result = await asyncio.to_thread(CliRunner().invoke, app, ["probe", *words])
    return result.exit_code, result.output


async def test_a_milter_that_answers_is_named_with_what_was_agreed() -> None:
    async with milter_front() as running:
        code, output = await probe(f"unix:{running.path}")
        await asyncio.wait_for(running.front.drained(), 10)
        assert not running.events.lines
    assert code == 0
    assert (
        output
        == f"unix:{running.path}: milter version 6, actions ADDHDRS|ADDRCPT|DELRCPT|CHGHDRS|QUARANTINE|SETSYMLIST\n"
    )


async def test_a_policy_door_that_answers_is_named_with_its_answer() -> None:
    async with policy_front() as running:
        code, output = await probe("--policy", f"unix:{running.path}")
        await asyncio.wait_for(running.front.drained(), 10)
        assert not running.events.lines
        assert not running.world.asked
    assert code == 0
    assert output == f"unix:{running.path}: policy door, action DUNNO\n"


async def test_nobody_at_the_socket_is_said_in_one_line(tmp_path: Path) -> None:
    code, output = await probe(f"unix:{tmp_path}/none")
    assert code == 1
    assert output == f"unix:{tmp_path}/none: No such file or directory\n"


async def probe_one_who_says(answer: bytes | None, *words: str) -> tuple[int, str]:
    """Probe a server that says this to everybody; None: nothing."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        if answer is not None:
            writer.write(answer)
        else:
            await reader.read(100)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        address = f"inet:127.0.0.1:{server.sockets[0].getsockname()[1]}"
        code, output = await probe(address, "--timeout", "0.5", *words)
    return code, output.removeprefix(f"{address}: ")


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"", "closed without an answer"),
        (b"220 mx.example.org ESMTP\r\n", "packet of 842149920 bytes"),
        (b"\0\0\0\1c", "answered something else than negotiation"),
        (b"\0\0\0\x0dO\0\0\0\x63\0\0\0\0\0\0\0\0", "version 99 in answer to 6"),
        (None, "timed out"),
    ],
)
async def test_what_is_no_milter_fails_with_the_reason(answer: bytes | None, reason: str) -> None:
    assert await probe_one_who_says(answer) == (1, f"{reason}\n")


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"", "closed without an answer"),
        (b"action=DUNNO\n", "closed in the middle of an answer"),
        (b"HTTP/1.1 400\n\n", r"no action: b'HTTP/1.1 400\n\n'"),
        (b"y" * 5000, f"no action: {b'y' * 80!r}"),
        (None, "timed out"),
    ],
)
async def test_what_is_no_policy_door_fails_with_the_reason(answer: bytes | None, reason: str) -> None:
    assert await probe_one_who_says(answer, "--policy") == (1, f"{reason}\n")


@pytest.mark.parametrize("address", ["/run/milter", "inet:25", "inet:host:port", "unix:", "tcp:host:25"])
async def test_an_address_that_is_none_is_a_usage_error(address: str) -> None:
    code, _ = await probe(address)
    assert code == 2
