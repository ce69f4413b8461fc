"""The network that an address stands in, as far as one host's neighbours share its fate: a /24 or, of IPv6, a /64."""

from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_network


@lru_cache(maxsize=4096)
def network_of(address: str) -> str:
    """Return the network of an address (canonical text), such as "192.0.2.0/24" or "2001:db8::/64"."""
    network: IPv4Network | IPv6Network = ip_network(f"{address}/{64 if ':' in address else 24}", strict=False)
    return str(network)
