"""Connections to servers: direct or through a proxy, with or without TLS, under one deadline."""

from __future__ import annotations

import socket
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from tailrace.transport.endpoint import Endpoint
    from tailrace.transport.proxies import Proxy

__all__ = ["TimedOut", "connect", "seconds_left"]

TimedOut = socket.timeout
"""The error that a socket raises at its timeout. It is TimeoutError since Python 3.10."""


def seconds_left(ends: float) -> float:
    """Returns the seconds until a time of the monotonic clock. Raises `TimedOut` if it has passed."""
    seconds = ends - time.monotonic()
    if seconds <= 0:
        raise TimedOut("the deadline has passed")
    return seconds


def connect(server: Endpoint, proxy: Proxy | None, ends: float) -> socket.socket:
    """Connect to a server.

    Raises
    ------
    OSError
        If the connection fails. `TimedOut` at the deadline; an error of ``ssl`` if the certificate is not trusted.
    Unusable
        If the file of certificate authorities is not valid.
    """
    if proxy is None:
        connection = _connect(server.host, server.port, ends)
    else:
        connection = _connect(proxy.host, proxy.port, ends)
    try:
        if server.scheme != "https":
            return connection
        if proxy is not None:
            proxy.tunnel(connection, server.host, server.port, lambda: seconds_left(ends))
        from tailrace.transport.tls import context

        connection.settimeout(seconds_left(ends))
        return context(server.ca_file).wrap_socket(connection, server_hostname=server.host)
    except BaseException:
        connection.close()
        raise


def _connect(host: str, port: int, ends: float) -> socket.socket:
    addresses = _numeric(host, port) or _looked_up(host, port, ends)
    for number, (family, address) in enumerate(addresses, 1):
        connection = socket.socket(family, socket.SOCK_STREAM)
        try:
            # An address that never answers must leave time for the others.
            connection.settimeout(seconds_left(ends) / (len(addresses) - number + 1))
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
            trouble.append(socket.gaierror(socket.EAI_NONAME, "it is not a host name"))
        except OSError as error:
            trouble.append(error)

    # A look-up has no timeout. A thread can be left running when the deadline passes.
    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    thread.join(seconds_left(ends))
    if trouble:
        raise trouble[0]
    if not found:
        raise TimedOut(f"the look-up of {host} takes too long")
    return found
