"""HTTP proxies: those that the environment names, and connections through them."""

from __future__ import annotations

import os
import re
import socket

from tailrace.errors import Unusable
from tailrace.transport.http1 import BrokenResponse, read_response, send_request

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["Proxy", "proxy_for"]

ADDRESS = re.compile(r"(?:(\w+)://)?(?:([^@/]*)@)?(\[[0-9a-fA-F:.]+\]|[^\s/:@\[\]]+)(?::(\d{1,5}))?/?")


class Proxy:
    """An HTTP proxy.

    Attributes
    ----------
    host, port
        Its address.
    headers
        Headers to send to it with each request: none, or user and password.
    """

    def __init__(self, host: str, port: int, user: str = "") -> None:
        self.host = host
        self.port = port
        self.headers: dict[str, str] = {}
        if user:
            from base64 import b64encode
            from urllib.parse import unquote

            self.headers["Proxy-Authorization"] = f"Basic {b64encode(unquote(user).encode()).decode()}"

    def tunnel(self, connection: socket.socket, host: str, port: int, timeout: Callable[[], float]) -> None:
        """Open a tunnel to a server through the proxy.

        Raises
        ------
        BrokenResponse
            If the proxy refuses.
        """
        authority = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        connection.settimeout(timeout())
        trouble = send_request(connection, "CONNECT", authority, {"Host": authority, **self.headers}, None)
        if trouble is not None:
            raise trouble
        response = read_response(connection, timeout)
        if response.status != 200:
            raise BrokenResponse(f"the proxy {self.host}:{self.port} answered {response.status} {response.reason}")


def proxy_for(scheme: str, host: str, port: int, environ: Mapping[str, str] | None = None) -> Proxy | None:
    """Returns the proxy for a server. None: connect directly.

    The variables are ``HTTP_PROXY``, ``HTTPS_PROXY``, ``ALL_PROXY`` and ``NO_PROXY``, in upper or lower case. Requests
    to this machine never use a proxy. ``NO_PROXY`` contains ``*``, or names, domains, addresses and networks such as
    ``10.0.0.0/8``, each with or without a port.

    Raises
    ------
    Unusable
        If the variable's value is not the address of an HTTP proxy.
    """
    environ = os.environ if environ is None else environ
    for name in (f"{scheme}_proxy", f"{scheme.upper()}_PROXY", "all_proxy", "ALL_PROXY"):
        given = environ.get(name, "").strip()
        if given:
            break
    else:
        return None
    if _is_here(host) or _is_excepted(host, port, environ.get("no_proxy") or environ.get("NO_PROXY") or ""):
        return None
    found = ADDRESS.fullmatch(given)
    if found is None or (found[1] or "http").lower() != "http" or not int(found[4] or 80) < 65_536:
        hidden = re.sub(r"[^/@]*@", "…@", given)
        raise Unusable(f"{name}={hidden} is not a valid proxy: expected http://HOST:PORT, or nothing")
    return Proxy(found[3].strip("[]"), int(found[4] or 80), found[2] or "")


def _is_here(host: str) -> bool:
    return host in ("localhost", "::1") or (host.startswith("127.") and _is_address(host))


def _is_excepted(host: str, port: int, exceptions: str) -> bool:
    for one in re.split(r"[\s,]+", exceptions.lower()):
        name, _, of_port = one.partition(":") if one.count(":") == 1 else (one, "", "")
        if of_port and of_port != str(port):
            continue
        name = name.lstrip("*").lstrip(".") if name != "*" else name
        if name and (name in ("*", host) or host.endswith(f".{name}") or _is_in_network(host, name)):
            return True
    return False


def _is_in_network(host: str, network: str) -> bool:
    if "/" not in network or not _is_address(host):
        return False
    from ipaddress import ip_address, ip_network

    try:
        return ip_address(host) in ip_network(network, strict=False)
    except ValueError:
        return False


def _is_address(host: str) -> bool:
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, host)
        except OSError:
            continue
        return True
    return False
