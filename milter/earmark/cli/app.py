"""The `earmark` command: its families of sub-commands, one file each."""

import typer

from earmark.cli import (
    access,
    cluster,
    compare,
    config,
    demo,
    doctor,
    explain,
    greylist,
    learn,
    lessons,
    lists,
    migrate,
    probe,
    quarantine,
    received,
    serve,
    session,
)

app = typer.Typer(
    name="earmark",
    help="SMTP policy milter: refuses on the connection and the envelope, marks on the headers.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
)
for family in (
    serve,
    config,
    explain,
    compare,
    session,
    received,
    access,
    greylist,
    quarantine,
    learn,
    lessons,
    lists,
    probe,
    doctor,
    cluster,
    migrate,
    demo,
):
    family.register(app)
