"""The [[test]] tables of policy files as values: what comes in, what the DNS says, what must come of it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from earmark.config.policies import PolicyText
from earmark.config.problems import Problem
from earmark.config.schema import PolicyTestTable
from earmark.core.evidence import Points
from earmark.core.policy import Mode

NOBODYS_DOMAIN = "default.invalid"
"""Stands for a recipient domain that no file names, in the tests of default.toml."""


@dataclass(frozen=True, slots=True)
class PolicyTest:
    """One [[test]]."""

    key: str
    """Its place in the file as people write it: "test[0]"."""
    file: str
    """Relative to the configuration directory."""
    positions: Mapping[str, tuple[int, int]]
    """Line and column by key, such as "action" or "dns[2]"; of the table itself by ""."""
    policy: str
    """The domain or pattern by which `PolicySet.domains` has the file's policy; "" for default.toml."""
    mode: Mode
    """The policy's own mode: what this machine's mode holds back is not the policy's doing."""
    about: str
    client: str
    """Canonical text."""
    helo: str | None
    """None where the client said none."""
    sender: str
    """ "" for the null sender."""
    recipient: str
    user: str
    """Who authenticated; "" for nobody."""
    received: tuple[str, ...]
    """Values of Received fields, newest first, put before the fields of `message`."""
    message: str
    dns: tuple[str, ...]
    """Lines as `clients.offline.ZoneFile` reads them. A name that is not among them does not exist."""
    virus: str
    """What ClamAV finds; "" for nothing."""
    spam: Points
    """What SpamAssassin gives, at both looks."""
    action: str
    findings: tuple[str, ...] | None
    """The names of all findings; None where it does not matter which."""
    refuse_score: Points | None

    def problem(self, key: str, reason: str) -> Problem:
        """Return a problem with one of the test's settings, or with the test for ""."""
        position = self.positions.get(key) or self.positions[""]
        return Problem(self.file, *position, f"{self.key}.{key}".removesuffix("."), f"{self.about}: {reason}")


def tests_of(text: PolicyText, mode: Mode) -> Iterator[PolicyTest]:
    """Yield the tests of a policy file, whose policy has this mode."""
    domains = text.domains
    tables: list[PolicyTestTable] = text.settings.get("test", [])
    for number, table in enumerate(tables):
        yield PolicyTest(
            key=f"test[{number}]",
            file=text.document.name,
            positions=_positions(text, number, table),
            policy=domains[0] if domains else "",
            mode=mode,
            about=table.about,
            client=table.client,
            helo=table.helo,
            sender=table.sender,
            recipient=_recipient(table.rcpt, domains),
            user=table.user,
            received=tuple(table.received),
            message=table.message,
            dns=tuple(table.dns),
            virus=table.virus,
            spam=table.spam,
            action=table.action,
            findings=None if table.findings is None else tuple(table.findings),
            refuse_score=table.refuse_score,
        )


def _positions(text: PolicyText, number: int, table: PolicyTestTable) -> dict[str, tuple[int, int]]:
    position = text.document.position
    found = {"": position(("test", number))}
    for key in ("rcpt", "action", "findings", "refuse_score"):
        found[key] = position(("test", number, key))
    for key, entries in (("dns", table.dns), ("findings", table.findings or ())):
        found |= {f"{key}[{entry}]": position(("test", number, key, entry)) for entry in range(len(entries))}
    return found


def _recipient(written: str, domains: list[str]) -> str:
    """Return the recipient; where it has no domain, it gets the first one that the file is for."""
    if "@" in written:
        return written
    exact = [domain for domain in domains if not domain.startswith("*.")]
    below = [domain.replace("*", "host", 1) for domain in domains]
    return f"{written or 'somebody'}@{[*exact, *below, NOBODYS_DOMAIN][0]}"
