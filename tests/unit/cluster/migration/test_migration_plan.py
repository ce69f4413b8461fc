"""A plan is what the migration file and the source say: nothing else. EARMARK_UPDATE=1 writes it anew."""

import os
from pathlib import Path

import pytest

from earmark.cluster.migration.actions import Command, Edit
from earmark.cluster.migration.layout import layout, mapped_name
from earmark.cluster.migration.preflight import preflight
from earmark.cluster.migration.probes import probes
from earmark.cluster.migration.request import Request, load_request, read_request
from earmark.cluster.migration.shown import shown_plan
from earmark.cluster.migration.steps import plan_of
from earmark.config.problems import ConfigError
from fakes.migration import EXAMPLE, GIB, WHEEZY, example, facts

EXPECTED = Path(__file__).parent / "plan.expected"
SKELETON = 'kernel = "debootstrap"'


def commands(request: Request, **changes: str | None) -> list[str]:
    steps = plan_of(request, facts(request, **changes))
    return [str(action) for step in steps for action in step.actions]


def names(request: Request, **changes: str | None) -> list[str]:
    return [step.name for step in plan_of(request, facts(request, **changes))]


def test_the_example_with_a_debian_7_under_xen() -> None:
    request = example()
    seen = facts(request)
    steps = plan_of(request, seen)
    text = "".join(f"{line}\n" for line in shown_plan(request, seen, preflight(request, seen, steps), steps))
    if os.environ.get("EARMARK_UPDATE"):
        EXPECTED.write_text(text)
    assert text == EXPECTED.read_text()


def test_names_of_steps_are_their_own() -> None:
    for kernel in ("source", "debootstrap", "installed", "outside"):
        found = names(example(kernel=f'kernel = "{kernel}"'))
        assert len(found) == len(set(found))


def test_on_a_skeleton_kernel_and_modules_stay_and_are_made_before_the_copy() -> None:
    request = example(kernel=SKELETON)
    order = names(request)
    assert order.index("skeleton") < order.index("boot-loader") < order.index("leave") < order.index("first-copy")
    copies = [words for words in commands(request) if words.startswith("rsync")]
    assert len(copies) == 2
    assert all("--exclude=/boot --exclude=/lib/modules --exclude=/usr/lib/modules" in words for words in copies)
    assert any("--no-merged-usr" in words for words in commands(request))
    assert any("--merged-usr" in words for words in commands(request, merged="usr/lib\n"))


def test_an_installed_skeleton_is_taken_as_it_is() -> None:
    found = names(example(kernel='kernel = "installed"'))
    assert not {"partition", "root-volume", "root-file-system", "skeleton", "boot-loader"} & set(found)
    assert found.index("map") < found.index("activate") < found.index("mount") < found.index("first-copy")


def test_a_kernel_from_outside_needs_no_boot_loader() -> None:
    found = names(example(kernel='kernel = "outside"'))
    assert "partition" in found
    assert "boot-loader" not in found


def test_a_tree_has_nobody_to_stop() -> None:
    request = example(at='at = "/srv/old"', kernel='kernel = "outside"')
    steps = plan_of(request, facts(request, used="8388608\t/srv/old\n", inodes="9\t/srv/old\n"))
    assert not any(step.outage for step in steps)
    assert not any(isinstance(action, Command) and action.on == "source" for step in steps for action in step.actions)
    assert any("/srv/old/ /run/earmark-migrate/mail/" in words for words in commands(request))


def test_the_last_copy_comes_after_the_mail_is_stopped_and_before_the_source_is_held() -> None:
    order = names(example())
    wanted = ["first-copy", "stop-mta", "stop-services", "log-mark", "final-copy", "hold-source", "fstab", "unmount",
              "deactivate", "unmap", "switch-off", "define", "boot", "announce"]  # fmt: skip
    assert [name for name in order if name in wanted] == wanted


def test_a_source_that_cannot_leave_services_off_is_not_asked_to() -> None:
    assert "hold-source" not in names(example(), release="4.0\n")


def test_a_source_with_another_address_stays_on() -> None:
    assert "switch-off" not in names(example(address='address = "192.0.2.99"  # both lines begin so; the first is it'))


@pytest.mark.parametrize(
    ("packages", "kernel", "made"),
    [
        ("e2fsprogs i386 1.39+1.40-WIP-2006.11.14+dfsg-2 install ok installed\n", "2.6.18-6-686", "mkfs.ext3 -q"),
        ("e2fsprogs i386 1.42.5-1.1 install ok installed\n", "3.2.0-4-686-pae", "mkfs.ext4 -O ^64bit,^metadata_csum,"),
        (
            "e2fsprogs amd64 1.47.0-2 install ok installed\n",
            "6.1.0-9-amd64",
            "mkfs.ext4 -O ^metadata_csum_seed,^orphan_file -q",
        ),
    ],
)
def test_the_file_system_is_one_that_the_guest_understands(packages: str, kernel: str, made: str) -> None:
    found = [words.replace("'", "") for words in commands(example(), packages=packages, boot=f"vmlinuz-{kernel}\n")]
    assert any(words.startswith(made) for words in found)


def test_systemd_names_the_card_and_has_a_login_without_inittab() -> None:
    packages = "systemd-sysv amd64 252.1 install ok installed\n"
    found = commands(example(), packages=packages, inittab=None, rules="")
    assert any("10-earmark.link: net_link(interface=eth0, mac=52:54:00:c0:02:25)" in words for words in found)
    assert any("serial-getty@ttyS0.service" in words for words in found)
    assert not any("inittab" in words or "persistent-net" in words for words in found)


def test_what_is_mounted_from_elsewhere_and_swap_files_are_not_copied() -> None:
    fstab = "/dev/xvda2 / ext3 defaults 0 1\n/swap*file none swap sw 0 0\n"
    copy = next(words for words in commands(example(), fstab=fstab) if words.startswith("rsync"))
    assert "'--exclude=/srv/old mail/*'" in copy
    assert r"'--exclude=/swap\*file'" in copy


def test_an_rsync_before_3_is_asked_for_no_acls() -> None:
    copy = next(
        words for words in commands(example(), rsync="rsync  version 2.6.9  protocol version 29\n") if "rsync" in words
    )
    assert copy.startswith("rsync -aHS --numeric-ids")


@pytest.mark.parametrize(
    ("device", "name"),
    [
        ("/dev/drbd0", "drbd0"),
        ("/dev/vg_host/mail", "vg_host-mail"),
        ("/dev/vg-host/mail-1", "vg--host-mail--1"),
        ("/dev/mapper/vg_host-mail", "vg_host-mail"),
        ("/dev/loop7", "loop7"),
    ],
)
def test_partitions_bear_the_names_that_kpartx_gives_them(device: str, name: str) -> None:
    assert mapped_name(device) == name


def test_lvm_is_opened_for_one_partition_and_shut_for_all_else() -> None:
    opened = layout(example()).opened[1]
    assert opened.count('["a|^/dev/mapper/drbd0p1$|", "r|.*|"]') == 2
    for step in plan_of(example(), facts(example())):
        for action in step.actions:
            if isinstance(action, Command) and "vg_mail" in action.words and action.words[0] != "env":
                assert opened in action.words, action


def test_every_edit_stays_below_the_mounted_root() -> None:
    for step in plan_of(example(), facts(example())):
        for action in step.actions:
            assert not isinstance(action, Edit) or action.root == "/run/earmark-migrate/mail"


def test_probes_change_nothing() -> None:
    reads = {
        "ls",
        "cat",
        "find",
        "grep",
        "dpkg-query",
        "readlink",
        "df",
        "du",
        "rsync",
        "uname",
        "which",
        "blockdev",
        "vgs",
        "lvs",
    }
    for request in (example(), example(at='at = "/srv/old"')):
        assert {command.words[0] for command in probes(request).values()} <= reads


@pytest.mark.parametrize(
    ("good", "bad", "said"),
    [
        ('at = "root@198.51.100.25"', 'at = "-oProxyCommand=x"', "source.at: must be a host for ssh"),
        ('at = "root@198.51.100.25"', 'at = "/"', 'source.at: "/" is this very machine'),
        ('kind = "xen"', 'kind = "vmware"', "source.kind: must be one of xen, kvm, physical"),
        ('volume_group = "vg_mail"', 'volume_group = "vg-mail"', "target.volume_group: "),
        ("size = 40 ", "size = 2048 ", "target.size: 2048 is not between 1 and 2047"),
        ('services = ["spamassassin", "clamav-daemon"]', 'services = ["a b"]', "source.services[0]: "),
        ('name = "mail" ', 'nam = "mail" ', "nam: unknown setting"),
    ],
)
def test_what_is_wrong_with_a_file_is_said_with_its_place(good: str, bad: str, said: str) -> None:
    text = EXAMPLE.read_text()
    assert good in text
    with pytest.raises(ConfigError) as raised:
        read_request("migration.toml", text.replace(good, bad, 1).encode())
    assert any(said in line for line in raised.value.lines), raised.value.lines


def test_a_file_that_is_not_there_is_a_problem() -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load_request(Path("/nonexistent/migration.toml"))


def findings(request: Request, **changes: str | None) -> dict[str, bool]:
    seen = facts(request, **changes)
    return {finding.code: finding.refuses for finding in preflight(request, seen, plan_of(request, seen))}


def test_the_example_has_nothing_that_refuses() -> None:
    assert findings(example()) == {"userland-32-bit": False, "left-out": False}


def _packages(*leave_out: str, **add: str) -> str:
    kept = [line for line in WHEEZY["packages"].splitlines() if line.split()[0] not in leave_out]
    return "\n".join([*kept, *(f"{name} i386 {version} install ok installed" for name, version in add.items())])


@pytest.mark.parametrize(
    ("changes", "code", "refuses"),
    [
        ({"answers": None}, "source-unreachable", True),
        ({"machine": "aarch64\n"}, "architecture-here", True),
        ({"ia32": None}, "no-32-bit-here", True),
        ({"packages": "dpkg armhf 1.16 install ok installed\n"}, "architecture", True),
        ({"packages": ""}, "no-dpkg", True),
        ({"modules": "/lib/modules/3.2.0-4-686-pae/kernel/fs/ext4/ext4.ko\n"}, "no-kernel", True),
        ({"boot": "vmlinuz-2.6.18-6-xen-686\n"}, "no-kernel", True),
        ({"boot": ""}, "no-kernel", True),
        ({"boot": "vmlinuz-3.2.0-4-686-pae\nvmlinuz-3.16.0-xen\n"}, "newest-kernel", True),
        ({"packages": _packages("lvm2")}, "no-lvm2", True),
        ({"packages": _packages("initramfs-tools")}, "no-initramfs-tools", True),
        ({"packages": _packages("grub-pc", "grub-pc-bin")}, "no-grub", True),
        ({"packages": _packages("grub-pc", "grub-pc-bin", grub="0.97-67")}, "no-grub", True),
        ({"packages": _packages("acpid")}, "no-acpid", False),
        ({"packages": _packages("iputils-arping")}, "no-arping", False),
        ({"free": None}, "no-volume-group", True),
        ({"free": "1000000\n"}, "volume-group-full", True),
        ({"volume": f"{12 * GIB}\n"}, "disk-too-small", True),
        ({"used": "", "mounts": ""}, "size-unknown", True),
        ({"inodes": "F I U F P M\n/dev/xvda2 9999999 9000000 1 1% /\n"}, "too-many-files", True),
        ({"services": "postfix\nspamassassin\n"}, "no-service", True),
        ({"release": "4.0\n"}, "not-held", False),
        ({"rsync": None}, "no-rsync", True),
        ({"rsync": "rsync  version 2.6.9  protocol version 29\n"}, "old-rsync", False),
        ({"fstab": "# nothing\n"}, "no-root-in-fstab", False),
        ({"log": None}, "no-log", False),
        ({"interfaces": "iface lo inet loopback\n"}, "interface-unknown", False),
        ({"domain": None}, "no-domain", True),
        ({"domain": "<source dev='/dev/drbd0'/>"}, "other-mac", True),
        ({"domain": "<mac address='52:54:00:c0:02:25'/><source dev='/dev/drbd1'/>"}, "other-disk", True),
        ({"tools": "/sbin/rsync\n"}, "no-tool", True),
    ],
)
def test_what_stands_against_a_move_is_found(*, changes: dict[str, str | None], code: str, refuses: bool) -> None:
    assert findings(example(), **changes).get(code) is refuses


@pytest.mark.parametrize(
    ("changed", "code", "refuses"),
    [
        ({"mac": 'mac = "00:16:3e:c0:02:25"'}, "xen-mac", False),
        ({"kernel": 'kernel = "outside"'}, "no-kernel-outside", True),
        ({"volume": "", "resource": ""}, "no-device", True),
        ({"address": ""}, "address-unknown", False),
    ],
)
def test_what_the_file_itself_says_is_judged_too(*, changed: dict[str, str], code: str, refuses: bool) -> None:
    assert findings(example(**changed)).get(code) is refuses


def test_a_skeleton_asks_nothing_of_the_sources_kernel() -> None:
    found = findings(example(kernel=SKELETON), boot="", packages=_packages("grub-pc", "grub-pc-bin", "lvm2"))
    assert "no-kernel" not in found
    assert "no-grub" not in found
    assert found["no-lvm2"] is False


def test_modules_that_are_built_in_count() -> None:
    builtin = "".join(
        f"/lib/modules/3.2.0-4-686-pae/modules.builtin:kernel/drivers/{name}.ko\n"
        for name in ("virtio_pci", "virtio_blk", "virtio_net", "dm-mod", "ext4")
    )
    assert "no-kernel" not in findings(example(), modules="", builtin=builtin)
