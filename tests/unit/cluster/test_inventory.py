from pathlib import Path

import pytest

from earmark.cluster.inventory import load_inventory, read_inventory
from earmark.config import ConfigError

EXAMPLE = Path(__file__).resolve().parents[3] / "deploy" / "cluster" / "inventory.example.toml"


def wrong(text: str) -> list[str]:
    with pytest.raises(ConfigError) as raised:
        read_inventory("inventory.toml", text.encode())
    return raised.value.lines


def test_the_example_is_read() -> None:
    inventory, document = load_inventory(EXAMPLE)
    assert [host.name for host in inventory.hosts] == ["hosta", "hostb"]
    assert [device.agent for device in inventory.host("hostb").fencing] == ["fence_ipmilan", "fence_apc_snmp"]
    assert inventory.peer("hosta").name == "hostb"
    assert inventory.guest
    assert inventory.guest.memory == 4096
    assert document.position(("guest", "memory"))[0] > document.position(("guest",))[0]


@pytest.mark.parametrize(
    ("good", "bad", "said"),
    [
        ('mac = "52:54:00:c0:02:25"', 'mac = "52-54"', 'guest.mac: "52-54" is not an address such as'),
        ('name = "hosta"', 'name = "Host A"', 'hosts[0].name: "Host A" is not a name'),
        ('drbd = "8.4"', 'drbd = "7"', 'storage.drbd: must be one of 8.4, 9, not "7"'),
        ("vcpu = 2", "vcpus = 2", "guest.vcpus: unknown setting"),
        ('agent = "fence_apc_snmp"', 'agent = "sh"', 'agent: "sh" is not a fence agent'),
        ('secret_file = "/etc/drbd.d/e', 'secret_file = "/etc/drbd d/e', "storage.secret_file: "),
        ('admin = "root"', """admin = 'root";reboot;"'""", "is not a mail address"),
        ('volume_group = "vg_host"', 'volume_group = "--help"', "which no hyphen begins"),
        ('secret_file = "/etc/drbd.d/e', 'secret_file = "/etc/../e', "without .. in it"),
        ('raid = "/dev/md1"', 'raid = "/dev/../etc/md1"', "is not a device"),
        ('gateway = "192.0.2.1"', "gateway = 192", "gateway: 192 is not an IPv4 address in quotes"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(good: str, bad: str, said: str) -> None:
    text = EXAMPLE.read_text()
    assert good in text
    lines = wrong(text.replace(good, bad, 1))
    assert any(said in line for line in lines), lines
    assert all(line.startswith("inventory.toml:") for line in lines)


def test_a_file_that_is_not_there_is_a_problem_of_the_file() -> None:
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        load_inventory(Path("/nonexistent/inventory.toml"))


@pytest.mark.parametrize("unit", ["-x.service", "@x.service", "x/../y.service"])
def test_a_unit_is_no_option_and_no_path(unit: str) -> None:
    lines = wrong(EXAMPLE.read_text().replace("memory = 16384 ", f'extra_services = ["{unit}"]\nmemory = 16384 ', 1))
    assert any("is not a systemd unit with its ending" in line for line in lines), lines


@pytest.mark.parametrize("mount", ["/", "//", "/.", "/srv/..", "/srv/./x"])
def test_a_groups_disk_is_not_mounted_over_the_whole_host(mount: str) -> None:
    lines = wrong(f'{EXAMPLE.read_text()}\n[group]\naddress = "192.0.2.26"\nmount = "{mount}"\ndisk = 1\nmemory = 64\n')
    assert any("group.mount: " in line for line in lines), lines


@pytest.mark.parametrize("disk", ["/dev/disk/by-path/pci-0000:00:1f.2-ata-1", "/dev/mapper/a--b-c", "/dev/sda2"])
def test_a_disk_may_have_its_long_name(disk: str) -> None:
    read, _ = read_inventory("inventory.toml", EXAMPLE.read_text().replace("/dev/sda2", disk).encode())
    assert read.hosts[0].disks[0] == disk
