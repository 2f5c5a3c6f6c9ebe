"""`Endpoint`: the address, token and certificate authority of a server, from arguments or the environment."""

from __future__ import annotations

import os
import re

from tailrace.errors import Unusable

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket

__all__ = ["DEFAULT_URL", "Endpoint", "address_of"]

DEFAULT_URL = "http://127.0.0.1:8080"

ADDRESS = re.compile(r"(https?)://(\[[0-9a-fA-F:.]+\]|[^\s/?#@:\[\]]+)(?::([0-9]*))?(/[^\s?#]*)?", re.IGNORECASE)


def address_of(url: str | None = None) -> str:
    """Returns the address that a spooled observation is kept for.

    It is `Endpoint.address`, or the URL as given if it is not valid.
    """
    try:
        return Endpoint(url, token="").address
    except Unusable:
        # The setting may be corrected later. Until then, the observation is for no other server. Store no password.
        return _given(url).rpartition("@")[2]


class Endpoint:
    """The address of a server, and the token to authenticate with.

    Parameters
    ----------
    url
        ``http`` or ``https``, host, optional port and path, such as ``http://127.0.0.1:8080``. None: ``TAILRACE_URL``,
        or this machine's port 8080.
    token
        Sent as ``Authorization: Bearer``. None: ``TAILRACE_TOKEN``; empty: none is sent.
    ca_file
        Certificates of a site's certificate authority, in PEM. None: ``TAILRACE_CA_FILE``, or the system's.

    Attributes
    ----------
    address
        The URL in a normal form: two servers with the same address are the same.

    Raises
    ------
    Unusable
        If the URL is not valid, or the token can't be sent in a header.
    """

    def __init__(self, url: str | None = None, token: str | None = None, ca_file: str | None = None) -> None:
        self.url = _given(url)
        self.token = os.environ.get("TAILRACE_TOKEN", "") if token is None else token
        self.ca_file = ca_file or os.environ.get("TAILRACE_CA_FILE") or None
        if not isinstance(self.token, str):
            raise Unusable(f"the token is a value of type {type(self.token).__name__}: expected text")
        found = ADDRESS.fullmatch(self.url)
        if found is None:
            if re.match(r"[a-z]+://[^/?#]*@", self.url, re.IGNORECASE):
                raise Unusable(
                    "the server's address holds a user or a password: put a token into TAILRACE_TOKEN instead"
                )
            raise Unusable(f"{self.url!r} is not a server's address: expected an address such as {DEFAULT_URL}")
        if not (self.token.isascii() and (self.token.isprintable() or not self.token)) or " " in self.token:
            raise Unusable("the token holds a character that is not valid in a header, such as a space or a line break")
        self.scheme: str = found[1].lower()
        self.host: str = found[2].strip("[]").lower()
        self.port = int(found[3] or (443 if self.scheme == "https" else 80))
        if not 0 < self.port < 65_536:
            raise Unusable(f"{self.url!r} is not a server's address: its port is not a number from 1 to 65535")
        if not self.host.isascii():
            self.host = _in_ascii(self.host)
        self.path: str = found[4] or ""
        self.authority: str = _authority(self.scheme, self.host, self.port)
        self.address: str = f"{self.scheme}://{self.authority}{self.path}"

    def __repr__(self) -> str:
        return f"Server({self.url!r})"  # never its token

    def connected(self, connection: socket.socket) -> None:
        """Called with each connection before a request is sent over it. `AsyncClient` overrides it to cancel calls."""

    def warn(self, message: str, category: type[Warning]) -> None:
        """Issue a warning, with :mod:`warnings`, at the line that called this package."""
        from tailrace.transport.caller_warnings import warn

        warn(message, category)


def _given(url: str | None) -> str:
    if url is not None and not isinstance(url, str):
        raise Unusable(f"{url!r} is not a server's address: expected an address such as {DEFAULT_URL}")
    return (url or os.environ.get("TAILRACE_URL") or DEFAULT_URL).strip().rstrip("/")


def _authority(scheme: str, host: str, port: int) -> str:
    """Returns the value of the Host header."""
    shown = f"[{host}]" if ":" in host else host
    return shown if port == (443 if scheme == "https" else 80) else f"{shown}:{port}"


def _in_ascii(host: str) -> str:
    try:
        return host.encode("idna").decode()
    except UnicodeError:
        raise Unusable(f"{host!r} is not a valid host name") from None
