"""What stands in the files of a guest that begins empty: text in, text out."""


def hostname(_: str, *, name: str) -> str:
    """Return the guest's name: debootstrap leaves that of the host."""
    return f"{name}\n"


def security(_: str, *, mirror: str, suite: str) -> str:
    """Return the source of security updates, which debootstrap does not write."""
    return f"deb {mirror} {suite}-security main\n"
