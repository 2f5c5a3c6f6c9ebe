"""One JSON request to a Tailrace server, with retries, under one deadline. Standard library only."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import random
import threading
import time
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlsplit

__all__ = ["Refused", "Server", "Undelivered", "observations_path"]

DEFAULT_URL = "http://127.0.0.1:8080"
ATTEMPTS = 3
FIRST_PAUSE = 0.05
RETRIED = frozenset({408, 429, 500, 502, 503, 504})


class Undelivered(Exception):
    """The server could not be reached, or could not answer for now: the same request may succeed later."""


class Refused(Exception):
    """The server understood the request and said no."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status

    @property
    def for_good(self) -> bool:
        """Whether the request itself is at fault, so that sending it again can't help.

        A missing token, a stream not made yet or a wrong address can be put right without touching the request.
        """
        return self.status in (400, 409, 410, 413, 415, 422)


@dataclass(frozen=True)
class Server:
    """Where a server is and what to show it.

    Parameters
    ----------
    url
        ``http`` or ``https``, host, optional port and path, such as ``http://127.0.0.1:8080``.
    token
        Sent as ``Authorization: Bearer``; None for a server that is open.

    Raises
    ------
    ValueError
        If the URL isn't one of those, or the token can't be sent.
    """

    url: str = DEFAULT_URL
    token: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"{self.url!r} is no server's address: expected something like {DEFAULT_URL}")
        try:
            _ = parts.port
        except ValueError:
            raise ValueError(f"{self.url!r} has a port that is no number from 0 to 65535") from None
        if self.token is not None and not (self.token.isascii() and self.token.isprintable()):
            raise ValueError("the token holds a character that can't stand in a header, such as a line break")

    @classmethod
    def from_environment(cls, url: str | None = None) -> Server:
        """The server that ``TAILRACE_URL`` and ``TAILRACE_TOKEN`` name, or ``url`` with that token."""
        return cls(url or os.environ.get("TAILRACE_URL") or DEFAULT_URL, os.environ.get("TAILRACE_TOKEN") or None)

    def request(self, method: str, path: str, body: Any = None, *, deadline: float = 5.0) -> Any:
        """Send one request and return what its JSON answer says.

        Parameters
        ----------
        path
            Below the server's URL, such as ``/api/v1/models/``.
        body
            Sent as JSON, unless it is None.
        deadline
            Seconds for everything: name lookup, connection, a slow answer, every retry.

        Raises
        ------
        Refused
            The server answered with a 4xx that a retry can't change.
        Undelivered
            There was no answer in time, or none that says whether the request was done. So what is sent must
            bear repeating: observations carry an idempotency key.
        """
        exchange = _Exchange(self, method, path, body, time.monotonic() + deadline)
        # Only a thread can be left behind by a deadline: a name lookup has no timeout, and a socket's timeout
        # starts anew with every byte of an answer that trickles in.
        exchange.start()
        exchange.join(deadline)
        return exchange.result()


def observations_path(stream: str) -> str:
    return f"/api/v1/streams/{quote(stream, safe='')}/observations/"


class _Exchange(threading.Thread):
    def __init__(self, server: Server, method: str, path: str, body: Any, ends: float) -> None:
        super().__init__(daemon=True)
        self._server = server
        self._method = method
        self._path = urlsplit(server.url).path.rstrip("/") + path
        self._payload = None if body is None else json.dumps(body, allow_nan=False).encode()
        self._ends = ends
        self._tries = 0
        self._trouble = "it did not answer in time"
        self._answer: Any = None
        self._refused: Refused | None = None
        self._answered = False

    def result(self) -> Any:
        if self._refused is not None:
            raise self._refused
        if not self._answered:
            tries = "" if self._tries <= 1 else f" ({self._tries} tries)"
            raise Undelivered(f"{self._server.url}: {self._trouble}{tries}")
        return self._answer

    def run(self) -> None:
        pause = FIRST_PAUSE
        while self._tries < ATTEMPTS:
            self._tries += 1
            wait = self._try()
            if wait is None:
                return
            wait = max(wait, random.uniform(pause / 2, pause))
            pause *= 2
            if self._tries == ATTEMPTS or time.monotonic() + wait >= self._ends:
                return
            time.sleep(wait)

    def _try(self) -> float | None:
        """One attempt: None when it settled the matter, else the seconds that the server asks to wait."""
        connection: http.client.HTTPConnection | None = None
        try:
            connection = self._connect()
            with contextlib.suppress(BrokenPipeError):  # a refusal may be there before all is sent
                connection.request(self._method, self._path, self._payload, self._headers())
            response = connection.getresponse()
            return self._settle(response, response.read())
        except TimeoutError:
            self._trouble = "it did not answer in time"
        except ConnectionRefusedError:
            self._trouble = "nothing listens there (connection refused)"
        except (OSError, http.client.HTTPException) as error:
            self._trouble = f"no answer ({type(error).__name__}: {error})"
        finally:
            if connection is not None:
                connection.close()
        return 0.0

    def _connect(self) -> http.client.HTTPConnection:
        parts = urlsplit(self._server.url)
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        return kind(parts.hostname or "", parts.port, timeout=max(0.001, self._ends - time.monotonic()))

    def _headers(self) -> dict[str, str]:
        headers = {"Accept": "application/json", "User-Agent": "tailrace-jobs"}
        if self._payload is not None:
            headers["Content-Type"] = "application/json"
        if self._server.token is not None:
            headers["Authorization"] = f"Bearer {self._server.token}"
        return headers

    def _settle(self, response: http.client.HTTPResponse, body: bytes) -> float | None:
        status = response.status
        if 200 <= status < 300:
            try:
                self._answer = json.loads(body) if body else None
            except ValueError:
                self._trouble = f"it answered {status} with something that is no JSON: is this a Tailrace server?"
                return 0.0
            self._answered = True
            return None
        message = f"{status} {response.reason}: {_message(body)}"
        if status in RETRIED:
            self._trouble = f"it answered {message}"
            return _seconds(response.getheader("Retry-After"))
        self._refused = Refused(status, f"{self._server.url}: it answered {message}")
        return None


def _message(body: bytes) -> str:
    """What an error answer says: Tailrace's own words, or the start of whatever else came."""
    try:
        return str(json.loads(body)["error"]["message"])
    except (ValueError, KeyError, TypeError):
        text = " ".join(body[:200].decode("utf-8", "replace").split())
        return text or "no explanation"


def _seconds(retry_after: str | None) -> float:
    # The other form that HTTP allows, a date, needs clocks that agree; a plain retry serves as well.
    return float(retry_after) if retry_after is not None and retry_after.strip().isdigit() else 0.0
