"""Where a server is, and one request to it: all of its tries under one deadline. Standard library only."""

from __future__ import annotations

import os
import re

from tailrace.errors import Unusable

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from collections.abc import Mapping
    from typing import Any

    from tailrace.answers import Answer
    from tailrace.http1 import Response

__all__ = ["DEFAULT_URL", "Server", "address_of", "observations_path"]

DEFAULT_URL = "http://127.0.0.1:8080"
DEADLINE = 5.0
"""Seconds for a request with all its retries, unless the caller says otherwise."""

ADDRESS = re.compile(r"(https?)://(\[[0-9a-fA-F:.]+\]|[^\s/?#@:\[\]]+)(?::([0-9]*))?(/[^\s?#]*)?", re.IGNORECASE)


def observations_path(stream: str) -> str:
    """Where a stream's observations are posted and read."""
    if re.fullmatch(r"[A-Za-z0-9_.-]+", stream) is None or stream in (".", ".."):
        from urllib.parse import quote

        stream = quote(stream, safe="", errors="replace").replace(".", "%2E")
    return f"/api/v1/streams/{stream}/observations/"


def address_of(url: str | None = None) -> str:
    """The address that a spooled observation is kept for: `Server.address`, or the text itself where it is none."""
    try:
        return Server(url, token="").address
    except Unusable:
        # Somebody may put it right; until then it stands for no other server. A password is nobody's business.
        return _given(url).rpartition("@")[2]


class Server:
    """Where a server is and what to show it.

    Parameters
    ----------
    url
        ``http`` or ``https``, host, optional port and path, such as ``http://127.0.0.1:8080``. None: ``TAILRACE_URL``, or
        this machine's port 8080.
    token
        Sent as ``Authorization: Bearer``. None: ``TAILRACE_TOKEN``; empty: none is sent.
    ca_file
        Certificates of a site's own authority, in PEM. None: ``TAILRACE_CA_FILE``, or the system's.

    Attributes
    ----------
    address
        The URL in one spelling: two servers of one address are the same.

    Raises
    ------
    Unusable
        If the URL isn't one of those, or the token can't be sent.
    """

    def __init__(self, url: str | None = None, token: str | None = None, ca_file: str | None = None) -> None:
        self.url = _given(url)
        self.token = os.environ.get("TAILRACE_TOKEN", "") if token is None else token
        self.ca_file = ca_file or os.environ.get("TAILRACE_CA_FILE") or None
        found = ADDRESS.fullmatch(self.url)
        if found is None:
            if re.match(r"[a-z]+://[^/?#]*@", self.url, re.IGNORECASE):
                raise Unusable(
                    "the server's address holds a user or a password: put a token into TAILRACE_TOKEN instead"
                )
            raise Unusable(f"{self.url!r} is no server's address: expected something like {DEFAULT_URL}")
        if not (self.token.isascii() and (self.token.isprintable() or not self.token)) or " " in self.token:
            raise Unusable("the token holds a character that can't stand in a header, such as a blank or a line break")
        self.scheme: str = found[1].lower()
        self.host: str = found[2].strip("[]").lower()
        self.port = int(found[3] or (443 if self.scheme == "https" else 80))
        if not 0 < self.port < 65_536:
            raise Unusable(f"{self.url!r} is no server's address: its port is no number from 1 to 65535")
        if not self.host.isascii():
            self.host = _in_ascii(self.host)
        self.path: str = found[4] or ""
        self.authority: str = _authority(self.scheme, self.host, self.port)
        self.address: str = f"{self.scheme}://{self.authority}{self.path}"

    def __repr__(self) -> str:
        return f"Server({self.url!r})"  # never its token

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        deadline: float = DEADLINE,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        """Send one request and return what its JSON answer says; None for an empty one.

        Parameters
        ----------
        path
            Below the server's URL, such as ``/api/v1/models/``.
        body
            Sent as JSON, unless it is None. Numbers must be finite.
        deadline
            Seconds for everything: name look-up, connection, a slow answer, every retry.

        Raises
        ------
        Refused
            The server answered with a 3xx or 4xx that a retry can't change.
        Unreachable
            There was no answer in time, or none that says whether the request was done. So what is sent must
            bear repeating: observations carry an idempotency key.
        Unusable
            If the body can't be sent as JSON.
        """
        return self.ask(method, path, body, deadline=deadline, headers=headers).json()

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        deadline: float = DEADLINE,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """The same, for an answer that need not be JSON: its status, headers and bytes."""
        from tailrace.exchange import exchange

        return exchange(self, method, path, body, deadline=deadline, headers=headers or {})

    def stream(self, path: str, *, deadline: float = DEADLINE, headers: Mapping[str, str] | None = None) -> Response:
        """GET an answer of any length, to read in pieces and to close; ``deadline`` is for each piece.

        Raises
        ------
        Refused, Unreachable
            As :meth:`request` does; no retry once the answer has begun.
        """
        from tailrace.exchange import opened

        return opened(self, path, deadline=deadline, headers=headers or {})

    def connected(self, connection: socket.socket) -> None:
        """Called with each connection before a request is sent over it; an `AsyncClient` closes those of cancelled calls."""

    def warn(self, message: str, category: type[Warning]) -> None:
        """Issue a warning, by :mod:`warnings`, at the line that called this package."""
        from tailrace.warned import warn

        warn(message, category)


def _given(url: str | None) -> str:
    return (url or os.environ.get("TAILRACE_URL") or DEFAULT_URL).strip().rstrip("/")


def _authority(scheme: str, host: str, port: int) -> str:
    """The server as a Host header names it."""
    shown = f"[{host}]" if ":" in host else host
    return shown if port == (443 if scheme == "https" else 80) else f"{shown}:{port}"


def _in_ascii(host: str) -> str:
    try:
        return host.encode("idna").decode()
    except UnicodeError:
        raise Unusable(f"{host!r} can't be the name of a host") from None
