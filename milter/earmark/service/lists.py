"""Which lists a generation asks: those of its policies, and those that only its shadow names; and their keys."""

from collections.abc import Mapping

from earmark.config import Generation, Problem, read_keys, store_password
from earmark.core.zones import Zone


def lists_of(generation: Generation, shadow: Generation | None) -> Mapping[str, Zone]:
    """Return them by name; what both sets of policies name is read as the first one's rules say."""
    return {**(shadow.zones if shadow else {}), **generation.zones}


def keys_of(generation: Generation, shadow: Generation | None) -> tuple[dict[str, str], list[Problem]]:
    """Return the customer's keys by the list's name, and what is wrong with the files of keys and passwords."""
    keys, problems = read_keys(generation)
    problems += store_password(generation)[1]
    if shadow is not None:
        others, more = read_keys(shadow)
        return {**others, **keys}, list(dict.fromkeys([*problems, *more]))  # a shadow may have the first one's rules
    return keys, problems
