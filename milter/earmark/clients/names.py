"""Stub: replaced below."""


class Names: ...
