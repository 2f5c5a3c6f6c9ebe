"""Limits of the open connections of a process: in total and per address.

The address is that of the peer, because ``X-Forwarded-For`` is known only after a request was read. A trusted proxy serves many
clients, so only the total limit applies to it.
"""

import ipaddress
from collections import Counter
from collections.abc import Iterable
from functools import lru_cache

IPV6_PREFIX_BITS = 64
"""Length of the IPv6 prefix that counts as one client, as in :mod:`server.accounts.addresses`."""


class ConnectionLimits:
    """Counts the open connections of a process by address.

    Parameters
    ----------
    most
        Largest number of connections in total.
    per_address
        Largest number of connections of one address.
    trusted
        Addresses and networks of proxies, as in ``TAILRACE_TRUSTED_PROXIES``.
    """

    def __init__(self, most: int, per_address: int, trusted: str) -> None:
        self.most = most
        self.per_address = per_address
        self._open: Counter[str] = Counter()
        self._count = 0
        networks = [ipaddress.ip_network(one.strip(), strict=False) for one in trusted.split(",") if one.strip()]
        self.site = lru_cache(4096)(lambda address: _site(address, networks))

    def refusal(self, address: str) -> str | None:
        """Return why another connection from this address exceeds its limit; None if it doesn't."""
        site = self.site(address)
        if site and self._open[site] >= self.per_address:
            return (
                f"{self._open[site]} connections are open from your address {address}: this server allows at most "
                f"{self.per_address} per address in each process (TAILRACE_CONNECTIONS_PER_ADDRESS); close some, or try again"
            )
        return None

    @property
    def is_full(self) -> bool:
        """Whether the total limit is reached, so that another connection needs to replace an open one."""
        return self._count >= self.most

    def full(self) -> str:
        """Return the message for a client beyond the total limit."""
        return (
            f"{self._count} connections are open, the most that each process of this server allows "
            "(TAILRACE_CONNECTIONS); try again"
        )

    def has_more(self, address: str | None) -> Iterable[str]:
        """Yield the networks with more connections than that of this address, those with the most first."""
        own = 0 if address is None else self._open[self.site(address)]
        for site, count in self._open.most_common():
            if count <= own + 1:
                return
            if site:
                yield site

    def opened(self, address: str) -> None:
        self._count += 1
        self._open[self.site(address)] += 1

    def closed(self, address: str) -> None:
        site = self.site(address)
        self._count -= 1
        self._open[site] -= 1
        if not self._open[site]:
            del self._open[site]


def _site(address: str, trusted: list[ipaddress.IPv4Network | ipaddress.IPv6Network]) -> str:
    """Return the address or network that counts as one client; empty for a trusted proxy."""
    own = ipaddress.ip_address(address.partition("%")[0])
    own = getattr(own, "ipv4_mapped", None) or own
    if any(own in network for network in trusted):
        return ""
    if isinstance(own, ipaddress.IPv4Address):
        return str(own)
    return str(ipaddress.ip_network((int(own), IPV6_PREFIX_BITS), strict=False).network_address)
