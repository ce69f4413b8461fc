"""DNS for the other clients: `Resolver` asks, `Cache` remembers, what comes back is always a Fact."""

from earmark.clients.dns.cache import Cache
from earmark.clients.dns.lookups import Done, Lookups
from earmark.clients.dns.resolver import Resolver

__all__ = ["Cache", "Done", "Lookups", "Resolver"]
