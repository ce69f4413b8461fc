"""What libmilter does instead, where it does not do as the native engine (the first table of tests/README.md)."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from earmark.wire.milter import Command, packet
from earmark.wire.milter_mta import mail, rcpt
from fakes import milter_engines
from fakes.dialogues import has_told
from fakes.milter_engines import TESTS, LibmilterProcess
from fakes.mta import CLIENT, Mta

LISTED = [("policy", "strict.example refuse_at=400"), ("zone", "7.2.0.192.cop.example A 127.0.0.2")]


async def test_a_connect_that_ends_after_its_family_is_closed(libmilter: LibmilterProcess) -> None:
    async with libmilter([]) as scenario:
        mta = await Mta.open(scenario.path)
        await mta.negotiate()
        mta.send(packet(Command.CONNECT, b"localhost\0L"))
        with pytest.raises((EOFError, ConnectionError)):
            await mta.hear()
        await mta.vanish()
        other = await Mta.open(scenario.path)
        await other.greet()
        assert (await other.message()).end == "continue"
        await other.vanish()


async def test_who_authenticated_stays_so_in_a_session_whose_mta_sends_no_macros_of_mail_again(
    libmilter: LibmilterProcess,
) -> None:
    """As AUTH itself does (RFC 4954 section 4). Who sends them with each MAIL, as MTAs do, says each time who it is."""
    async with libmilter(LISTED) as scenario:
        mta = await Mta.open(scenario.path)
        await mta.greet(CLIENT)
        heard = await mta.message(recipients=[b"<b@strict.example>"], user=b"bob")
        assert heard.replies == ["continue"]
        assert await mta.say(Command.MAIL, mail(b"<a@example.net>")) == "continue"
        assert await mta.say(Command.RCPT, rcpt(b"<b@strict.example>")) == "continue"
        mta.send(packet(Command.ABORT))
        heard = await mta.message(recipients=[b"<b@strict.example>"])
        assert heard.replies[0].startswith("550 5.7.1 ")
        scenario.refusals += heard.replies
        await mta.quit()
        await has_told(scenario.told, 2, "abort accept b@strict.example=accept user=bob exempt=authenticated as bob")


@asynccontextmanager
async def _impatient(directory: Path) -> AsyncIterator[str]:
    """Serve with an idle limit of a second; return the socket."""
    path = str(directory / "milter")
    process = await asyncio.create_subprocess_exec(
        sys.executable, TESTS / "fakes" / "libmilter_impatient.py", path,
        env={"PYTHONPATH": str(TESTS), "PATH": ""}, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdin
    assert process.stdout
    try:
        assert await process.stdout.readline() == b"listening\n"
        yield path
    finally:
        process.stdin.close()
        assert await asyncio.wait_for(process.wait(), 20) == 0


@pytest.mark.skipif(bool(milter_engines.missing()), reason=milter_engines.missing())
async def test_connections_that_stop_in_a_packet_are_closed_when_their_time_is_up(tmp_path: Path) -> None:
    async with _impatient(tmp_path) as path:
        slow = [await Mta.open(path) for _ in range(20)]
        for mta in slow:
            mta.send(packet(Command.BODY, bytes(1000))[:3])
        for mta in slow:
            with pytest.raises((EOFError, ConnectionError)):
                await mta.hear()
            await mta.vanish()
        other = await Mta.open(path)
        await other.greet()
        assert (await other.message()).end == "continue"
        await other.vanish()
