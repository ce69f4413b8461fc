"""Files of real machines, and what becomes of them. EARMARK_UPDATE=1 writes the expectations anew."""

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from earmark.cluster.migration import edits, edits_boot

DIRECTORY = Path(__file__).parent / "edits"
MAC = "52:54:00:c0:02:25"
OLD = {"bookworm": "enX0"}


def change(release: str, name: str) -> Callable[[str], str]:
    old = OLD.get(release, "eth0")
    disks = {"root": "/dev/mapper/vg_mail-root", "swap": "/dev/mapper/vg_mail-swap"}
    known: dict[str, Callable[[str], str]] = {
        "fstab": partial(edits.fstab, **disks, kind="ext3" if release == "etch" else "ext4"),
        "inittab": edits.inittab,
        "securetty": edits.securetty,
        "interfaces": partial(edits.interfaces, interface="eth0" if release == "etch" else "ens3", old=old),
        "grub": edits_boot.default_grub,
        "initramfs.conf": edits_boot.initramfs_most,
        "modules": edits_boot.initramfs_modules,
    }
    return known.get(name) or partial(edits.net_rules, interface=old, old=old, mac=MAC)


FILES = sorted(path for path in DIRECTORY.glob("*/*") if path.suffix != ".expected")


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_a_file_becomes_what_the_new_machine_needs_and_stays_so(path: Path) -> None:
    changed = change(path.parent.name, path.name)
    after = changed(path.read_text())
    expected = path.with_name(f"{path.name}.expected")
    if os.environ.get("EARMARK_UPDATE"):
        expected.write_text(after)
    assert after == expected.read_text()
    assert changed(after) == after


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_an_empty_file_is_made_as_good_as_any(path: Path) -> None:
    changed = change(path.parent.name, path.name)
    assert changed(changed("")) == changed("")


def test_bytes_that_are_no_text_stay_as_they_are() -> None:
    odd = b"# caf\xe9 \xc2\x85 \x0b\x1c\n/dev/xvda1 / ext3 defaults 0 1\n".decode("ascii", "surrogateescape")
    after = edits.fstab(odd, root="/dev/a", swap="/dev/b", kind="ext4").encode("ascii", "surrogateescape")
    assert after.startswith(b"# caf\xe9 \xc2\x85 \x0b\x1c\n/dev/a / ext4 defaults 0 1\n")


def test_a_card_may_have_another_name_than_before() -> None:
    rule = 'SUBSYSTEM=="net", ATTR{address}=="00:16:3e:11:22:33", NAME="eth0"\n'
    after = edits.net_rules(rule, interface="lan0", old="eth0", mac=MAC)
    assert after == f'SUBSYSTEM=="net", ATTR{{address}}=="{MAC}", NAME="lan0"\n'
    assert edits.net_rules(after, interface="lan0", old="eth0", mac=MAC) == after


def test_the_card_gets_its_name_by_its_address_where_systemd_looks() -> None:
    assert edits.net_link("", interface="eth0", mac=MAC) == f"[Match]\nMACAddress={MAC}\n\n[Link]\nName=eth0\n"
