"""`earmark demo`: the embedded demonstration, which needs neither an MTA nor the network."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from earmark.demo.dialogues import Result
    from earmark.demo.embedded import Demonstration


def register(app: typer.Typer) -> None:
    """Add the family's commands."""
    app.command("demo")(demo)


def demo(
    *,
    once: Annotated[
        bool, typer.Option("--once", help="End after the table; exit 1 if a row is not as announced.")
    ] = False,
    port: Annotated[int, typer.Option(help="Where the receiver takes mail, on 127.0.0.1.")] = 2525,
) -> None:
    """Play telling SMTP dialogues through the real filter, show what happened and why, and keep serving."""
    import tempfile

    import uvloop

    with tempfile.TemporaryDirectory(prefix="earmark-demo-") as directory:
        try:
            good = uvloop.run(_run(Path(directory), once=once, port=0 if once else port))
        except KeyboardInterrupt:
            return
        except OSError as error:
            typer.echo(f"earmark demo: cannot listen on 127.0.0.1:{port}: {error.strerror}", err=True)
            raise typer.Exit(1) from error
    if not good:
        raise typer.Exit(1)


async def _run(directory: Path, *, once: bool, port: int) -> bool:
    import asyncio
    import signal

    from earmark.demo.dialogues import DIALOGUES
    from earmark.demo.embedded import Demonstration

    async with Demonstration(directory, port=port) as demonstration:
        results = [result for dialogue in DIALOGUES for result in await demonstration.play(dialogue)]
        _show(results)
        if not once:
            _invite(demonstration, results)
            stop = asyncio.Event()
            for number in (signal.SIGINT, signal.SIGTERM):
                asyncio.get_running_loop().add_signal_handler(number, stop.set)
            await stop.wait()
    return all(result.outcome == result.expected for result in results)


def _show(results: list[Result]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE, title="What was sent, and what became of it", title_justify="left")
    for name in ("outcome", "who, to whom, and why", "verdict"):
        table.add_column(name, overflow="fold")
    for result in results:
        dialogue = result.dialogue
        lines = [f"{dialogue.about} [{dialogue.client}] to {result.recipient}", f"  {dialogue.lesson}"]
        if result.reply:
            lines.append(f"  {result.reply}")
        if result.outcome != result.expected:
            lines.append(f"  NOT AS ANNOUNCED: {result.expected}")
        table.add_row(result.outcome, _plain("\n".join(lines)), result.verdict_id)
    console = Console()
    console.print(table)
    right = sum(result.outcome == result.expected for result in results)
    console.print(f"{right} of {len(results)} as announced.", highlight=False)


def _plain(text: str) -> str:
    from rich.markup import escape

    return escape(text)


def _invite(demonstration: Demonstration, results: list[Result]) -> None:
    print(f"""
Still serving; Ctrl-C ends it and removes everything.
  Mail sent to 127.0.0.1:{demonstration.port} is delivered below {demonstration.maildirs},
  with one Maildir for each recipient.
  Who connects there counts as 192.0.2.99; XCLIENT ADDR=198.51.100.66 claims another address.
  Every verdict explains itself, in another terminal:
    .venv/bin/earmark explain -c {demonstration.config} {results[1].verdict_id}
""")
