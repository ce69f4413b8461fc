"""What configuration becomes: plain values, read once at load and never changed."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from earmark.config.policy_tests import PolicyTest
from earmark.core.mail import Site
from earmark.core.policy import Mode, Place, PolicySet
from earmark.core.zones import Zone


@dataclass(frozen=True, slots=True)
class MilterSettings:
    """[milter]: where the MTA finds us, and who speaks with it there."""

    engine: str
    """"native", or "libmilter", which takes pymilter and one socket."""
    listen: tuple[str, ...]
    """"unix:/path" or "inet:host:port" ("inet:[::1]:port" for IPv6), as Postfix spells them."""
    socket_mode: int
    """Permissions of unix sockets."""
    idle: float
    """Seconds after which a silent connection is closed."""


@dataclass(frozen=True, slots=True)
class DoorSettings:
    """[policy] and [exim]: where those find us who do not speak milter."""

    listen: tuple[str, ...]
    """As in MilterSettings; none means that there is no such door."""
    idle: float
    """Seconds after which a silent connection is closed."""


@dataclass(frozen=True, slots=True)
class DnsSettings:
    """[dns]: whom to ask."""

    resolvers: tuple[str, ...]
    """"address" or "address:port" ("[::1]:53"), in order of preference; none means those of /etc/resolv.conf."""


@dataclass(frozen=True, slots=True)
class HistorySettings:
    """[history]: how much is remembered."""

    days: int
    megabytes: int


@dataclass(frozen=True, slots=True)
class StoreSettings:
    """[store]: where the state of greylisting and rates is kept."""

    url: str
    """As `values.store_url` reads it; "" for a file in the state directory."""
    password_file: str
    """The file that holds Redis' password; "" for none."""


@dataclass(frozen=True, slots=True)
class ScannerSettings:
    """[clamd] and [spamd]: a content scanner."""

    endpoints: tuple[str, ...]
    """"unix:/path" or "inet:host:port", in order of preference; none means that there is no such scanner."""
    at_once: int
    """Messages that all workers together have it scan at once; each worker one at least."""


@dataclass(frozen=True, slots=True)
class QuarantineSettings:
    """[quarantine]: how what is released gets back to the MTA."""

    submission: str
    """"inet:host:port" of an SMTP server that takes mail from this machine."""


@dataclass(frozen=True, slots=True)
class LearningSettings:
    """[learning]: what `earmark learn` lets users teach."""

    journal: Path
    """Directory of the journal."""
    per_hour: int
    """Lessons of one teacher."""
    days: int
    """How long lessons are remembered."""


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """server.toml: this machine."""

    mode: Mode
    user: str
    """The account to run as; required when started as root."""
    state: Path
    """Directory of the history and the control socket."""
    shadow: str
    """Directory of a second set of policies that judges the same and changes nothing; "" for none."""
    workers: int
    """Worker processes; 0 means one a core."""
    budget: float
    """Seconds that RCPT, and end of message, may wait for answers."""
    scan_budget: float
    """Seconds that the content scanners may take at the end of a message."""
    drain: float
    """Seconds that a stopping or reloading worker gives to the transactions under way."""
    milter: MilterSettings
    policy: DoorSettings
    exim: DoorSettings
    dns: DnsSettings
    history: HistorySettings
    store: StoreSettings
    clamd: ScannerSettings
    spamd: ScannerSettings
    quarantine: QuarantineSettings
    learning: LearningSettings
    site: Site
    places: Mapping[str, Place] = field(default_factory=dict)
    """By setting, such as "milter.listen": the file and line that made it; what is built in has none."""

    @property
    def doors(self) -> tuple[tuple[str, str], ...]:
        """What serves where: "milter", "policy" or "exim", and the listening socket."""
        served = (("milter", self.milter.listen), ("policy", self.policy.listen), ("exim", self.exim.listen))
        return tuple((front, spec) for front, specs in served for spec in specs)


@dataclass(frozen=True, slots=True)
class Generation:
    """All files as read at once, and what they mean."""

    id: str
    """Hexadecimal SHA-256 over the names and bytes of all files."""
    files: Mapping[str, bytes]
    """By path relative to the configuration directory."""
    server: ServerSettings
    policies: PolicySet
    zones: Mapping[str, Zone]
    """All live zones of rules/zones.toml that some policy uses, by name."""
    tests: tuple[PolicyTest, ...] = ()
    """What the policy files say of themselves, for `service.policy_tests` to run."""
    key_files: Mapping[str, str] = field(default_factory=dict)
    """By list's name, the file of its key: of all lists in rules/, those that no policy asks yet among them."""
