"""Filling in the templates of deploy/cluster/templates. Why by Jinja2: docs/adr/0015-templates-are-jinja2.md."""

from functools import cache

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from earmark.config.files import shipped


def fill(name: str, **values: object) -> str:
    """Return the template of that name (a path below deploy/cluster/templates), with its values filled in.

    What a template names and is not given is an error, jinja2.UndefinedError. In a template whose name ends in ".xml"
    values are escaped for XML; everywhere else they stand as they are, so that a value must have no line end in it,
    which the inventory sees to.
    """
    return _environment().get_template(name).render(values)


@cache
def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(shipped() / "deploy" / "cluster" / "templates"),
        undefined=StrictUndefined,
        autoescape=select_autoescape(["xml"], default=False),
        keep_trailing_newline=True,
    )
