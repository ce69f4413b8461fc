"""`earmark cluster`: from one inventory to checked files for the hosts of a highly available guest."""

import typer

from earmark.cli import cluster_lint, cluster_render, cluster_simulate
from earmark.cli.exits import fail


def register(app: typer.Typer) -> None:
    """Add the family."""
    family = typer.Typer(help=_with_templates.__doc__, callback=_with_templates, no_args_is_help=True)
    cluster_render.register(family)
    cluster_lint.register(family)
    cluster_simulate.register(family)
    app.add_typer(family, name="cluster")


def _with_templates() -> None:
    """Render, lint, check and simulate the files of a cluster."""
    try:
        import earmark.cluster.templates  # noqa: F401 - all of these commands need it
    except ModuleNotFoundError as error:
        fail(f"{error.name} is missing: pip install '.[cluster]' where earmark's source is")
