"""What a server's answer means: the caller's, or a reason to try again, or a refusal."""

from __future__ import annotations

import json
import re

from tailrace.errors import BY_CODE, BY_STATUS, Refused, Unreachable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from tailrace.http1 import Response
    from tailrace.server import Server

__all__ = ["Answer", "pause_asked_for", "refusal", "said"]

LONGEST_MESSAGE = 300
LARGEST_ERROR = 65_536
MARKUP = re.compile(r"(?s)<(script|style|title)\b.*?</\1\s*>|<[^>]*>")


class Answer:
    """What a server answered with a 2xx.

    Attributes
    ----------
    status, headers, body
        As they came; header names in lower case.
    """

    def __init__(self, url: str, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body
        self._url = url

    def json(self) -> Any:
        """The body as JSON; None if it is empty. Raises Unreachable where it isn't JSON: no Tailrace answered."""
        try:
            return json.loads(self.body) if self.body else None
        except ValueError:
            raise Unreachable(
                f"{self._url}: it answered {self.status} with something that is no JSON: is this a Tailrace server? "
                "(a login page or a proxy may stand before it)"
            ) from None


def said(response: Response, body: bytes) -> str:
    """An error answer in one line."""
    return f"it answered {response.status} {response.reason}: {_detail(body)['message']}"


def refusal(server: Server, response: Response, body: bytes) -> Refused:
    """A 3xx or 4xx as what to raise."""
    status = response.status
    if status < 400:
        place = response.headers.get("location") or "somewhere it doesn't name"
        return Refused(
            f"{server.url}: it answered {status}, a redirection to {place}, which is not followed: set TAILRACE_URL to "
            "where the server itself is (a login page or a proxy may stand before it)",
            status,
        )
    detail = _detail(body)
    hint = " (TAILRACE_TOKEN is not set)" if status == 401 and not server.token else ""
    field = detail.get("field")
    code = str(detail.get("code", ""))
    return BY_CODE.get(code, BY_STATUS.get(status, Refused))(
        f"{server.url}: it answered {status} {response.reason}: {detail['message']}{hint}",
        status,
        code,
        None if field is None else str(field),
        str(detail.get("request_id", "")),
    )


def pause_asked_for(headers: Mapping[str, str]) -> float:
    """Seconds that a Retry-After asks to wait, as a number or as a date; 0 where there is none."""
    given = headers.get("retry-after", "")
    if given.isascii() and given.isdigit():
        return float(given)
    if not given:
        return 0.0
    import time
    from email.utils import mktime_tz, parsedate_tz

    until, now = parsedate_tz(given), parsedate_tz(headers.get("date", ""))
    # By the server's own clock, where it says what that shows: this machine's may be an hour off.
    return max(0.0, mktime_tz(until) - (mktime_tz(now) if now else time.time())) if until else 0.0


def beginning(response: Response) -> bytes:
    """As much of an error's body as a message needs."""
    body = b""
    while len(body) < LARGEST_ERROR and (piece := response.read(LARGEST_ERROR)):
        body += piece
    return body


def _detail(body: bytes) -> dict[str, Any]:
    """What an error answer says: Tailrace's own words, or the start of whatever else came."""
    try:
        error = json.loads(body)["error"]
        return {**error, "message": str(error["message"])}
    except (ValueError, KeyError, TypeError):
        text = " ".join(MARKUP.sub(" ", body.decode("utf-8", "replace")).split())
        return {"message": text[:LONGEST_MESSAGE] or "no explanation"}
