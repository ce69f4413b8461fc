"""server.toml made into ServerSettings."""

from ipaddress import IPv4Network, IPv6Network
from typing import Any

from earmark.config.document import Document
from earmark.config.schema import ServerFile, written
from earmark.config.settings import DnsSettings, HistorySettings, MilterSettings, ServerSettings, StoreSettings
from earmark.config.suffixes import registrable
from earmark.core.mail import Site
from earmark.core.policy import Place

LOOPBACK = (IPv4Network("127.0.0.0/8"), IPv6Network("::1/128"))
"""Always our own."""
TOP_LEVEL_OF_SERVER = ("mode", "user", "state", "shadow", "workers", "budget", "drain")


def server_settings(document: Document, file: ServerFile, domains: frozenset[str]) -> ServerSettings:
    """Return the machine's settings. `domains` are those that the domains' files name."""
    return ServerSettings(
        mode=file.mode,
        user=file.user,
        state=file.state,
        shadow=file.shadow,
        workers=file.workers,
        budget=file.budget,
        drain=file.drain,
        milter=MilterSettings(tuple(file.milter.listen), file.milter.socket_mode, file.milter.idle),
        dns=DnsSettings(tuple(file.dns.resolvers)),
        history=HistorySettings(file.history.days, file.history.megabytes),
        store=StoreSettings(file.store.url, file.store.password_file),
        site=Site(
            names=frozenset(file.site.names),
            addresses=frozenset(file.site.addresses),
            domains=domains.union(file.site.domains),
            networks=tuple(dict.fromkeys((*LOOPBACK, *file.site.networks))),
            relays=tuple(dict.fromkeys(file.site.relays)),
            authserv_id=next(iter(file.site.names), ""),
            registrable=registrable,
        ),
        places=_places(document, written(file)),
    )


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
