"""Requests that post observations: their path, their size limits, and their responses."""

from __future__ import annotations

import re

from tailrace.errors import Unreachable, Unusable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, TypeVar

    from tailrace.transport.server import Server

    Item = TypeVar("Item")

__all__ = [
    "BYTES_PER_REQUEST",
    "PER_REQUEST",
    "TOO_SLOW",
    "check_stream",
    "observations_path",
    "post_observations",
    "receipt_warning",
    "split",
]  # fmt: skip

PER_REQUEST = 500
"""Largest number of observations in one request."""

BYTES_PER_REQUEST = 4 * 2**20
"""Size of a request, in bytes, at which no more observations are added to it."""

RECEIPT = ("last", "accepted", "duplicates")
"""Fields with whole numbers in each response. JSON without them comes from another program: nothing was delivered."""

MOST_TOLD = 20
"""Most different warnings of many requests for one stream that are told."""

TOO_SLOW = "too_slow"
"""Code with which a server refuses a request because its observations together take a model too long."""


_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}\Z")


def check_stream(name: Any) -> str:
    """Returns a name that a stream may have. No server takes another one, so it would wait in the spool for ever.

    Raises
    ------
    Unusable
        If it is not one.
    """
    if not isinstance(name, str):
        raise Unusable(f"{name!r} is not a stream's name: expected text")
    if _NAME.match(name) is None:
        raise Unusable(
            f"{name!r:.220} is not a stream's name: expected 1 to 200 letters, digits, '.', '_' or '-', starting with a "
            "letter or a digit"
        )
    return name


def observations_path(stream: str) -> str:
    """Returns the path where a stream's observations are posted and read."""
    if re.fullmatch(r"[A-Za-z0-9_.-]+", stream) is None or stream in (".", ".."):
        from urllib.parse import quote

        stream = quote(stream, safe="", errors="replace").replace(".", "%2E")
    return f"/api/v1/streams/{stream}/observations/"


def post_observations(
    server: Server, stream: str, body: Any, *, deadline: float, headers: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Post one observation, or ``{"observations": [...]}``, and return the server's response.

    Raises
    ------
    Refused, Unreachable, Unusable
        Like `Server.request`. Unreachable also if the response is not one of a Tailrace server.
    """
    answer = server.request("POST", observations_path(stream), body, deadline=deadline, headers=headers)
    if not isinstance(answer, dict) or not all(type(answer.get(field)) is int for field in RECEIPT):
        raise Unreachable(f"{server.url}: it answered {answer!r:.100}: is this a Tailrace server?")
    return answer


def receipt_warning(answer: Any, told: set[tuple[str, str]] | None = None) -> str | None:
    """Returns what the server warns of in a receipt: a new stream, or points unlike the earlier ones. None if nothing.

    With `told`, the codes and features that were warned of before, it returns only what is new, and adds it there; at most
    `MOST_TOLD` of them.
    """
    if not isinstance(answer, dict):
        return None
    new, unlike = answer.get("new_stream"), answer.get("warnings")
    found = [new] if isinstance(new, dict) else []
    found += [one for one in unlike if isinstance(one, dict)] if isinstance(unlike, list) else []
    said = []
    for one in found:
        about = (str(one.get("code")), str(one.get("feature")))
        if not one.get("message") or (told is not None and (about in told or len(told) >= MOST_TOLD)):
            continue
        if told is not None:
            told.add(about)
        said.append(str(one["message"]))
    return "; ".join(said) or None


def split(part: list[Item], field: str | None) -> list[list[Item]]:
    """Split a refused batch into smaller ones, in order.

    It is split around the observation that the server names in `field`, or into halves.
    """
    named = re.match(r"observations\[(\d+)\]", field or "")
    at = int(named[1]) if named else -1
    cuts = (at, at + 1) if 0 <= at < len(part) else (len(part) // 2,)
    pieces = [part[start:end] for start, end in zip((0, *cuts), (*cuts, len(part)))]  # noqa: B905 - Python 3.9
    return [piece for piece in pieces if piece]
