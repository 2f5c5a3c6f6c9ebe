"""One request of a sender: sent once, so that the sender knows whether the answer is uncertain."""

from __future__ import annotations

import json
from typing import Any

from tailrace.errors import Unreachable
from tailrace.transport.endpoint import Endpoint
from tailrace.transport.exchange import exchange

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["DEADLINE", "send_once"]

DEADLINE = 60.0
"""Seconds for one request. Nobody waits for it but a thread in the background."""


def send_once(
    address: str, token: str, method: str, path: str, body: Any = None, *,
    headers: Mapping[str, str] | None = None, deadline: float = DEADLINE,
) -> dict[str, Any]:  # fmt: skip
    """Send a request once, and return the JSON object of the response; an empty one if the response is empty.

    Raises
    ------
    Refused
        If the server answers with status 3xx or 4xx.
    Unreachable
        If there is no valid response in time. The server may or may not have processed the request.
    """
    server = Endpoint(address, token)
    answer = exchange(server, method, path, body, deadline=deadline, headers=headers or {}, most_tries=1)
    try:
        found = json.loads(answer.body) if answer.body else {}
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise Unreachable(
            f"{address}: it answered {answer.status} with a body that is not a JSON object: is this the right server? "
            "(a login page or a proxy may answer instead of it)"
        )
    return found
