"""Reading and writing the log of one stream. Writers hold the stream's lock (:mod:`server.streams.locks`)."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from django.db import connection

from server.streams.codec import loads, text

BATCH_POINTS = 500
"""Points in one row: enough to make a row's cost small, few enough to keep reading at constant memory."""

CHUNK_BYTES = 4 * 2**20
FIRST_ROWS, MOST_ROWS = 16, 2048

_READ = (
    "SELECT last, count, at, xs, ys, notes, predictions, skipped FROM streams_batch"
    " WHERE stream_id = %s AND last > %s ORDER BY last LIMIT %s"
)


class Point(NamedTuple):
    """One labeled point on its way into a log."""

    x: dict[str, Any]
    y: Any
    key: str | None = None
    source: dict[str, Any] | None = None
    identifier: str | None = None
    given: dict[int, Any] | None = None
    """Predictions that were made earlier, by model id: they are what these models are scored on."""

    @property
    def once(self) -> str | None:
        """What makes the point unique in its stream: its key, or the identifier of its prediction."""
        if self.identifier is not None:
            return f"i:{self.identifier}"
        return None if self.key is None else f"k:{self.key}"


class Span(NamedTuple):
    """Consecutive observations as they were committed, ``first`` to ``first + len(xs) - 1``."""

    first: int
    at: datetime
    xs: list[dict[str, Any]]
    ys: list[Any]
    notes: dict[int, dict[str, Any]]
    predictions: dict[int, list[Any]]
    skipped: dict[int, dict[int, str]]

    @property
    def last(self) -> int:
        return self.first + len(self.xs) - 1


def _by_number(column: str | None) -> dict[int, Any]:
    return {} if column is None else {int(key): value for key, value in loads(column).items()}


def spans(stream_id: int, after: int, upto: int | None = None) -> Iterator[Span]:
    """The observations after number ``after`` up to ``upto``, in order, at constant memory."""
    rows_wanted = FIRST_ROWS
    with connection.cursor() as cursor:
        while upto is None or after < upto:
            cursor.execute(_READ, (stream_id, after, rows_wanted))
            rows = cursor.fetchall()
            size = 0
            for last, count, at, xs, ys, notes, predictions, skipped in rows:
                size += len(xs)
                first = last - count + 1
                span = Span(
                    first, at, loads(xs), loads(ys), _by_number(notes), _by_number(predictions), _skips(skipped)
                )
                if first <= after or (upto is not None and last > upto):
                    span = cut(span, after, upto)
                yield span
                after = last
            if len(rows) < rows_wanted:
                return
            if size < CHUNK_BYTES // 4:
                rows_wanted = min(MOST_ROWS, rows_wanted * 4)
            elif size > CHUNK_BYTES:
                rows_wanted = max(1, rows_wanted // 4)


def _skips(column: str | None) -> dict[int, dict[int, str]]:
    return {model: {int(offset): why for offset, why in by.items()} for model, by in _by_number(column).items()}


def cut(span: Span, after: int, upto: int | None) -> Span:
    """The part of a span that lies in ``(after, upto]``."""
    low = max(0, after + 1 - span.first)
    high = len(span.xs) if upto is None else min(len(span.xs), upto - span.first + 1)

    def moved(by_offset: dict[int, Any]) -> dict[int, Any]:
        return {offset - low: value for offset, value in by_offset.items() if low <= offset < high}

    return Span(
        span.first + low,
        span.at,
        span.xs[low:high],
        span.ys[low:high],
        moved(span.notes),
        {model: values[low:high] for model, values in span.predictions.items()},
        {model: moved(by_offset) for model, by_offset in span.skipped.items()},
    )


def note_of(point: Point) -> dict[str, Any]:
    """What only some points have, by its stored name."""
    note: dict[str, Any] = {}
    if point.key is not None:
        note["key"] = point.key
    if point.source:
        note["source"] = point.source
    if point.identifier is not None:
        note["identifier"] = point.identifier
    if point.given:
        note["given"] = point.given
    return note


def append(
    stream_id: int,
    head: int,
    points: Sequence[Point],
    at: datetime,
    predictions: dict[int, list[Any]],
    skipped: dict[int, dict[int, str]],
) -> None:
    """Insert ``points`` as ``head + 1 …`` and move the head. Inside the caller's transaction and lock."""
    xid = "pg_current_xact_id()::text::bigint" if connection.vendor == "postgresql" else "NULL"
    rows = []
    for low in range(0, len(points), BATCH_POINTS):
        part = points[low : low + BATCH_POINTS]
        notes = {offset: note for offset, point in enumerate(part) if (note := note_of(point))}
        own_skips = {
            model: {n - low: why for n, why in by.items() if low <= n < low + len(part)} for model, by in skipped.items()
        }
        own_skips = {model: by for model, by in own_skips.items() if by}
        rows.append(
            (
                stream_id,
                head + low + len(part),
                len(part),
                at,
                text([point.x for point in part]),
                text([point.y for point in part]),
                text(notes) if notes else None,
                text({model: by[low : low + len(part)] for model, by in predictions.items()}) if predictions else None,
                text(own_skips) if own_skips else None,
            )
        )
    keys = [(stream_id, once, head + n) for n, point in enumerate(points, 1) if (once := point.once) is not None]
    with connection.cursor() as cursor:
        for row in rows:
            cursor.execute(_INSERT[xid], row)
        if keys:
            cursor.executemany("INSERT INTO streams_key (stream_id, key, seq) VALUES (%s, %s, %s)", keys)
        cursor.execute("UPDATE streams_stream SET head = %s WHERE id = %s", (head + len(points), stream_id))


_COLUMNS = "stream_id, last, count, at, xs, ys, notes, predictions, skipped, xid"
_INSERT = {
    xid: f"INSERT INTO streams_batch ({_COLUMNS}) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, {xid})"
    for xid in ("NULL", "pg_current_xact_id()::text::bigint")
}


def known_keys(stream_id: int, onces: list[str]) -> dict[str, int]:
    """Which of these keys name an observation already, and which one."""
    found: dict[str, int] = {}
    with connection.cursor() as cursor:
        for low in range(0, len(onces), 500):
            part = onces[low : low + 500]
            places = ", ".join(["%s"] * len(part))
            cursor.execute(
                f"SELECT key, seq FROM streams_key WHERE stream_id = %s AND key IN ({places})", [stream_id, *part]
            )
            found.update(cursor.fetchall())
    return found


def observation(stream_id: int, seq: int) -> tuple[Span, int] | None:
    """The span that holds observation ``seq`` and its offset there, or None."""
    for span in spans(stream_id, seq - 1, seq):
        return span, 0
    return None
