"""The inventory: one file that says what a cluster consists of (deploy/cluster/inventory.example.toml).

What is said here is checked for its form alone; what does not fit together is found by `earmark.cluster.lint`.
"""

import re
from ipaddress import IPv4Address, IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, PlainValidator

from earmark.config import values
from earmark.config.document import Document, parse
from earmark.config.problems import ConfigError, Problem, quoted, whole_file
from earmark.config.schema import Table, validate

_NAME = re.compile(r"[a-z](?:[a-z0-9-]{0,30}[a-z0-9])?", re.ASCII)
_DEVICE = re.compile(r"(?=.{6,105}\Z)/dev(?:/(?!\.{1,2}(?:/|\Z))[A-Za-z0-9_.:+-]+)+", re.ASCII)
_MAC = re.compile(r"(?:[0-9a-f]{2}:){5}[0-9a-f]{2}", re.ASCII)
_UNIT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9@_.:-]{0,79}\.(?:service|socket|timer|target|path)", re.ASCII)
_INTERFACE = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,14}", re.ASCII)
_WORD = re.compile(r"[A-Za-z0-9_.-]{1,60}", re.ASCII)
_AGENT = re.compile(r"fence_[a-z0-9_]{1,40}", re.ASCII)
_GROUP = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,59}", re.ASCII)
_PATH = re.compile(r"(?=.{2,201}\Z)(?:/(?!\.{1,2}(?:/|\Z))[A-Za-z0-9_.+-]+)+", re.ASCII)
_PATH_OR_NONE = re.compile(r"(?:(?=.{2,201}\Z)(?:/(?!\.{1,2}(?:/|\Z))[A-Za-z0-9_.+-]+)+)?", re.ASCII)
_MAILBOX = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+=@-]{0,99}", re.ASCII)
_PARAMETER = re.compile(r"[\x21-\x7e]{1,200}", re.ASCII)


def _like(pattern: re.Pattern[str], what: str) -> PlainValidator:
    def read(value: object) -> str:
        if not isinstance(value, str) or not pattern.fullmatch(value):
            raise ValueError(f"{quoted(value)} is not {what}")
        return value

    return PlainValidator(read)


def _ipv4(value: object) -> IPv4Address:
    if not isinstance(value, str):
        raise ValueError(f"{quoted(value)} is not an IPv4 address in quotes")  # noqa: TRY004 - pydantic reports this one
    return IPv4Address(value)


def _network(value: object) -> IPv4Network:
    read: IPv4Network | IPv6Network = values.network(value)
    if not isinstance(read, IPv4Network):
        raise ValueError(f"{quoted(value)} is not an IPv4 network")  # noqa: TRY004 - as above
    return read


Name = Annotated[str, _like(_NAME, "a name of small letters, digits and hyphens, 32 at most")]
Device = Annotated[str, _like(_DEVICE, "a device such as /dev/sda")]
Mac = Annotated[str, _like(_MAC, "an address such as 02:00:00:00:00:01, in small letters")]
Unit = Annotated[str, _like(_UNIT, "a systemd unit with its ending")]
Interface = Annotated[str, _like(_INTERFACE, "a network interface of 15 characters at most")]
Word = Annotated[str, _like(_WORD, "one word of letters, digits, _ . -")]
VolumeGroup = Annotated[str, _like(_GROUP, "a volume group of letters, digits, _ . -, which no hyphen begins")]
Agent = Annotated[str, _like(_AGENT, "a fence agent such as fence_ipmilan")]
Parameter = Annotated[str, _like(_PARAMETER, "a value without spaces, 200 characters at most")]
Address = Annotated[IPv4Address, PlainValidator(_ipv4)]
Network = Annotated[IPv4Network, PlainValidator(_network)]
FilePath = Annotated[str, _like(_PATH, "an absolute path of letters, digits and / _ . + -, without .. in it")]
"""Of the characters that shells and the languages of all the rendered files leave alone."""


def _count(least: int, most: int) -> PlainValidator:
    return PlainValidator(values.whole(range(least, most + 1)))


class Link(Table):
    """A host's end of the backplane."""

    interface: Interface
    address: Address


class ServiceLink(Link):
    """A host's end of the service network: a bridge over the interface, on which the guest hangs too."""

    bridge: Interface = "br0"
    mac: Mac
    """Of the bridge. A bridge without an address of its own takes a port's, and changes it when ports come and go."""


class Fencing(Table):
    """One device that can cut one host's power. The password stands in a file on the other hosts."""

    agent: Agent
    parameters: dict[Word, Parameter] = Field({})
    """As the agent's metadata name them, such as ip, username, lanplus, plug."""
    password_file: Annotated[str, _like(_PATH_OR_NONE, "an absolute path of letters, digits and / _ . + -")] = ""
    """A script that prints the password (`password_script` of the agents); "" where the agent needs none."""


class Host(Table):
    """A machine that can run the service."""

    name: Name
    memory: Annotated[int, _count(512, 16_777_216)]
    """MiB that the machine has."""
    disks: Annotated[list[Device], Field(min_length=1, max_length=8)]
    """Members of the RAID1 that carries the volume group."""
    backplane: Link
    service: ServiceLink
    fencing: list[Fencing] = Field([])
    """The first level first."""
    extra_services: list[Unit] = Field([])
    """Enabled units beyond those that a host needs."""


class Arbitrator(Table):
    """A third machine that votes (qnetd) and carries nothing."""

    name: Name
    address: Address


class Storage(Table):
    """The replicated disk."""

    raid: Device = "/dev/md0"
    volume_group: VolumeGroup = "vg_host"
    drbd: Literal["8.4", "9"]
    """The dialect of the files: Debian's kernel carries 8.4, LINBIT's module is 9. Each refuses the other's."""
    port: Annotated[int, _count(1024, 65535)] = 7788
    secret_file: FilePath = "/etc/drbd.d/secret"  # noqa: S105 - where it stands, not what it is
    """Holds the one line `common { net { shared-secret "..."; } }`; included by the rendered file."""


MOST_GUEST_DISK = 2047
"""GiB: a guest boots by BIOS from an MS-DOS partition table, which ends at 2 TiB."""


class Guest(Table):
    """The virtual machine."""

    name: Name
    address: Address
    mac: Mac
    bridge: Interface = "br0"
    vcpu: Annotated[int, _count(1, 256)]
    memory: Annotated[int, _count(256, 4_194_304)]
    """MiB."""
    disk: Annotated[int, _count(1, 65536)]
    """GiB."""
    boot: Annotated[int, _count(1, 3600)]
    """Seconds from start to an answering SMTP server, measured."""
    shutdown: Annotated[int, _count(1, 3600)]
    """Seconds from the shutdown request to powered off, measured."""
    mta: Literal["postfix", "exim"] = "postfix"
    contents: list[Literal["clamd", "spamd", "unbound", "dovecot"]] = Field([])
    """What runs in it beside the MTA and earmark."""


class Group(Table):
    """The service without a virtual machine: an address, a file system and systemd units."""

    address: Address
    mount: FilePath = "/srv/earmark"
    disk: Annotated[int, _count(1, 65536)]
    """GiB."""
    memory: Annotated[int, _count(64, 4_194_304)]
    """MiB that the units need."""
    units: list[Unit] = Field(["earmark.service", "postfix@-.service"], min_length=1)
    """In the order of their start. Debian 12's postfix.service starts nothing by itself, and so is always well."""


class Timers(Table):
    """How long what is waited for. Defaults are those of Debian's packages where they have one."""

    token: Annotated[int, _count(500, 60_000)] = 3000
    """corosync's, milliseconds."""
    qdevice: Annotated[int, _count(1000, 120_000)] = 10_000
    """Heartbeat of the arbitrator, milliseconds."""
    qdevice_sync: Annotated[int, _count(1000, 240_000)] = 30_000
    """The same during a change of membership, milliseconds."""
    ping_interval: Annotated[int, _count(1, 300)] = 10
    """Seconds between pings of the ping targets."""
    ping_dampen: Annotated[int, _count(1, 300)] = 5
    """Seconds that a lost target must be lost for."""
    monitor: Annotated[int, _count(2, 600)] = 15
    """Seconds between looks at the service."""
    start: Annotated[int, _count(10, 7200)] = 120
    """Seconds that a start may take."""
    stop: Annotated[int, _count(10, 7200)] = 180
    """Seconds that a stop may take; then the host is fenced."""
    drain: Annotated[int, _count(0, 3600)] = 30
    """Seconds that sessions under way get in a planned move."""
    failure: Annotated[int, _count(1, 86_400)] = 600
    """Seconds after which a failure is forgotten (failure-timeout)."""
    recheck: Annotated[int, _count(30, 3600)] = 60
    """Seconds between looks without a cause (cluster-recheck-interval)."""
    fencing: Annotated[int, _count(5, 600)] = 60
    """Seconds that fencing may take (stonith-timeout)."""
    fencing_attempts: Annotated[int, _count(1, 1000)] = 100
    """After which Pacemaker waits for the next recheck (stonith-max-attempts)."""
    drbd_ping: Annotated[int, _count(1, 120)] = 2
    """Seconds between pings of the peer's disk."""
    drbd_timeout: Annotated[int, _count(1, 600)] = 15
    """Tenths of a second until the peer's disk counts as gone."""


class Inventory(Table):
    """A cluster: two hosts, an arbitrator, and a guest or a group."""

    schema_: Annotated[Literal[1], Field(alias="schema")]
    name: Name
    hosts: Annotated[list[Host], Field(min_length=2, max_length=2)]
    arbitrator: Arbitrator | None = None
    backplane: Network
    service: Network
    gateway: Address
    ping: Annotated[list[Address], Field(min_length=1)]
    """Hosts of the service network whose loss means that a host has no network; the gateway and one more."""
    prefer: Name | None = None
    """The host on which the service runs when it can choose; either where it is not set."""
    storage: Storage
    guest: Guest | None = None
    group: Group | None = None
    timers: Timers = Timers()
    filter_failure: Literal["alarm", "move"] = "alarm"
    """What a filter that does not answer means while the guest's SMTP server does."""
    accept: list[Literal["no_arbitrator"]] = Field([])
    """What is refused unless it is named here."""
    admin: Annotated[str, _like(_MAILBOX, "a mail address, or a local part")] = "root"
    """Who is told of fencing and split brain."""

    def host(self, name: str) -> Host:
        """Return the host of that name. Raises KeyError."""
        return {host.name: host for host in self.hosts}[name]

    def peer(self, name: str) -> Host:
        """Return the other host."""
        return next(host for host in self.hosts if host.name != name)


def read_inventory(name: str, content: bytes) -> tuple[Inventory, Document]:
    """Return the inventory in a file's bytes, with the places of its settings. Raises ConfigError with all problems."""
    document = parse(name, content)
    if isinstance(document, Problem):
        raise ConfigError([document])
    inventory, problems = validate(document, Inventory)
    if inventory is None:
        raise ConfigError(problems)
    return inventory, document


def load_inventory(path: Path) -> tuple[Inventory, Document]:
    """Read an inventory. Raises ConfigError, also where the file cannot be read."""
    try:
        return read_inventory(str(path), path.read_bytes())
    except OSError as error:
        raise ConfigError([whole_file(str(path), f"cannot be read: {error.strerror or error}")]) from None
