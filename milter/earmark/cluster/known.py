"""What the programs know whose files are looked at: deploy/cluster/known.toml, read once."""

import tomllib
from collections.abc import Mapping
from functools import cache
from typing import Any, NamedTuple

from earmark.config.files import shipped


class Agent(NamedTuple):
    """The parameters of a resource agent or fence agent."""

    required: frozenset[str]
    optional: frozenset[str]

    @property
    def parameters(self) -> frozenset[str]:
        """All of them."""
        return self.required | self.optional


@cache
def known() -> Mapping[str, Any]:
    """Return the tables as they stand in the file."""
    return tomllib.loads((shipped() / "deploy" / "cluster" / "known.toml").read_text(encoding="utf-8"))


@cache
def agents() -> Mapping[str, Agent]:
    """Return the agents whose parameters are known, by "ocf:linbit:drbd" or "stonith:fence_ipmilan"."""
    tables = known()
    found = {
        name: Agent(frozenset(table["required"]), frozenset(table["optional"]))
        for name, table in tables["agents"].items()
    }
    common = frozenset(tables["fencing"]["common"]) | frozenset(tables["pacemaker"]["device_parameters"])
    for family in tables["fencing"]["family"]:
        agent = Agent(frozenset(family["required"]), frozenset(family["optional"]) | common)
        found |= {f"stonith:{name}": agent for name in family["agents"]}
    return found


@cache
def fence_agents() -> frozenset[str]:
    """Return the names of all fence agents that Debian has, such as "fence_ipmilan"."""
    fencing = known()["fencing"]
    families = [name for family in fencing["family"] for name in family["agents"]]
    return frozenset([*families, *fencing["not_power"], *fencing["on_board"], *fencing["others"]])
