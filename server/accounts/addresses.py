"""Where a request comes from: its peer's address, or what a proxy that is trusted says of it."""

import ipaddress
from functools import lru_cache

from django.conf import settings
from django.http import HttpRequest


def of(request: HttpRequest) -> str:
    """The client's address.

    ``X-Forwarded-For`` counts only as far as it was written by proxies in ``TAILRACE_TRUSTED_PROXIES``: read from the right,
    the first address that isn't one of theirs.
    """
    address = str(request.META.get("REMOTE_ADDR", ""))
    trusted = settings.TAILRACE.trusted_proxies
    if not trusted or not _is_in(address, trusted):
        return address
    for hop in reversed(request.META.get("HTTP_X_FORWARDED_FOR", "").split(",")):
        hop = hop.strip()
        if not _is_address(hop):
            break
        address = hop
        if not _is_in(address, trusted):
            break
    return address


@lru_cache(maxsize=4096)
def _is_in(address: str, networks: str) -> bool:
    if not _is_address(address):
        return False
    own = ipaddress.ip_address(address)
    return any(own in ipaddress.ip_network(network.strip(), strict=False) for network in networks.split(","))


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
