"""Which lists a generation asks: those of its policies, and those that only its shadow names."""

from collections.abc import Mapping

from earmark.config import Generation
from earmark.core.zones import Zone


def lists_of(generation: Generation, shadow: Generation | None) -> Mapping[str, Zone]:
    """Return them by name; what both sets of policies name is read as the first one's rules say."""
    return {**(shadow.zones if shadow else {}), **generation.zones}
