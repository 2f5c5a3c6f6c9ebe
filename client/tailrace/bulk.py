"""Posting many observations that are kept elsewhere already, such as in a file: many a request, each exactly once."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from tailrace.errors import Refused, Unreachable
from tailrace.flushing import BYTES_PER_REQUEST, PER_REQUEST, TOO_SLOW, apart
from tailrace.plain import plain_point, plain_value
from tailrace.posting import warning_in
from tailrace.server import observations_path
from tailrace.written import unlike, written

if TYPE_CHECKING:
    from tailrace.server import Server

__all__ = ["Cells", "Row", "Sent", "keyed", "send"]


class Cells(NamedTuple):
    """What a row holds: features (`tailrace.written.Given` where they were read from text), target and its text, and a key, if any."""

    place: str
    x: Mapping[str, Any]
    y: Any
    key: Any = None
    y_text: str | None = None


class Row(NamedTuple):
    """An observation, and where it comes from, such as ``line 7``."""

    place: str
    observation: dict[str, Any]


class Sent(NamedTuple):
    """What became of some rows: how many are new to the server, how many it knew, and which it refused, and why;
    and what it says of a stream that they made."""

    new: int = 0
    known: int = 0
    refused: tuple[tuple[str, str], ...] = ()
    warning: str | None = None


def keyed(rows: Iterable[Cells], source: Mapping[str, Any] | None) -> Iterator[Row]:
    """Rows to post.

    A row without a key gets one from what it says, and from how many rows before it say the same: posted again, or from
    a file that has grown, it counts once.

    Raises
    ------
    Unusable
        If a value can't be sent; the message names the place.
    """
    seen: Counter[str] = Counter()
    for place, x, y, key, y_text in rows:
        features, target = plain_point(x, f"{place}: x"), plain_value(y, f"{place}: y")
        texts = written(x, y_text)
        if key is None:
            of_x = texts.get("x", {})
            content = [
                {name: unlike(value, of_x.get(name)) for name, value in features.items()},
                unlike(target, y_text),
            ]
            said = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:32]
            key = f"row:{said}:{seen[said]}"
            seen[said] += 1
        made = {"x": features, "y": target, "key": str(key)}
        if texts:
            made["written"] = texts
        yield Row(place, {**made, "source": dict(source)} if source else made)


def send(server: Server, stream: str, rows: Iterable[Row], deadline: float) -> Iterator[Sent]:
    """Post the rows in their order; what each request did. What the server refuses is named, and the others go on.

    Raises
    ------
    Unreachable, Refused
        If a request can't be delivered now, or the stream may not be posted to. The same rows again go on from there.
    """
    batch: list[Row] = []
    size = 0
    for row in rows:
        batch.append(row)
        size += len(json.dumps(row.observation))
        if len(batch) >= PER_REQUEST or size >= BYTES_PER_REQUEST:
            yield from _send(server, stream, batch, deadline)
            batch, size = [], 0
    if batch:
        yield from _send(server, stream, batch, deadline)


def _send(server: Server, stream: str, batch: list[Row], deadline: float) -> Iterator[Sent]:
    parts = [batch]
    while parts:
        part = parts.pop(0)
        body = {"observations": [row.observation for row in part]} if len(part) > 1 else part[0].observation
        try:
            answer = server.request("POST", observations_path(stream), body, deadline=deadline)
        except Refused as error:
            if len(part) > 1 and (error.for_good or error.code == TOO_SLOW):
                parts[:0] = apart(part, error.field)
            elif error.for_good:
                yield Sent(refused=((part[0].place, str(error)),))
            else:
                raise
            continue
        if not isinstance(answer, dict) or "last" not in answer:
            raise Unreachable(f"{server.url}: it answered {answer!r:.100}: is this a Tailrace server?")
        yield Sent(int(answer["accepted"]), int(answer["duplicates"]), warning=warning_in(answer))
