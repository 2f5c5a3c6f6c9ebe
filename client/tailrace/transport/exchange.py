"""One request and its response, with retries until a deadline."""

from __future__ import annotations

import json
import os
import socket
import time

from tailrace.errors import Unreachable, Unusable
from tailrace.transport.connections import TimedOut, connect, seconds_left
from tailrace.transport.http1 import Response, read_response, send_request
from tailrace.transport.quota_warnings import HEADER, warn_near_quota
from tailrace.transport.responses import ServerResponse, error_line, read_error_body, refusal, retry_after
from tailrace.version import __version__

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from tailrace.errors import TailraceError
    from tailrace.transport.endpoint import Endpoint
    from tailrace.transport.proxies import Proxy

__all__ = ["exchange", "open_response"]

MOST_TRIES = 8
TRIES_WITHOUT_SERVER = 2
"""Tries if nothing listens there, or the host name is unknown.

An observation can be spooled, so a job should not wait until a server starts.
"""

FIRST_PAUSE, LONGEST_PAUSE = 0.05, 1.0
"""Seconds between two tries. The pause doubles each time. Each wait is a random part of it, at least half, so that a
thousand jobs that end together do not retry together.
"""


class _Again(Exception):
    """A failed try that can be repeated."""

    def __init__(
        self, trouble: TailraceError, wait: float = 0.0, tries: int = MOST_TRIES, is_late: bool = False
    ) -> None:
        super().__init__(trouble)
        self.trouble = trouble
        self.wait = wait
        self.tries = tries
        self.is_late = is_late


def exchange(
    server: Endpoint, method: str, path: str, body: Any, *, deadline: float, headers: Mapping[str, str],
    most_tries: int = MOST_TRIES,
) -> ServerResponse:  # fmt: skip
    """Send a request, with retries, at most `most_tries` times. See `Server.ask`."""
    ends = time.monotonic() + deadline
    kind = "application/octet-stream" if isinstance(body, bytes) else "application/json"
    request = _Request(server, method, path, _payload(body), headers, kind)
    pause = FIRST_PAUSE
    tries = 0
    trouble = None
    while True:
        tries += 1
        try:
            return _try(request, ends)
        except _Again as again:
            wait = max(again.wait, pause * (0.5 + os.urandom(1)[0] / 512))
            if trouble is None or not again.is_late:  # a timeout of a later try explains less than the error before it
                trouble = again.trouble
            if tries >= min(again.tries, most_tries) or time.monotonic() + wait >= ends:
                if tries > 1:
                    trouble.args = (f"{trouble} ({tries} tries)", *trouble.args[1:])
                raise trouble from None
        pause = min(2 * pause, LONGEST_PAUSE)
        time.sleep(wait)


def open_response(server: Endpoint, path: str, *, deadline: float, headers: Mapping[str, str]) -> Response:
    """Send a GET request without retries, and return the response unread. See `Server.stream`."""
    request = _Request(server, "GET", path, None, headers)
    response = None
    try:
        response = request.sent(time.monotonic() + deadline, lambda: deadline)
        if 200 <= response.status < 300:
            return response
        body = read_error_body(response)
    except OSError as error:
        if response is not None:
            response.close()
        raise _unreachable(server, error) from None
    response.close()
    if response.status >= 500:
        raise Unreachable(f"{server.url}: {error_line(response, body)}")
    raise refusal(server, response, body)


class _Request:
    """A request that can be sent several times.

    Raises
    ------
    Unusable
        If the environment names a proxy that is not valid.
    """

    def __init__(
        self,
        server: Endpoint,
        method: str,
        path: str,
        payload: bytes | None,
        headers: Mapping[str, str],
        content_type: str = "application/json",
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
            self._headers["Content-Type"] = content_type
        if server.token:
            self._headers["Authorization"] = f"Bearer {server.token}"
        if self._proxy is not None and server.scheme == "http":
            self._target = f"http://{server.authority}{self._target}"
            self._headers.update(self._proxy.headers)
        self._headers.update(headers)

    def sent(self, ends: float, timeout: Callable[[], float]) -> Response:
        """Send the request, and return the response with its body unread. Raises OSError, as sockets do."""
        connection = connect(self.server, self._proxy, ends)
        try:
            self.server.connected(connection)
            connection.settimeout(seconds_left(ends))
            trouble = send_request(connection, self._method, self._target, self._headers, self._payload)
            try:
                return read_response(connection, timeout)
            except OSError as error:
                raise trouble or error from None
        except BaseException:
            connection.close()
            raise


def _try(request: _Request, ends: float) -> ServerResponse:
    """Try once. Raises Refused if a retry cannot help, otherwise `_Again`."""
    server = request.server
    try:
        with request.sent(ends, lambda: seconds_left(ends)) as response:
            if 200 <= response.status < 300:
                if HEADER in response.headers:
                    warn_near_quota(server, response.headers[HEADER])
                return ServerResponse(server.url, response.status, response.headers, response.read())
            body = read_error_body(response)
    except OSError as error:
        nobody = isinstance(error, ConnectionRefusedError) or _is_unknown(error)
        tries = 1 if _is_untrusted(error) else TRIES_WITHOUT_SERVER if nobody else MOST_TRIES
        raise _Again(_unreachable(server, error), tries=tries, is_late=isinstance(error, TimedOut)) from None
    if response.status >= 500:
        raise _Again(Unreachable(f"{server.url}: {error_line(response, body)}"), retry_after(response.headers))
    refused = refusal(server, response, body)
    if response.status == 429:
        raise _Again(refused, retry_after(response.headers))
    raise refused


def _payload(body: Any) -> bytes | None:
    if body is None or isinstance(body, bytes):
        return body
    try:
        return json.dumps(body, allow_nan=False, separators=(",", ":")).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise Unusable(f"this can't be sent as JSON: {error}") from None


def _proxy(server: Endpoint) -> Proxy | None:
    names = (f"{server.scheme}_proxy", f"{server.scheme.upper()}_PROXY", "all_proxy", "ALL_PROXY")
    if not any(os.environ.get(name) for name in names):
        return None
    from tailrace.transport.proxies import proxy_for

    return proxy_for(server.scheme, server.host, server.port)


def _is_untrusted(error: OSError) -> bool:
    return type(error).__name__ == "SSLCertVerificationError"  # ssl is not imported for http


def _is_unknown(error: OSError) -> bool:
    return isinstance(error, socket.gaierror) and error.errno == socket.EAI_NONAME


def _unreachable(server: Endpoint, error: OSError) -> Unreachable:
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
