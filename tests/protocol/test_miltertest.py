"""Both engines as OpenDKIM's scripted MTA sees it: a codec that is not ours, by which many milters were tested."""

import asyncio
import shutil
from pathlib import Path

import pytest

from fakes.milter_engines import Serve

MILTERTEST = shutil.which("miltertest")
SCRIPTS = sorted(Path(__file__).with_name("lua").glob("*.lua"))
WORDS = [
    ("zone", "7.0.0.0." + "0.0.0.0." * 5 + "8.b.d.0.1.0.0.2.zen.example A 127.0.0.2"),
    ("zone", "8.2.0.192.cop.example A 127.0.0.2"),
    ("policy", "strict.example refuse_at=200"),
]


@pytest.mark.skipif(not MILTERTEST, reason="miltertest is not installed")
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
async def test_the_script_runs_through(script: Path, serve: Serve) -> None:
    async with serve(WORDS) as scenario:
        process = await asyncio.create_subprocess_exec(
            str(MILTERTEST), "-D", f"socket=unix:{scenario.path}", "-v", "-v", "-s", str(script),
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        output, _ = await asyncio.wait_for(process.communicate(), 30)
        assert process.returncode == 0, output.decode()
