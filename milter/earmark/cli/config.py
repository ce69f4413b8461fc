"""`earmark config`: check the configuration, show what is in force, start a new one."""

import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from earmark.cli.exits import WRONG_USE, fail

if TYPE_CHECKING:
    from collections.abc import Iterator

    from earmark.config import Generation
    from earmark.config.show import Setting
    from earmark.core.policy import Policy

ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", "-c", help="Configuration directory.", show_default="/etc/earmark, else what is shipped"),
]


def register(app: typer.Typer) -> None:
    """Add the family."""
    family = typer.Typer(help="Check and show the configuration, or start a new one.", no_args_is_help=True)
    family.command()(check)
    family.command()(show)
    family.command()(init)
    app.add_typer(family, name="config")


def check(config: ConfigOption = None) -> None:
    """Read all files and run their tests; print what is wrong as file:line:column: key: reason, and exit with 1."""
    from earmark.config import ConfigError, find_directory
    from earmark.config.files import writable_by_others
    from earmark.config.problems import counted
    from earmark.service.engines import engine_problems
    from earmark.service.lists import keys_of
    from earmark.service.policy_tests import load_tested

    directory = find_directory(config)
    with _telling_problems():
        generation, shadow, shadow_directory = load_tested(directory)
        if problems := keys_of(generation, shadow)[1] + engine_problems(generation):
            raise ConfigError(problems)
    for path in writable_by_others(directory):
        print(f"warning: {path} can be changed by everybody on this machine", file=sys.stderr)
    policies = generation.policies
    counts = (
        counted(len(policies.all), "policy", "policies"),
        counted(len(policies.domains), "domain"),
        counted(len(generation.zones), "list"),
        counted(len(generation.tests), "test"),
    )
    print(f"ok: {', '.join(counts)}, generation {generation.id[:12]}")
    if shadow:
        print(f"ok: shadow {shadow_directory}, {counted(len(shadow.tests), 'test')}, generation {shadow.id[:12]}")


def show(
    config: ConfigOption = None,
    domain: Annotated[str, typer.Option("--domain", help="The policy of this recipient domain.")] = "",
    origin: Annotated[bool, typer.Option("--origin", help="Add the file and line that set each value.")] = False,
    different: Annotated[
        bool, typer.Option("-n", help="Only what differs from default.toml, or is not built in.")
    ] = False,
) -> None:
    """Print what is in force, as TOML: a domain's policy, or the default policy and this machine's settings."""
    from earmark.config import find_directory
    from earmark.config.show import lines

    generation = _load(find_directory(config))
    if domain:
        policy = _find(generation, domain)
        print(f"# the policy for {domain}: {policy.name}")
        settings = _of_domain(generation, policy, different)
    else:
        settings = _of_machine(generation, different)
    for line in lines(settings, origin=origin):
        print(line)


def _find(generation: "Generation", domain: str) -> "Policy":
    from earmark.config.values import host_name
    from earmark.core.mail import Address

    try:
        return generation.policies.find(Address(f"@{domain}", "", host_name(domain)))
    except ValueError as error:
        fail(f"--domain: {error}", WRONG_USE)


def _of_domain(generation: "Generation", policy: "Policy", different: bool) -> "Iterator[Setting]":
    from earmark.config.show import policy_settings

    usual = {setting[:3] for setting in policy_settings(generation.policies.default)} if different else set()
    yield from (setting for setting in policy_settings(policy) if setting[:3] not in usual)


def _of_machine(generation: "Generation", different: bool) -> "Iterator[Setting]":
    from earmark.config.server import built_in
    from earmark.config.show import policy_settings, server_settings_shown

    if not different:
        yield from policy_settings(generation.policies.default)
    usual = {setting[:3] for setting in server_settings_shown(built_in())} if different else set()
    yield from (setting for setting in server_settings_shown(generation.server) if setting[:3] not in usual)


def _load(directory: Path) -> "Generation":
    from earmark.config import load

    with _telling_problems():
        return load(directory)


@contextmanager
def _telling_problems() -> "Iterator[None]":
    from earmark.config import ConfigError

    try:
        yield
    except ConfigError as error:
        print("\n".join(error.lines), file=sys.stderr)
        raise typer.Exit(1) from None


def init(directory: Annotated[Path, typer.Argument(help="Where the files go, such as /etc/earmark.")]) -> None:
    """Copy the policies and rules that come with the program. Nothing that exists is overwritten."""
    from earmark.config.files import copy_shipped

    try:
        copied = copy_shipped(directory)
    except FileExistsError as error:
        print(f"{error.filename} exists; nothing was copied", file=sys.stderr)
        raise typer.Exit(1) from None
    except OSError as error:
        print(f"{error.filename}: {error.strerror}", file=sys.stderr)
        raise typer.Exit(1) from None
    print(f"{copied} files copied to {directory}; next: policies/server.toml, then earmark config check -c {directory}")
