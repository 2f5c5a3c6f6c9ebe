"""Where a request comes from: its peer's address, or what a proxy that is trusted says of it."""

import ipaddress
from functools import lru_cache

from django.conf import settings
from django.http import HttpRequest

IPV6_SITE = 64
"""Bits of an IPv6 address that count as one client: the rest is any one machine's to choose."""


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


def site(request: HttpRequest) -> str:
    """What is counted as one client: its IPv4 address, or the network that its IPv6 address is in; empty if it has neither."""
    try:
        address = ipaddress.ip_address(of(request))
    except ValueError:
        return ""
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((int(address), IPV6_SITE), strict=False).network_address)


def note_scheme(request: HttpRequest) -> None:
    """Take the scheme that the client used from a trusted proxy's ``X-Forwarded-Proto``; nobody else's counts."""
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
