"""The customer's keys of the lists that are asked, as each process reads them for itself (`config.secrets`)."""

from earmark.config import Generation, Problem, read_keys


def keys_of(generation: Generation, shadow: Generation | None) -> tuple[dict[str, str], list[Problem]]:
    """Return the keys by the list's name, and what is wrong where one cannot be had.

    What both sets of policies name is read as the first one's rules say.
    """
    keys, problems = read_keys(generation)
    if shadow is not None:
        more, worse = read_keys(shadow)
        keys = {**more, **keys}
        problems += (problem for problem in worse if problem not in problems)
    return keys, problems
