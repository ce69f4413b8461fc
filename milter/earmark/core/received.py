"""The Received chain (RFC 5321 section 4.4): who says that the message came from where, and who is to be believed."""

from collections.abc import Sequence

from earmark.core.mail import Header, Hop, Site


def read_chain(headers: Sequence[Header], site: Site, client: str) -> tuple[Hop, ...]:
    """Return the hops, newest first. `client` is the address that handed us the message."""
    return ()
