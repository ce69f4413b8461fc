"""The registrable domain of a name, by the Public Suffix List (publicsuffix.org) that is installed.

Both of its sections count. The private one holds domains below which strangers register, such as github.io: a listing
of one of them is no evidence against its neighbours.
"""

from functools import lru_cache

from publicsuffixlist import PublicSuffixList

_LIST = PublicSuffixList()
_LONGEST_NAME = 253


@lru_cache(maxsize=4096)
def registrable(name: str) -> str:
    """Return the registrable domain of a name as `core.mail.domain_key` writes it; "" where it has none.

    It has none as a public suffix itself (co.uk, github.io), as a single label, and as no name at all. A top-level
    domain that the list does not know counts as one suffix. Never raises.
    """
    if not name.isascii() or len(name) > _LONGEST_NAME:
        return ""
    return _LIST.privatesuffix(name) or ""
