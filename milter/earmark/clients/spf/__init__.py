"""SPF (RFC 7208): `Spf` answers CheckHost by the records that the DNS has now."""

from earmark.clients.spf.client import Spf

__all__ = ["Spf"]
