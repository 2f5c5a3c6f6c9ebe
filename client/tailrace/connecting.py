"""Connections to servers: straight or through a proxy, in the clear or by TLS, all of it under one deadline."""

from __future__ import annotations

import socket
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from tailrace.proxies import Proxy
    from tailrace.server import Server

__all__ = ["TimedOut", "connect", "left"]

TimedOut = socket.timeout
"""What a socket raises that has waited long enough; TimeoutError since Python 3.10."""


def left(ends: float) -> float:
    """Seconds until a time on the monotonic clock. Raises `TimedOut` once it has come."""
    seconds = ends - time.monotonic()
    if seconds <= 0:
        raise TimedOut("the deadline has passed")
    return seconds


def connect(server: Server, proxy: Proxy | None, ends: float) -> socket.socket:
    """A connection over which the server can be spoken to.

    Raises
    ------
    OSError
        As sockets do; `TimedOut` at the deadline; of ``ssl`` where the server isn't trusted.
    Unusable
        If the file of authorities can't be used.
    """
    if proxy is None:
        connection = _connect(server.host, server.port, ends)
    else:
        connection = _connect(proxy.host, proxy.port, ends)
    try:
        if server.scheme != "https":
            return connection
        if proxy is not None:
            proxy.tunnel(connection, server.host, server.port, lambda: left(ends))
        from tailrace.tls import context

        connection.settimeout(left(ends))
        return context(server.ca_file).wrap_socket(connection, server_hostname=server.host)
    except BaseException:
        connection.close()
        raise


def _connect(host: str, port: int, ends: float) -> socket.socket:
    addresses = _numeric(host, port) or _looked_up(host, port, ends)
    for number, (family, address) in enumerate(addresses, 1):
        connection = socket.socket(family, socket.SOCK_STREAM)
        try:
            # One address that swallows everything must leave time for the others.
            connection.settimeout(left(ends) / (len(addresses) - number + 1))
            connection.connect(address)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return connection
        except OSError:
            connection.close()
            if number == len(addresses):
                raise
    raise OSError(f"{host} has no address")


def _numeric(host: str, port: int) -> list[tuple[int, tuple[object, ...]]]:
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, host)
        except OSError:
            continue
        return [(family, (host, port))]
    return []


def _looked_up(host: str, port: int, ends: float) -> list[tuple[int, tuple[object, ...]]]:
    import threading

    found: list[tuple[int, tuple[object, ...]]] = []
    trouble: list[OSError] = []

    def look() -> None:
        try:
            for family, _, _, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
                found.append((family, address))
        except UnicodeError:
            trouble.append(socket.gaierror(socket.EAI_NONAME, "it is no name of a host"))
        except OSError as error:
            trouble.append(error)

    # A look-up has no timeout of its own: only a thread can be left behind by a deadline.
    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    thread.join(left(ends))
    if trouble:
        raise trouble[0]
    if not found:
        raise TimedOut(f"the look-up of {host} takes too long")
    return found
