"""`earmark cluster`: from one inventory to checked files for the hosts of a highly available guest."""

import typer

from earmark.cli import cluster_lint, cluster_render, cluster_simulate


def register(app: typer.Typer) -> None:
    """Add the family."""
    family = typer.Typer(help="Render, lint, check and simulate the files of a cluster.", no_args_is_help=True)
    cluster_render.register(family)
    cluster_lint.register(family)
    cluster_simulate.register(family)
    app.add_typer(family, name="cluster")
