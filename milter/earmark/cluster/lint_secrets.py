"""What no rendered file may be, whatever it is for: the place of a secret, open to all, a script that cannot run."""

import re
from collections.abc import Iterator

from earmark.cluster.files import Files, Finding
from earmark.cluster.inventory import Inventory

_SECRET = re.compile(
    r"(?<![\w-])(?:password|passwd|shared-secret|snmp_priv_passwd|api[_-]?key|secret)[\"']?\s{0,9}[=:]\s{0,9}[\"']?[^\s\"'/]",
    re.ASCII | re.IGNORECASE,
)
_KEY = re.compile(r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----", re.ASCII)


def lint_secrets(_: Inventory, files: Files) -> Iterator[Finding]:
    """Find secrets, and modes that do not fit."""
    for name, file in files.items():
        for number, line in enumerate(file.text.splitlines(), 1):
            if _KEY.search(line) or (not name.endswith(".py") and _is_secret(line)):
                reason = "a secret stands here, and whoever keeps these files keeps it too: name the file that holds it"
                yield Finding(f"{name}:{number}", "secret-inline", reason)
        if file.mode & 0o022:
            reason = f"its mode {file.mode:04o} lets others change it: set {file.mode & ~0o022:04o}"
            yield Finding(name, "file-writable", reason)
        if file.text.startswith("#!") and re.search(r"/s?bin/[^/]+$", name) and not file.mode & 0o100:
            reason = f"a program with the mode {file.mode:04o} does not start: set 0755"
            yield Finding(name, "file-not-executable", reason)


def _is_secret(line: str) -> bool:
    return not line.lstrip().startswith(("#", ";", "//")) and _SECRET.search(line[:2000]) is not None
