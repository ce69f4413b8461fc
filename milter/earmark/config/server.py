"""server.toml made into ServerSettings."""

from collections.abc import Iterator
from ipaddress import IPv4Network, IPv6Network
from typing import Any

from earmark.config.document import Document
from earmark.config.problems import Problem, quoted
from earmark.config.schema import ServerFile, written
from earmark.config.settings import (
    DnsSettings,
    DoorSettings,
    HistorySettings,
    LearningSettings,
    MilterSettings,
    QuarantineSettings,
    ScannerSettings,
    ServerSettings,
    StoreSettings,
)
from earmark.config.suffixes import registrable
from earmark.core.mail import Site
from earmark.core.policy import Place

LOOPBACK = (IPv4Network("127.0.0.0/8"), IPv6Network("::1/128"))
"""Always our own."""
TOP_LEVEL_OF_SERVER = ("mode", "user", "state", "shadow", "workers", "budget", "scan_budget", "drain")


def server_settings(document: Document, file: ServerFile, domains: frozenset[str]) -> ServerSettings:
    """Return the machine's settings. `domains` are those that the domains' files name."""
    return ServerSettings(
        mode=file.mode,
        user=file.user,
        state=file.state,
        shadow=file.shadow,
        workers=file.workers,
        budget=file.budget,
        scan_budget=file.scan_budget,
        drain=file.drain,
        milter=MilterSettings(file.milter.engine, tuple(file.milter.listen), file.milter.socket_mode, file.milter.idle),
        policy=DoorSettings(tuple(file.policy.listen), file.policy.idle),
        exim=DoorSettings(tuple(file.exim.listen), file.exim.idle),
        dns=DnsSettings(tuple(file.dns.resolvers)),
        history=HistorySettings(file.history.days, file.history.megabytes),
        store=StoreSettings(file.store.url, file.store.password_file),
        clamd=ScannerSettings(tuple(file.clamd.endpoints), file.clamd.at_once),
        spamd=ScannerSettings(tuple(file.spamd.endpoints), file.spamd.at_once),
        quarantine=QuarantineSettings(file.quarantine.submission),
        learning=LearningSettings(file.learning.journal, file.learning.per_hour, file.learning.days),
        site=Site(
            names=frozenset(file.site.names),
            addresses=frozenset(file.site.addresses),
            domains=domains.union(file.site.domains),
            networks=tuple(dict.fromkeys((*LOOPBACK, *file.site.networks))),
            relays=tuple(dict.fromkeys(file.site.relays)),
            authserv_id=next(iter(file.site.names), ""),
            registrable=registrable,
            scanners=frozenset(_scanners(file)),
        ),
        places=_places(document, written(file)),
    )


def _scanners(file: ServerFile) -> Iterator[str]:
    if file.clamd.endpoints:
        yield "clamav"
    if file.spamd.endpoints:
        yield "spamassassin"


def socket_problems(document: Document, file: ServerFile) -> Iterator[Problem]:
    """Find sockets that are listened on twice: each leads through one door, whose protocol is spoken there."""
    served: dict[str, str] = {}
    for door in ("milter", "policy", "exim"):
        for number, spec in enumerate(getattr(file, door).listen):
            socket = spec.lower() if spec.startswith("inet:") else spec
            if socket in served:
                yield document.problem(
                    (door, "listen", number), f"[{served[socket]}] listens on {quoted(spec)} already"
                )
            served.setdefault(socket, door)
    if file.milter.engine == "libmilter" and len(file.milter.listen) > 1:
        reason = 'engine = "libmilter" listens on one socket; engine = "native" listens on several'
        yield document.problem(("milter", "listen", 1), reason)


def built_in() -> ServerSettings:
    """Return the settings of a machine whose server.toml sets nothing."""
    return server_settings(Document("", {}, {}, (0,)), ServerFile(schema=1), frozenset())


def _places(document: Document, settings: dict[str, Any]) -> dict[str, Place]:
    found: dict[str, Place] = {}
    for key, value in settings.items():
        if isinstance(value, dict):
            found |= {f"{key}.{name}": document.place((key, name)) for name in value}
        elif key in TOP_LEVEL_OF_SERVER:
            found[key] = document.place((key,))
    return found
