"""One request and its answer, with retries, until a deadline."""

from __future__ import annotations

import json
import os
import socket
import time

from tailrace import __version__
from tailrace.answers import Answer, beginning, pause_asked_for, refusal, said
from tailrace.connecting import TimedOut, connect, left
from tailrace.errors import Unreachable, Unusable
from tailrace.http1 import Response, respond, send
from tailrace.quota import HEADER, near

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from tailrace.errors import TailraceError
    from tailrace.proxies import Proxy
    from tailrace.server import Server

__all__ = ["exchange", "opened"]

MOST_TRIES = 8
TRIES_OF_NOBODY = 2
"""Where nothing listens, or nobody has that name: whoever can keep the observation on disk shouldn't hold up a job
until a server starts.
"""

FIRST_PAUSE, LONGEST_PAUSE = 0.05, 1.0
"""Seconds between two tries: the pause doubles, and each is drawn from its upper half, so that a thousand jobs that
end at once don't come back at once.
"""


class _Again(Exception):
    """A try that another may follow."""

    def __init__(
        self, trouble: TailraceError, wait: float = 0.0, tries: int = MOST_TRIES, is_late: bool = False
    ) -> None:
        super().__init__(trouble)
        self.trouble = trouble
        self.wait = wait
        self.tries = tries
        self.is_late = is_late


def exchange(
    server: Server, method: str, path: str, body: Any, *, deadline: float, headers: Mapping[str, str]
) -> Answer:
    """See `Server.ask`."""
    ends = time.monotonic() + deadline
    request = _Request(server, method, path, _payload(body), headers)
    pause = FIRST_PAUSE
    tries = 0
    trouble = None
    while True:
        tries += 1
        try:
            return _try(request, ends)
        except _Again as again:
            wait = max(again.wait, pause * (0.5 + os.urandom(1)[0] / 512))
            if trouble is None or not again.is_late:  # that the time ran out in the last try explains nothing
                trouble = again.trouble
            if tries >= again.tries or time.monotonic() + wait >= ends:
                if tries > 1:
                    trouble.args = (f"{trouble} ({tries} tries)", *trouble.args[1:])
                raise trouble from None
        pause = min(2 * pause, LONGEST_PAUSE)
        time.sleep(wait)


def opened(server: Server, path: str, *, deadline: float, headers: Mapping[str, str]) -> Response:
    """See `Server.stream`."""
    request = _Request(server, "GET", path, None, headers)
    response = None
    try:
        response = request.sent(time.monotonic() + deadline, lambda: deadline)
        if 200 <= response.status < 300:
            return response
        body = beginning(response)
    except OSError as error:
        if response is not None:
            response.close()
        raise _unreachable(server, error) from None
    response.close()
    if response.status >= 500:
        raise Unreachable(f"{server.url}: {said(response, body)}")
    raise refusal(server, response, body)


class _Request:
    """A request ready to be sent, as often as it takes.

    Raises
    ------
    Unusable
        If the environment names a proxy that can't be used.
    """

    def __init__(
        self, server: Server, method: str, path: str, payload: bytes | None, headers: Mapping[str, str]
    ) -> None:
        self.server = server
        self._method = method
        self._payload = payload
        self._proxy = _proxy(server)
        self._target = server.path + path
        self._headers = {
            "Host": server.authority,
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            "User-Agent": f"tailrace/{__version__}",
            "Connection": "close",
        }
        if payload is not None:
            self._headers["Content-Type"] = "application/json"
        if server.token:
            self._headers["Authorization"] = f"Bearer {server.token}"
        if self._proxy is not None and server.scheme == "http":
            self._target = f"http://{server.authority}{self._target}"
            self._headers.update(self._proxy.headers)
        self._headers.update(headers)

    def sent(self, ends: float, patience: Callable[[], float]) -> Response:
        """The answer, its body still to be read; raises what sockets do."""
        connection = connect(self.server, self._proxy, ends)
        try:
            self.server.connected(connection)
            connection.settimeout(left(ends))
            trouble = send(connection, self._method, self._target, self._headers, self._payload)
            try:
                return respond(connection, patience)
            except OSError as error:
                raise trouble or error from None
        except BaseException:
            connection.close()
            raise


def _try(request: _Request, ends: float) -> Answer:
    """One attempt. Raises Refused where that settles the matter, else `_Again`."""
    server = request.server
    try:
        with request.sent(ends, lambda: left(ends)) as response:
            if 200 <= response.status < 300:
                if HEADER in response.headers:
                    near(server, response.headers[HEADER])
                return Answer(server.url, response.status, response.headers, response.read())
            body = beginning(response)
    except OSError as error:
        nobody = isinstance(error, ConnectionRefusedError) or _is_unknown(error)
        tries = 1 if _is_untrusted(error) else TRIES_OF_NOBODY if nobody else MOST_TRIES
        raise _Again(_unreachable(server, error), tries=tries, is_late=isinstance(error, TimedOut)) from None
    if response.status >= 500:
        raise _Again(Unreachable(f"{server.url}: {said(response, body)}"), pause_asked_for(response.headers))
    refused = refusal(server, response, body)
    if response.status == 429:
        raise _Again(refused, pause_asked_for(response.headers))
    raise refused


def _payload(body: Any) -> bytes | None:
    if body is None:
        return None
    try:
        return json.dumps(body, allow_nan=False, separators=(",", ":")).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise Unusable(f"this can't be sent as JSON: {error}") from None


def _proxy(server: Server) -> Proxy | None:
    names = (f"{server.scheme}_proxy", f"{server.scheme.upper()}_PROXY", "all_proxy", "ALL_PROXY")
    if not any(os.environ.get(name) for name in names):
        return None
    from tailrace.proxies import proxy_for

    return proxy_for(server.scheme, server.host, server.port)


def _is_untrusted(error: OSError) -> bool:
    return type(error).__name__ == "SSLCertVerificationError"  # ssl is not imported for http


def _is_unknown(error: OSError) -> bool:
    return isinstance(error, socket.gaierror) and error.errno == socket.EAI_NONAME


def _unreachable(server: Server, error: OSError) -> Unreachable:
    if isinstance(error, TimedOut):
        trouble = "it did not answer in time"
    elif isinstance(error, ConnectionRefusedError):
        trouble = "nothing listens there (connection refused)"
    elif isinstance(error, socket.gaierror):
        trouble = f"its name can't be looked up ({error.strerror or error})"
    elif _is_untrusted(error):
        why = getattr(error, "verify_message", "") or error
        trouble = f"its certificate isn't trusted ({why}): set TAILRACE_CA_FILE to your site's authority"
    else:
        trouble = f"no answer ({error.strerror or error or type(error).__name__})"
    return Unreachable(f"{server.url}: {trouble}")
