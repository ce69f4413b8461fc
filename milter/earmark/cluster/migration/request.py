"""The migration file: what moves, or begins, and whereto (deploy/cluster/migration.example.toml)."""

import re
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, PlainValidator, model_validator

from earmark.cluster.inventory import MOST_GUEST_DISK, Address, Device, Interface, Mac, Name
from earmark.config import values
from earmark.config.document import parse
from earmark.config.problems import ConfigError, Problem, quoted, whole_file
from earmark.config.schema import Table, validate

_LOGIN = re.compile(r"(?:[a-z_][a-z0-9_-]{0,31}@)?[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?", re.ASCII)
_GROUP = re.compile(r"[A-Za-z0-9_]{1,60}", re.ASCII)
_VOLUME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,59}/[A-Za-z0-9_][A-Za-z0-9_.-]{0,59}", re.ASCII)
_SERVICE = re.compile(r"[A-Za-z0-9][A-Za-z0-9@_.-]{0,79}", re.ASCII)
_RESOURCE = re.compile(r"[a-z][a-z0-9_-]{0,31}", re.ASCII)
_INTERFACE = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,14}", re.ASCII)
_SUITE = re.compile(r"[a-z]{3,20}", re.ASCII)
_MAILBOX = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+_-]{0,63}@[A-Za-z0-9][A-Za-z0-9.-]{0,252}", re.ASCII)


def _like(pattern: re.Pattern[str], what: str, *, empty: bool = False) -> PlainValidator:
    def read(value: object) -> str:
        if empty and value == "":
            return ""
        if not isinstance(value, str) or not pattern.fullmatch(value):
            raise ValueError(f"{quoted(value)} is not {what}")
        return value

    return PlainValidator(read)


def _place(value: object) -> str:
    if isinstance(value, str) and value.startswith("/"):
        path = str(values.directory(value))
        if path == "/":
            raise ValueError('"/" is this very machine')
        return path
    if not isinstance(value, str) or (value and not _LOGIN.fullmatch(value)):
        raise ValueError(f'must be a host for ssh such as "root@198.51.100.25", or a path, not {quoted(value)}')
    return value


def _count(least: int, most: int) -> PlainValidator:
    return PlainValidator(values.whole(range(least, most + 1)))


Place = Annotated[str, PlainValidator(_place)]
"""A machine that ssh reaches, or the path of a tree that is mounted here."""
FilePath = Annotated[str, PlainValidator(values.file_path)]
Service = Annotated[str, _like(_SERVICE, "the name of a service, without its ending")]
Words = list[Annotated[str, PlainValidator(values.ascii_line(200))]]


class Source(Table):
    """The machine that moves. It is read, its mail services are stopped, and nothing of it is ever deleted.

    Or there is none, `kind = "new"`: a guest that begins empty is made of a Debian, `files` and `authorized_keys`.
    """

    at: Place = ""
    kind: Literal["xen", "kvm", "physical", "new"]
    files: FilePath = ""
    """Of a new guest: a directory here whose files are laid over its root; `earmark cluster render` writes guest/."""
    authorized_keys: FilePath = ""
    """Of a new guest: a file here with the public keys that root may log in with. It has no password."""
    address: Address | None = None
    """Where it takes mail. The same as the guest's: then the source is switched off before the guest boots."""
    interface: Interface = "eth0"
    """As the source names it."""
    mta: Literal["postfix", "exim"] = "postfix"
    services: list[Service] = Field([])
    """Stopped after the MTA, in this order: the filter, and what else writes while mail comes."""
    drain: Annotated[int, _count(1, 3600)] = 120
    """Seconds that the MTA's processes get to end by themselves."""
    log: FilePath = "/var/log/mail.log"
    """The MTA's; "" where it logs to no file."""

    @model_validator(mode="after")
    def _old_or_new(self) -> Self:
        if self.kind != "new":
            if not self.at:
                raise ValueError('at is missing: the machine that moves, such as "root@198.51.100.25"')
            if self.files or self.authorized_keys:
                raise ValueError('files and authorized_keys are for kind = "new"')
        elif self.at:
            raise ValueError('a new guest comes from nowhere: leave out at, or kind = "new"')
        elif not self.authorized_keys:
            raise ValueError("authorized_keys is missing: without it nobody could log in to a new guest")
        return self


class Target(Table):
    """The disk here."""

    device: Device
    """What becomes the guest's disk: a DRBD device, or a logical volume."""
    volume: Annotated[str, _like(_VOLUME, "a logical volume such as vg_host/mail", empty=True)] = ""
    """Created where it is not there; "" where the device exists."""
    size: Annotated[int, _count(1, MOST_GUEST_DISK)]
    """GiB."""
    resource: Annotated[str, _like(_RESOURCE, "a DRBD resource", empty=True)] = ""
    """The DRBD resource that is brought up, and made primary here; "" where the device is ready."""
    swap: Annotated[int, _count(64, 65536)] = 1024
    """MiB."""
    volume_group: Annotated[str, _like(_GROUP, "a volume group of letters, digits and _")]
    """Inside the guest. No other machine's that is ever seen from here may be called so."""
    kernel: Literal["source", "debootstrap", "installed", "outside"] = "source"
    """Whose kernel and boot loader: the source's own; of a Debian that is put on the disk first; of one that an
    installer has put there; the domain's <kernel>, as Xen's guests often have it."""
    suite: Annotated[str, _like(_SUITE, "a suite such as bookworm")] = "bookworm"
    mirror: Annotated[str, PlainValidator(values.url)] = "https://deb.debian.org/debian"
    security: Annotated[str, PlainValidator(values.url)] = "https://deb.debian.org/debian-security"
    """Where a new guest has security updates from."""
    mount: FilePath = "/run/earmark-migrate"
    """Below it the guest's disk is mounted meanwhile."""


class Guest(Table):
    """The virtual machine."""

    mac: Mac
    address: Address | None = None
    """Where it takes mail; nothing is checked from outside where it is not set."""
    interface: Annotated[str, _like(_INTERFACE, "a network interface", empty=True)] = ""
    """Its name in the guest; the source's where it is not set."""
    at: Place = ""
    """How to look into it once it runs; "" looks from outside alone."""
    domain: FilePath = ""
    """The libvirt domain's file; "" ends with a disk that is ready."""
    start: Words = Field([])
    """What starts it, instead of `virsh start NAME`: under Pacemaker, what lets the resource run."""
    stop: Words = Field([])
    """What stops it, instead of `virsh shutdown NAME`."""
    boot: Annotated[int, _count(5, 3600)] = 300
    """Seconds until its SMTP server answers, at most."""
    probe: Annotated[str, _like(_MAILBOX, "a mailbox", empty=True)] = ""
    """Who gets a message afterwards that says that mail comes through; "" sends none."""


class Request(Table):
    """One migration."""

    schema_: Annotated[Literal[1], Field(alias="schema")]
    name: Name
    """Of the guest, of its libvirt domain and of the journal."""
    source: Source
    target: Target
    guest: Guest

    @model_validator(mode="after")
    def _kernel_of_its_own(self) -> Self:
        if self.is_new and self.target.kernel != "debootstrap":
            raise ValueError('a new guest has [target] kernel = "debootstrap"')
        return self

    @property
    def is_new(self) -> bool:
        """Whether there is no source: the guest begins empty."""
        return self.source.kind == "new"

    @property
    def by_ssh(self) -> bool:
        """Whether the source is a running machine."""
        return not self.is_new and not self.source.at.startswith("/")

    @property
    def root(self) -> str:
        """What stands before a path of the source: "" on a running machine."""
        return "" if self.by_ssh else self.source.at

    @property
    def on_skeleton(self) -> bool:
        """Whether the files come onto a Debian whose kernel stays."""
        return self.target.kernel in ("debootstrap", "installed")

    @property
    def takes_over(self) -> bool:
        """Whether the guest gets the address that the running source has."""
        return self.by_ssh and self.source.address is not None and self.source.address == self.guest.address


def read_request(name: str, content: bytes) -> Request:
    """Return the migration in a file's bytes. Raises ConfigError with all problems."""
    document = parse(name, content)
    if isinstance(document, Problem):
        raise ConfigError([document])
    request, problems = validate(document, Request)
    if request is None:
        raise ConfigError(problems)
    return request


def load_request(path: Path) -> Request:
    """Read a migration file. Raises ConfigError, also where it cannot be read."""
    try:
        return read_request(str(path), path.read_bytes())
    except OSError as error:
        raise ConfigError([whole_file(str(path), f"cannot be read: {error.strerror or error}")]) from None
