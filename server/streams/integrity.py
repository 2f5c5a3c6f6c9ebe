"""Integrity check of a log: compares each batch with the checksum that was computed when it was received."""

from collections.abc import Collection, Iterator
from typing import Any, NamedTuple

from django.db import connection

from server.core.json_codec import loads
from server.core.validation import FEATURE_KINDS
from server.streams.models import Stream
from server.streams.points import checksum

ROWS = 200

_READ = (
    "SELECT last, count, xs, ys, checksum, predictions FROM streams_batch"
    " WHERE stream_id = %s AND last > %s ORDER BY last LIMIT %s"
)


class Finding(NamedTuple):
    """Observations that differ, or may differ, from what was received.

    Attributes
    ----------
    first, last
        Numbers of the observations.
    certain
        Whether they certainly differ.
    why
        What is wrong.
    """

    first: int
    last: int
    certain: bool
    why: str


def examine(stream: Stream, writers: Collection[int] = (), after: int = 0) -> Iterator[Finding]:
    """Check each batch of a log after observation ``after``.

    Parameters
    ----------
    writers
        IDs of models whose estimators modify the features that they get. Versions without checksums passed the same features
        to all models of a stream and stored them afterwards.
    """
    features = stream.features
    with connection.cursor() as cursor:
        while True:
            cursor.execute(_READ, (stream.pk, after, ROWS))
            rows = cursor.fetchall()
            for last, count, xs, ys, stored, predictions in rows:
                first = last - count + 1
                wrong = _wrong(count, xs, ys, stored, features)
                if wrong:
                    yield Finding(first, last, True, wrong)
                elif stored is None and (by := _writers_of(predictions, writers)):
                    yield Finding(first, last, False, f"stored by an older version after model {by} could modify them")
                after = last
            if len(rows) < ROWS:
                return


def _wrong(count: int, xs: str, ys: str, stored: int | None, features: dict[str, str] | None) -> str:
    """Return what is certainly wrong with a batch; empty if nothing is."""
    if stored is not None:
        if checksum(xs.encode(), ys.encode()) != stored:
            return "their checksum differs from the one that was computed when they were received"
        return ""
    try:
        points, targets = loads(xs), loads(ys)
    except ValueError as exc:
        return f"they can't be read: {exc}"
    if len(points) != count or len(targets) != count:
        return f"there are {len(points)} points and {len(targets)} targets: expected {count} of each"
    if features is not None and not all(x is None or _is_declared(x, features) for x in points):
        return "their features are not those that the stream declares"
    return ""


def _is_declared(x: dict[str, Any], features: dict[str, str]) -> bool:
    return x.keys() == features.keys() and all(
        type(value) in FEATURE_KINDS[features[name]] for name, value in x.items()
    )


def _writers_of(predictions: str | None, writers: Collection[int]) -> str:
    """Return the IDs of those models that had learned a batch."""
    if predictions is None or not writers:
        return ""
    return ", ".join(sorted((loads(predictions).keys() & {str(model) for model in writers}), key=int))
