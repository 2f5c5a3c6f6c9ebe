"""`ServerResponse`, and the errors that other responses of a server mean."""

from __future__ import annotations

import json
import re

from tailrace.errors import BY_CODE, BY_STATUS, Refused, Unreachable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from tailrace.transport.endpoint import Endpoint
    from tailrace.transport.http1 import Response

__all__ = ["ServerResponse", "error_line", "refusal", "retry_after"]

LONGEST_MESSAGE = 300
LARGEST_ERROR = 65_536
MARKUP = re.compile(r"(?s)<(script|style|title)\b.*?</\1\s*>|<[^>]*>")


class ServerResponse:
    """A response with a 2xx status.

    Attributes
    ----------
    status, headers, body
        As received. Header names are in lower case.
    """

    def __init__(self, url: str, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body
        self._url = url

    def json(self) -> Any:
        """Returns the JSON of the body; None if the body is empty.

        Raises
        ------
        Unreachable
            If the body is not JSON, because then another program answered.
        """
        try:
            return json.loads(self.body) if self.body else None
        except ValueError:
            raise Unreachable(
                f"{self._url}: it answered {self.status} with a body that is not JSON: is this a Tailrace server? "
                "(a login page or a proxy may answer instead of it)"
            ) from None


def error_line(response: Response, body: bytes) -> str:
    """Returns a description of an error response, in one line."""
    return f"it answered {response.status} {response.reason}: {_detail(body)['message']}"


def refusal(server: Endpoint, response: Response, body: bytes) -> Refused:
    """Returns the error to raise for a response with status 3xx or 4xx."""
    status = response.status
    if status < 400:
        place = response.headers.get("location") or "an unnamed address"
        return Refused(
            f"{server.url}: it answered {status}, a redirect to {place}, which is not followed: set TAILRACE_URL to "
            "the address of the server itself (a login page or a proxy may answer instead of it)",
            status,
        )
    detail = _detail(body)
    hint = " (TAILRACE_TOKEN is not set)" if status == 401 and not server.token else ""
    field = detail.get("field")
    code = str(detail.get("code", ""))
    error = BY_CODE.get(code, BY_STATUS.get(status, Refused))(
        f"{server.url}: it answered {status} {response.reason}: {detail['message']}{hint}",
        status,
        code,
        None if field is None else str(field),
        str(detail.get("request_id", "")),
    )
    error.answer = _object(body)
    return error


def retry_after(headers: Mapping[str, str]) -> float:
    """Returns the seconds to wait according to the header Retry-After, a number or a date; 0 if there is none."""
    given = headers.get("retry-after", "")
    if given.isascii() and given.isdigit():
        return float(given)
    if not given:
        return 0.0
    import time
    from email.utils import mktime_tz, parsedate_tz

    until, now = parsedate_tz(given), parsedate_tz(headers.get("date", ""))
    # Relative to the header Date, if there is one, because this machine's clock may be wrong.
    return max(0.0, mktime_tz(until) - (mktime_tz(now) if now else time.time())) if until else 0.0


def read_error_body(response: Response) -> bytes:
    """Returns the start of an error's body, as much as a message needs."""
    body = b""
    while len(body) < LARGEST_ERROR and (piece := response.read(LARGEST_ERROR)):
        body += piece
    return body


def _object(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _detail(body: bytes) -> dict[str, Any]:
    """Returns the fields of an error response. If it is not Tailrace's JSON, ``message`` is the start of the body."""
    try:
        error = json.loads(body)["error"]
        return {**error, "message": str(error["message"])}
    except (ValueError, KeyError, TypeError):
        text = " ".join(MARKUP.sub(" ", body.decode("utf-8", "replace")).split())
        return {"message": text[:LONGEST_MESSAGE] or "no explanation"}
