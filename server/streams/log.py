"""Reads and writes of the log of one stream. Writers hold the stream's lock (:mod:`server.core.db.locks`)."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from django.db import connection

from server.core.db import learn_statements
from server.core.db.locks import is_sqlite
from server.core.db.prepared_statements import BoundStatement
from server.core.db.single_row import SingleRowQuery
from server.core.errors import NotFound, Unavailable
from server.core.json_codec import dumps_text, loads
from server.streams.points import Note, Piece, checksum, joined

CHUNK_BYTES = 2 * 2**20
"""Bytes of stored text that are read at once. In memory, a text takes up to four times its bytes."""
FIRST_ROWS, MOST_ROWS = 2, 2048

STORED_BYTES = {"sqlite": "LENGTH(CAST({} AS BLOB))", "postgresql": "octet_length({})"}
"""SQL for the size of a text column, by database."""

_READ = (
    "SELECT last, count, at, xs, ys, notes, predictions, skipped FROM streams_batch"
    " WHERE stream_id = %s AND last > %s ORDER BY last LIMIT %s"
)
SAMPLED, MOST_OF_SAMPLE = 4, 200_000
"""Number of the earliest and of the latest batches in a sample, and the size in bytes up to which a batch is read for it.
Larger ones take too long."""

_END = "SELECT * FROM (SELECT xs, ys, last FROM streams_batch WHERE stream_id = %s ORDER BY last {} LIMIT %s) AS {}"
_SAMPLE = {
    vendor: f"SELECT xs, ys FROM ({_END.format('ASC', 'earliest')} UNION {_END.format('DESC', 'latest')}) AS sample"
    f" WHERE {size.format('xs')} <= %s ORDER BY last DESC"
    for vendor, size in STORED_BYTES.items()
}

_SIZES = {
    vendor: f"SELECT last, {size.format('xs')} + COALESCE({size.format('notes')}, 0)"
    f" + COALESCE({size.format('predictions')}, 0) FROM streams_batch"
    " WHERE stream_id = %s AND last > %s ORDER BY last LIMIT %s"
    for vendor, size in STORED_BYTES.items()
}

_READ_FEATURES = "SELECT last, count, xs FROM streams_batch WHERE stream_id = %s AND last > %s ORDER BY last LIMIT %s"
_LATEST_NOTES = "SELECT count, notes FROM streams_batch WHERE stream_id = %s ORDER BY last DESC LIMIT %s"


class Span(NamedTuple):
    """Consecutive observations, ``first`` to ``first + len(xs) - 1``.

    Observations that are no longer kept (:mod:`server.streams.retention`) have None in place of their features.
    """

    first: int
    at: datetime
    xs: list[dict[str, Any]]
    ys: list[Any]
    notes: dict[int, dict[str, Any]]
    predictions: dict[int, list[Any]]
    skipped: dict[int, dict[int, str]]
    size: int = 0
    """Characters of JSON of the batches that it was read from."""

    @property
    def last(self) -> int:
        return self.first + len(self.xs) - 1


def decoded(
    first: int,
    at: datetime | str,
    xs: str,
    ys: str,
    notes: str | None,
    predictions: str | None,
    skipped: str | None,
) -> Span:
    """Decode the JSON columns of a batch."""
    return Span(first, moment(at), loads(xs), loads(ys), _by_number(notes), _by_number(predictions), _skips(skipped))


def moment(value: datetime | str) -> datetime:
    """Return a time from a raw query. SQLite stores times as text."""
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    return value if value.tzinfo else value.replace(tzinfo=UTC)


def _by_number(column: str | None) -> dict[int, Any]:
    return {} if column is None else {int(key): value for key, value in loads(column).items()}


def spans(stream_id: int, after: int, upto: int | None = None) -> Iterator[Span]:
    """Yield the observations after number ``after`` up to ``upto``, in order, with constant memory."""
    if upto is not None and after >= upto:
        return
    for row in _rows_after(_READ, stream_id, after):
        last, count, at, xs, ys, notes, predictions, skipped = row
        first = last - count + 1
        if upto is not None and first > upto:
            return
        span = decoded(first, at, xs, ys, notes, predictions, skipped)
        span = span._replace(size=len(xs) + len(predictions or ""))
        if first <= after or (upto is not None and last > upto):
            span = cut(span, after, upto)
        only = [span]
        del row, span, xs, ys, notes, predictions, skipped  # who reads on slowly holds none of them
        yield only.pop()
        if upto is not None and last >= upto:
            return


def features(stream_id: int, after: int, upto: int) -> Iterator[tuple[int, list[dict[str, Any] | None]]]:
    """Yield only the features of the observations after ``after`` up to ``upto``, by row, with the number of the first."""
    if after >= upto:
        return
    for last, count, column in _rows_after(_READ_FEATURES, stream_id, after):
        first = last - count + 1
        if first > upto:
            return
        start = max(first, after + 1)
        yield start, loads(column)[start - first : upto + 1 - first]
        if last >= upto:
            return


def _rows_after(sql: str, stream_id: int, after: int) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of batches after an observation, in order. It reads as many at a time as their size allows."""
    rows_wanted = FIRST_ROWS
    with connection.cursor() as cursor:
        while True:
            if rows_wanted > FIRST_ROWS:
                rows_wanted = _rows_that_fit(cursor, stream_id, after, rows_wanted)
            cursor.execute(sql, (stream_id, after, rows_wanted))
            rows = cursor.fetchall()
            count = len(rows)
            if not count:
                return
            after = rows[-1][0]
            size = sum(len(column) for row in rows for column in row if type(column) is str)
            rows.reverse()
            while rows:
                yield rows.pop()
            if count < rows_wanted:
                return
            if size < CHUNK_BYTES // 4:
                rows_wanted = min(MOST_ROWS, rows_wanted * 4)
            elif size > CHUNK_BYTES:
                rows_wanted = max(1, rows_wanted // 4)


def _rows_that_fit(cursor: Any, stream_id: int, after: int, most: int) -> int:
    """How many of the next rows have at most :data:`CHUNK_BYTES` together, at least one: large ones may follow small ones."""
    cursor.execute(_SIZES[connection.vendor], (stream_id, after, most))
    total = 0
    for rows, (_, size) in enumerate(cursor.fetchall()):
        total += size
        if total > CHUNK_BYTES:
            return max(1, rows)
    return most


def _skips(column: str | None) -> dict[int, dict[int, str]]:
    return {model: {int(offset): why for offset, why in by.items()} for model, by in _by_number(column).items()}


def cut(span: Span, after: int, upto: int | None) -> Span:
    """Return the part of a span in ``(after, upto]``."""
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
        span.size,
    )


def sample(stream_id: int) -> Iterator[tuple[list[dict[str, Any] | None], list[Any]]]:
    """Yield features and targets of the earliest and the latest batches, last first, without large ones."""
    with connection.cursor() as cursor:
        cursor.execute(_SAMPLE[connection.vendor], (stream_id, SAMPLED, stream_id, SAMPLED, MOST_OF_SAMPLE))
        for xs, ys in cursor.fetchall():
            yield loads(xs), loads(ys)


def latest_sources(stream_id: int, most: int) -> tuple[list[dict[str, Any]], int]:
    """Return the sources of about the latest ``most`` observations that have one, in one query, and how many were looked at."""
    found: list[dict[str, Any]] = []
    seen = 0
    with connection.cursor() as cursor:
        cursor.execute(_LATEST_NOTES, (stream_id, most))
        while seen < most and (row := cursor.fetchone()) is not None:
            count, notes = row
            found += [note["source"] for note in _by_number(notes).values() if note.get("source")]
            seen += count
    return found, seen


class LogHead(NamedTuple):
    """The state of a log that a writer needs.

    Parameters
    ----------
    head, epoch
        Head and epoch of the stream.
    known
        Numbers of the existing observations, by those of the requested keys that they have.
    """

    head: int
    epoch: int
    known: dict[str, int]


def lock_and_read_head(stream_id: int, unique_keys: list[str]) -> LogHead:
    """Take the stream's lock, which is held to the end of the transaction, and read the state of its log.

    Parameters
    ----------
    stream_id
        The stream.
    unique_keys
        Keys to look up (:attr:`Note.unique_key`).

    Raises
    ------
    NotFound
        If the stream was deleted.
    """
    if is_sqlite():  # the caller holds the lock already
        row = _position(stream_id)
        if row is not None:
            return LogHead(row[0], row[1], _known_keys(stream_id, unique_keys))
    else:
        asked = (
            BoundStatement(learn_statements.SELECT_HEAD_AND_KEYS, (stream_id, unique_keys, stream_id))
            if unique_keys
            else BoundStatement(learn_statements.SELECT_HEAD, (stream_id,))
        )
        row = learn_statements.execute(BoundStatement(learn_statements.LOCK_STREAM, (stream_id % 2**31,)), asked)
        if row is not None:
            return LogHead(row[0], row[1], row[2] or {})
    raise NotFound("the stream was deleted")


def append(
    stream_id: int,
    head: int,
    pieces: Sequence[Piece],
    notes: dict[int, Note],
    at: datetime,
    predictions: dict[int, list[Any]],
    skipped: dict[int, dict[int, str]],
    *,
    last: bool = False,
) -> None:
    """Insert points as observations ``head + 1 …`` and update the head. The caller holds the transaction and the lock.

    Parameters
    ----------
    pieces
        The points (:func:`encoded`).
    notes
        Notes by offset.
    predictions, skipped
        By model ID: its prediction for each point, and the reasons by offset of the points that it skipped.
    last
        Whether to commit with it: it is the last write of its :func:`server.core.db.learn_statements.transaction`.
    """
    size = sum(piece.size for piece in pieces)
    when = at.isoformat(" ") if is_sqlite() else at
    rows = _rows(stream_id, head, pieces, notes, when, predictions, skipped)
    keys = [(once, head + n + 1) for n, note in notes.items() if (once := note.unique_key) is not None]
    if is_sqlite():
        held = connection.connection  # Django's cursor takes as long as the statement
        with connection.wrap_database_errors:
            for row in rows:
                held.execute(_INSERT, row)
            if keys:
                held.executemany(_INSERT_KEY, [(stream_id, once, seq) for once, seq in keys])
            moved = held.execute(_MOVE_HEAD, (head + size, stream_id, head)).rowcount
        if moved != 1:  # another writer didn't take the lock
            raise Unavailable("the stream's log has changed in the meantime; try again")
        return
    statements: list[BoundStatement] = []
    for row in rows:
        if statements:  # one round trip per batch, because several are large
            learn_statements.execute(*statements)
        statements = [BoundStatement(learn_statements.INSERT_BATCH, row)]
    if keys:
        statements.append(
            BoundStatement(learn_statements.INSERT_KEYS, (stream_id, *map(list, zip(*keys, strict=True))))
        )
    learn_statements.execute(
        *statements, BoundStatement(learn_statements.UPDATE_HEAD, (head + size, stream_id)), last=last
    )


def _rows(
    stream_id: int,
    head: int,
    pieces: Sequence[Piece],
    notes: dict[int, Note],
    at: datetime | str,
    predictions: dict[int, list[Any]],
    skipped: dict[int, dict[int, str]],
) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of the batches of new points."""
    low = 0
    for count, xs, ys in joined(pieces):
        high = low + count
        own_notes = {n - low: note.stored() for n, note in notes.items() if low <= n < high}
        own_skips = {
            model: part
            for model, by in skipped.items()
            if (part := {n - low: why for n, why in by.items() if low <= n < high})
        }
        yield (
            stream_id,
            head + high,
            count,
            at,
            xs.decode(),
            ys.decode(),
            checksum(xs, ys),
            dumps_text(own_notes) if own_notes else None,
            dumps_text({model: by[low:high] for model, by in predictions.items()}) if predictions else None,
            dumps_text(own_skips) if own_skips else None,
        )
        low = high


_INSERT = (
    "INSERT INTO streams_batch (stream_id, last, count, at, xs, ys, checksum, notes, predictions, skipped)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_INSERT_KEY = "INSERT INTO streams_key (stream_id, key, seq) VALUES (?, ?, ?)"
_MOVE_HEAD = "UPDATE streams_stream SET head = ? WHERE id = ? AND head = ?"
_position = SingleRowQuery("SELECT head, epoch FROM streams_stream WHERE id = %s")


def _known_keys(stream_id: int, unique_keys: list[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    with connection.cursor() as cursor:
        for low in range(0, len(unique_keys), 500):
            part = unique_keys[low : low + 500]
            places = ", ".join(["%s"] * len(part))
            cursor.execute(
                f"SELECT key, seq FROM streams_key WHERE stream_id = %s AND key IN ({places})", [stream_id, *part]
            )
            found.update(cursor.fetchall())
    return found
