"""Posting many observations from a file or a DataFrame, many per request. Each counts exactly once."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from tailrace.errors import Refused, Unusable
from tailrace.observations.json_values import json_point, json_value
from tailrace.observations.rows import Cells
from tailrace.observations.text_values import texts_of, value_or_text
from tailrace.transport.observation_requests import (
    BYTES_PER_REQUEST,
    PER_REQUEST,
    TOO_SLOW,
    check_stream,
    post_observations,
    receipt_warning,
    split,
)

if TYPE_CHECKING:
    from tailrace.transport.server import Server

__all__ = ["BatchResult", "Row", "send_rows", "with_keys"]


EXACT = 2**53
"""Below it a float holds each whole number."""


class Row(NamedTuple):
    """An observation to post, and its place in the file or DataFrame, such as ``line 7``."""

    place: str
    observation: dict[str, Any]


class BatchResult(NamedTuple):
    """Result of posting some rows.

    Attributes
    ----------
    new, known
        Number of rows that are new to the server, and that it already had.
    refused
        ``(place, reason)`` of each row that the server refused for good.
    warning
        What the server warns of: the stream that these rows created, or rows unlike the earlier observations. Each is
        told once, with the first rows that it concerns.
    """

    new: int = 0
    known: int = 0
    refused: tuple[tuple[str, str], ...] = ()
    warning: str | None = None


def with_keys(rows: Iterable[Cells], source: Mapping[str, Any] | None) -> Iterator[Row]:
    """Yields the rows to post, each with an idempotency key.

    A row without a key gets one from its content and from the number of equal rows before it. So each row counts once,
    even if the file is posted again, or after it has grown. A whole number is the same with and without a decimal point:
    pandas makes floats of a column of whole numbers as soon as one is missing.

    Raises
    ------
    Unusable
        If a value cannot be sent, or two rows with different values have the same key. The message names the place.
    """
    seen: Counter[str] = Counter()
    given: dict[int, int] = {}
    for place, x, y, key, y_text in rows:
        features, target = json_point(x, f"{place}: x"), json_value(y, f"{place}: y")
        texts = texts_of(x, y_text)
        if key is None:
            of_x = texts.get("x", {})
            content = [
                {name: _whole(value_or_text(value, of_x.get(name))) for name, value in features.items()},
                _whole(value_or_text(target, y_text)),
            ]
            digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:32]
            key = f"row:{digest}:{seen[digest]}"
            seen[digest] += 1
        elif given.setdefault(hash(str(_whole(key))), of_row := _hash_of(features, target)) != of_row:
            raise Unusable(
                f"{place}: an earlier row with other values has the same key, {str(_whole(key))!r}: expected a key of its own for "
                "each row, as the server counts only the first"
            )
        made = {"x": features, "y": target, "key": str(_whole(key))}
        if texts:
            made["written"] = texts
        yield Row(place, {**made, "source": dict(source)} if source else made)


def _hash_of(features: Mapping[str, Any], target: Any) -> int:
    # Of the text: the hashes of the numbers -1 and -2 are the same, and those of 1 and True.
    return hash(json.dumps([{name: _whole(value) for name, value in features.items()}, _whole(target)], sort_keys=True))


def _whole(value: Any) -> Any:
    """A float that is a whole number as an int, and anything else as it is."""
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < EXACT else value


def send_rows(server: Server, stream: str, rows: Iterable[Row], deadline: float) -> Iterator[BatchResult]:
    """Post the rows in their order, and yield the result of each request.

    If the server refuses a row for good, the result names it, and the remaining rows are still posted.

    Raises
    ------
    Unreachable, Refused
        If a request cannot be delivered now, or the stream may not be posted to. Post the same rows again to resume.
    Unusable
        If no stream can have that name.
    """
    check_stream(stream)
    batch: list[Row] = []
    size = 0
    told: set[tuple[str, str]] = set()
    for row in rows:
        batch.append(row)
        size += len(json.dumps(row.observation))
        if len(batch) >= PER_REQUEST or size >= BYTES_PER_REQUEST:
            yield from _send(server, stream, batch, deadline, told)
            batch, size = [], 0
    if batch:
        yield from _send(server, stream, batch, deadline, told)


def _send(
    server: Server, stream: str, batch: list[Row], deadline: float, told: set[tuple[str, str]]
) -> Iterator[BatchResult]:
    parts = [batch]
    while parts:
        part = parts.pop(0)
        body = {"observations": [row.observation for row in part]} if len(part) > 1 else part[0].observation
        try:
            answer = post_observations(server, stream, body, deadline=deadline)
        except Refused as error:
            if len(part) > 1 and (error.for_good or error.code == TOO_SLOW):
                parts[:0] = split(part, error.field)
            elif error.for_good:
                yield BatchResult(refused=((part[0].place, str(error)),))
            else:
                raise
            continue
        yield BatchResult(answer["accepted"], answer["duplicates"], warning=receipt_warning(answer, told))
