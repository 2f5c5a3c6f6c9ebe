"""Addresses of model agents. A request goes only to an IP address in the networks of ``TAILRACE_SERVICE_NETWORKS``."""

import ipaddress
from typing import NamedTuple
from urllib.parse import urlsplit

from django.conf import settings

from server.core.errors import Conflict, Invalid
from server.core.validation import format_value


class Address(NamedTuple):
    """Where an agent listens."""

    host: str
    port: int


def check_form(text: str) -> Address | None:
    """Return an announced address; None if it is empty.

    Raises
    ------
    Invalid
        If it isn't ``http://IP:PORT``. A name could stand for any address later.
    """
    if not text:
        return None
    try:
        parts = urlsplit(text)
        host = str(ipaddress.ip_address(parts.hostname or ""))
        port = parts.port or 0
    except ValueError:
        host, port = "", 0
    if not port or parts.scheme != "http" or parts.path not in ("", "/") or "@" in parts.netloc or parts.query:
        raise Invalid(
            f"address is {format_value(text)}: expected http://IP:PORT, with a literal IP address", field="address"
        )
    return Address(host, port)


def allowed(text: str) -> Address:
    """Return an address to which the operator lets this server send requests.

    Raises
    ------
    Conflict
        If the setting doesn't allow it, or there is none.
    """
    found = check_form(text)
    if found is None:
        raise Conflict("the agent of this service announces no address: set `bind` in its file", code="no_address")
    ip = ipaddress.ip_address(found.host)
    networks = settings.TAILRACE.service_networks.replace(",", " ").split()
    if not any(ip in ipaddress.ip_network(network) for network in networks):
        raise Conflict(
            f"this server may not send requests to the agent at {found.host}: an operator allows it in TAILRACE_SERVICE_NETWORKS",
            code="address_not_allowed",
        )
    return found
