"""How another machine is reached. Its shell reads one line: the only place where words are quoted for one."""

import shlex

_SSH = ("ssh", "-T", "-o", "BatchMode=yes", "-o", "ConnectTimeout=10", "-o", "ServerAliveInterval=15")


def rsync_source(at: str) -> tuple[str, ...]:
    """Return rsync's words for the root of a source: a tree, or a machine by ssh."""
    if at.startswith("/"):
        return (f"{at}/",)
    return (f"--rsh={shlex.join(_SSH)}", f"{at}:/")


def by_ssh(at: str, words: tuple[str, ...]) -> tuple[str, ...]:
    """Return the words that run a command on another machine, whose shell gets each word quoted."""
    return (*_SSH, "--", at, shlex.join(("env", "LC_ALL=C", *words)))
