"""Codecs: bytes to values and back, without I/O. Whatever a peer sends, they answer with a value or a RemoteError."""


class RemoteError(Exception):
    """The peer broke the protocol; the text says how. The connection is of no further use."""
