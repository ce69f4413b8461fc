"""Seeding defects into the example's inventory, and into the files that are rendered from it."""

from pathlib import Path
from typing import NamedTuple

from earmark.cluster.files import File, Finding
from earmark.cluster.inventory import Inventory, read_inventory
from earmark.cluster.lint import lint
from earmark.cluster.render import render
from earmark.config.document import Document

EXAMPLE = Path(__file__).resolve().parents[2] / "deploy" / "cluster" / "inventory.example.toml"

_GUEST = """[guest]
name = "mail"
address = "192.0.2.25"
mac = "52:54:00:c0:02:25"
bridge = "br0"
vcpu = 2
memory = 4096                        # MiB; each host must be able to hold it
disk = 40                            # GiB
boot = 40                            # seconds to the SMTP banner, measured: [timers] start is at least twice that
shutdown = 60                        # seconds to powered off, measured: [timers] stop is more
mta = "postfix"
contents = ["clamd", "spamd", "unbound"]
"""
_GROUP = """[group]
address = "192.0.2.25"
disk = 40
memory = 4096
"""


class Change(NamedTuple):
    """`old` is replaced by `new`, once."""

    old: str
    new: str


def example(*changes: Change) -> tuple[Inventory, Document]:
    """Return the example's inventory with the changes."""
    text = EXAMPLE.read_text()
    for change in changes:
        assert change.old in text, change.old
        text = text.replace(change.old, change.new, 1)
    return read_inventory("inventory.toml", text.encode())


NINE = Change('drbd = "8.4"', 'drbd = "9"')
GROUP = Change(_GUEST, _GROUP)
NO_ARBITRATOR = (
    Change('admin = "root"', 'admin = "root"\naccept = ["no_arbitrator"]'),
    Change('[arbitrator]\nname = "arbiter"\naddress = "192.0.2.13"\n', ""),
)


def changed(files: dict[str, File], name: str, *changes: Change) -> dict[str, File]:
    """Return files of which one has been edited."""
    text = files[name].text
    for change in changes:
        assert change.old in text, f"{name} has no {change.old!r}"
        text = text.replace(change.old, change.new, 1)
    return {**files, name: files[name]._replace(text=text)}


def edited(name: str, old: str, new: str, *of_inventory: Change) -> tuple[list[Finding], dict[str, File]]:
    """Return what lint finds in the example's files once one of them has been edited, and the files."""
    inventory, document = example(*of_inventory)
    files = changed(render(inventory), name, Change(old, new))
    return lint(inventory, document, files), files


def line_of(finding: Finding, text: str) -> str:
    """Return the line of the text that a finding names."""
    return text.splitlines()[int(finding.where.split(":")[1]) - 1]
