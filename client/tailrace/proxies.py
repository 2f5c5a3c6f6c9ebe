"""Proxies that the environment names, and the way through them."""

from __future__ import annotations

import os
import re
import socket

from tailrace.errors import Unusable
from tailrace.http1 import Broken, respond, send

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["Proxy", "proxy_for"]

ADDRESS = re.compile(r"(?:(\w+)://)?(?:([^@/]*)@)?(\[[0-9a-fA-F:.]+\]|[^\s/:@\[\]]+)(?::(\d{1,5}))?/?")


class Proxy:
    """A proxy that speaks HTTP.

    Attributes
    ----------
    host, port
        Where it is.
    headers
        What it wants to be shown with each request: nothing, or a user and a password.
    """

    def __init__(self, host: str, port: int, user: str = "") -> None:
        self.host = host
        self.port = port
        self.headers: dict[str, str] = {}
        if user:
            from base64 import b64encode
            from urllib.parse import unquote

            self.headers["Proxy-Authorization"] = f"Basic {b64encode(unquote(user).encode()).decode()}"

    def tunnel(self, connection: socket.socket, host: str, port: int, patience: Callable[[], float]) -> None:
        """Have the proxy pass on whatever follows.

        Raises
        ------
        Broken
            If it doesn't.
        """
        authority = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        connection.settimeout(patience())
        trouble = send(connection, "CONNECT", authority, {"Host": authority, **self.headers}, None)
        if trouble is not None:
            raise trouble
        response = respond(connection, patience)
        if response.status != 200:
            raise Broken(f"the proxy {self.host}:{self.port} answered {response.status} {response.reason}")


def proxy_for(scheme: str, host: str, port: int, environ: Mapping[str, str] | None = None) -> Proxy | None:
    """The proxy for a server, by ``HTTP_PROXY``, ``HTTPS_PROXY``, ``ALL_PROXY`` and ``NO_PROXY``, in either case.

    This machine itself is never asked for through a proxy. ``NO_PROXY`` holds ``*``, or names, domains, addresses and
    networks such as ``10.0.0.0/8``, each with or without a port.

    Raises
    ------
    Unusable
        If the variable's value is no address of a proxy that speaks HTTP.
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
        raise Unusable(f"{name}={hidden} is no proxy that can be used: expected http://HOST:PORT, or nothing")
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
