"""`Session`: the requests that the client and its handles send to one server."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import quote, urlencode

from tailrace.errors import Refused, TailraceError, Unreachable, Unusable
from tailrace.transport.server import Server

__all__ = ["DEADLINE", "Session"]

API = "/api/v1"
DEADLINE = 30.0
PIECE = 256 * 1024
"""Bytes that `Session.pieces` reads at a time."""


class Session:
    """Sends the requests of a client and of its handles to one server.

    Parameters
    ----------
    server
        The server.
    deadline
        Seconds that one request may take, including its retries.
    """

    def __init__(self, server: Server, deadline: float = DEADLINE) -> None:
        self.server = server
        if isinstance(deadline, bool) or not hasattr(deadline, "__float__") or not 0 < float(deadline) < math.inf:
            raise Unusable(f"the deadline is {deadline!r}: expected seconds, more than 0")
        self.deadline = deadline

    def path(self, *parts: str) -> str:
        """Returns the path of a resource in the native API. Raises Unusable if a part is not a string."""
        for part in parts:
            if not isinstance(part, str):
                raise Unusable(f"{part!r} is not a name: expected text")
        return "/".join([API, *(quote(part, safe="") for part in parts), ""])

    def page(self, *parts: str) -> str:
        """Returns the address of a page, such as that of a model. Raises Unusable if a part is not a string."""
        return self.server.url.rstrip("/") + self.path(*parts).removeprefix(API)

    def send(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        query: Mapping[str, Any] | None = None,
        stream: str | None = None,
        deadline: float | None = None,
    ) -> Any:
        """Send a request with a JSON body, and return the JSON of the response.

        If the server refuses an unknown name, the error suggests a similar one. If `deadline` is None, the session's
        deadline applies.
        """
        seconds = self.deadline if deadline is None else deadline
        try:
            return self.server.request(method, _with(path, query), body, deadline=seconds, headers=_affinity(stream))
        except Refused as error:
            raise self._explained(error, path, body) from None

    def receive(self, path: str, query: Mapping[str, Any] | None = None, *, stream: str | None = None) -> bytes:
        """Returns the response of a GET request as bytes."""
        try:
            answer = self.server.ask("GET", _with(path, query), deadline=self.deadline, headers=_affinity(stream))
        except Refused as error:
            raise self._explained(error, path, None) from None
        return answer.body

    def pieces(
        self, path: str, query: Mapping[str, Any] | None = None, *, accept: str, stream: str | None = None
    ) -> Iterator[bytes]:
        """Yields the response of a GET request in pieces, in constant memory. Raises Unreachable if it ends early."""
        from http.client import HTTPException

        headers = {**_affinity(stream), "Accept": accept}
        try:
            answer = self.server.stream(_with(path, query), deadline=self.deadline, headers=headers)
        except Refused as error:
            raise self._explained(error, path, None) from None
        with answer:
            while True:
                try:
                    piece = answer.read(PIECE)
                except (OSError, HTTPException) as error:
                    trouble = f"{self.server.url}: the answer broke off ({type(error).__name__}): try again"
                    raise Unreachable(trouble) from None
                if not piece:
                    return
                yield piece

    def _suggestion(self, error: Refused, path: str, body: Any) -> str:
        """Returns text to add to the message of a refusal, such as a similar name; an empty string adds nothing."""
        return ""

    def _explained(self, error: Refused, path: str, body: Any) -> Refused:
        error.args = (f"{error}{self._suggestion(error, path, body)}",)
        return error

    def _list(self, kind: str, deadline: float | None = None) -> list[Mapping[str, Any]]:
        """Returns the server's list of ``streams``, ``models`` or ``recipes``."""
        found: list[Mapping[str, Any]] = self.send("GET", self.path(kind), deadline=deadline)[kind]
        return found

    def shown(self, look: Callable[[], Any], what: str) -> str:
        """Returns the text that a handle shows. If a request fails, it is the error, because ``repr`` must not fail."""
        try:
            return repr(look())
        except TailraceError as error:
            return f"<{what}: {error}>"

    def shown_html(self, look: Callable[[], Any], what: str, page: str) -> str:
        """Returns the HTML that a handle shows, with a link to its page. See `shown`."""
        from tailrace.display.tables import escape_html

        try:
            link = f'<a href="{escape_html(page)}" target="_blank" rel="noopener">page of {escape_html(what)}</a>'
            return f"{look()._repr_html_()}{link}"
        except TailraceError as error:
            return f"<pre>{escape_html(f'{what}: {error}')}</pre>"


def _with(path: str, query: Mapping[str, Any] | None) -> str:
    return f"{path}?{urlencode(query)}" if query else path


def _affinity(stream: str | None) -> dict[str, str]:
    # With this header, a router can send all requests of a stream to the process that has its replicas in memory.
    known = stream is not None and stream.isascii() and stream.isprintable()
    return {"X-Tailrace-Stream": str(stream)} if known else {}
