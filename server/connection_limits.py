"""How many connections a process keeps open: in all, and from one address.

Only the address of the other end counts, which nobody can choose: what ``X-Forwarded-For`` says is known only once a request was
read. A proxy that is trusted speaks for many clients, so it is bound by the limit of all connections alone.
"""

import ipaddress
from collections import Counter
from collections.abc import Iterable
from functools import lru_cache

IPV6_SITE = 64
"""Bits of an IPv6 address that count as one client, as :mod:`server.accounts.addresses` counts them."""


class ConnectionLimits:
    """Counts the open connections of a process by where they come from.

    Parameters
    ----------
    most
        Connections in all.
    per_address
        Connections of one address.
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
        """Why another connection from this address is one too many, whatever the others do; None if it isn't."""
        site = self.site(address)
        if site and self._open[site] >= self.per_address:
            return (
                f"{self._open[site]} connections are open from your address {address}: this server keeps at most "
                f"{self.per_address} of one address in each process (TAILRACE_CONNECTIONS_PER_ADDRESS); close some, or try again"
            )
        return None

    @property
    def is_full(self) -> bool:
        """Whether another connection needs the place of one that is open."""
        return self._count >= self.most

    def full(self) -> str:
        """What to tell a client that there is no place for."""
        return (
            f"{self._count} connections are open, the most that each process of this server keeps "
            "(TAILRACE_CONNECTIONS); try again"
        )

    def has_more(self, address: str | None) -> Iterable[str]:
        """Sites with more connections than the one of this address, or with several, those with the most first."""
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
    """What is counted as one client; empty for a proxy that is trusted."""
    own = ipaddress.ip_address(address.partition("%")[0])
    own = getattr(own, "ipv4_mapped", None) or own
    if any(own in network for network in trusted):
        return ""
    if isinstance(own, ipaddress.IPv4Address):
        return str(own)
    return str(ipaddress.ip_network((int(own), IPV6_SITE), strict=False).network_address)
