"""`Server`: sends requests to a Tailrace server, with retries until a deadline."""

from __future__ import annotations

from tailrace.transport.endpoint import Endpoint

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from tailrace.transport.http1 import Response
    from tailrace.transport.responses import ServerResponse

__all__ = ["DEADLINE", "Server"]

DEADLINE = 5.0
"""Default deadline of a request, in seconds, including its retries."""


class Server(Endpoint):
    """A Tailrace server: its address, the token to authenticate with, and requests to it.

    Parameters
    ----------
    url
        ``http`` or ``https``, host, optional port and path, such as ``http://127.0.0.1:8080``. None: ``TAILRACE_URL``,
        or this machine's port 8080.
    token
        Sent as ``Authorization: Bearer``. None: ``TAILRACE_TOKEN``. Empty: no token is sent.
    ca_file
        Certificates of a site's certificate authority, in PEM. None: ``TAILRACE_CA_FILE``, or the system's.

    Attributes
    ----------
    address
        The URL in a normal form. Two servers with the same address are the same.

    Raises
    ------
    Unusable
        If the URL is not valid, or the token cannot be sent in a header.
    """

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        deadline: float = DEADLINE,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        """Send one request, and return the JSON of the response; None if the response is empty.

        A request may be sent several times, so it must be safe to repeat. Observations have an idempotency key for
        this.

        Parameters
        ----------
        method
            HTTP method, such as ``GET``.
        path
            Path below the server's URL, such as ``/api/v1/models/``.
        body
            Sent as JSON, unless it is None. Numbers must be finite. Bytes are sent as they are.
        deadline
            Seconds for the whole call: name look-up, connection, response and retries.
        headers
            Additional headers.

        Raises
        ------
        Refused
            If the server answers with status 3xx or 4xx, and a retry cannot change it.
        Unreachable
            If there is no valid response in time. The server may or may not have processed the request.
        Unusable
            If the body cannot be sent as JSON.
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
    ) -> ServerResponse:
        """Send one request, and return the response's status, headers and bytes. Raises like :meth:`request`."""
        from tailrace.transport.exchange import exchange

        return exchange(self, method, path, body, deadline=deadline, headers=headers or {})

    def stream(self, path: str, *, deadline: float = DEADLINE, headers: Mapping[str, str] | None = None) -> Response:
        """Send a GET request, and return the response unread. The caller reads it in pieces and closes it.

        ``deadline`` applies to each piece. There are no retries.

        Raises
        ------
        Refused, Unreachable
            Like :meth:`request`.
        """
        from tailrace.transport.exchange import open_response

        return open_response(self, path, deadline=deadline, headers=headers or {})
