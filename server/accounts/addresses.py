"""Client address of a request: the peer's address, or the address that a trusted proxy reports."""

import ipaddress
from functools import lru_cache

from django.conf import settings
from django.http import HttpRequest

IPV6_PREFIX_BITS = 64
"""Length of the IPv6 prefix that counts as one client: a machine can choose the other bits itself."""


def client_address(request: HttpRequest) -> str:
    """Return the client's address.

    If the peer is in ``TAILRACE_TRUSTED_PROXIES``, it is the last address in ``X-Forwarded-For`` that is not a trusted proxy.
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


def client_network(request: HttpRequest) -> str:
    """Return the client's IPv4 address, or the network of its IPv6 address, as one client; empty if it has neither."""
    try:
        address = ipaddress.ip_address(client_address(request))
    except ValueError:
        return ""
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((int(address), IPV6_PREFIX_BITS), strict=False).network_address)


def apply_forwarded_scheme(request: HttpRequest) -> None:
    """Set the request's scheme from ``X-Forwarded-Proto``, if a trusted proxy sent it."""
    said = request.META.get("HTTP_X_FORWARDED_PROTO")
    if said is not None and _is_in(str(request.META.get("REMOTE_ADDR", "")), settings.TAILRACE.trusted_proxies):
        is_https = said.split(",")[0].strip().lower() == "https"
        request.META["wsgi.url_scheme"] = "https" if is_https else "http"


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
