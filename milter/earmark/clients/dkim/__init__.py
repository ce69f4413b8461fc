"""DKIM and ARC for the engine: `Dkim` asks, everything else here serves it."""

from earmark.clients.dkim.client import Dkim

__all__ = ["Dkim"]
