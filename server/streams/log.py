"""Reading and writing the log of one stream. Writers hold the stream's lock (:mod:`server.streams.locks`)."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple
from zlib import crc32

from django.db import connection

from server.streams import trips
from server.streams.codec import exact, loads, text
from server.streams.errors import NotFound, Unavailable
from server.streams.locks import is_sqlite
from server.streams.prepared import Said
from server.streams.reading import OneRow

BATCH_POINTS = 500
"""Points in one row: enough to make a row's cost small, few enough to keep reading at constant memory."""

CHUNK_BYTES = 4 * 2**20
FIRST_ROWS, MOST_ROWS = 4, 2048

_READ = (
    "SELECT last, count, at, xs, ys, notes, predictions, skipped FROM streams_batch"
    " WHERE stream_id = %s AND last > %s ORDER BY last LIMIT %s"
)
MOST_OF_LATEST = 200_000
"""Bytes of a batch that is looked at as one of the latest: a larger one takes too long to read."""

_LATEST = {
    vendor: "SELECT xs, ys FROM (SELECT xs, ys, last FROM streams_batch WHERE stream_id = %s ORDER BY last DESC LIMIT %s) AS latest"
    f" WHERE {size} <= %s ORDER BY last DESC"
    for vendor, size in (("sqlite", "LENGTH(CAST(xs AS BLOB))"), ("postgresql", "octet_length(xs)"))
}

_READ_FEATURES = "SELECT last, count, xs FROM streams_batch WHERE stream_id = %s AND last > %s ORDER BY last LIMIT %s"


STORED = ("key", "source", "identifier", "given")
"""Of a note, what the log keeps."""


class Note(NamedTuple):
    """What only some points have."""

    key: str | None = None
    source: dict[str, Any] | None = None
    identifier: str | None = None
    given: dict[int, Any] | None = None
    """Predictions that were made earlier, by model id: they are what these models are scored on."""
    of_model: int | None = None
    """Id of the model among whose predictions alone the identifier is unique; None: it is unique in the stream."""

    @property
    def once(self) -> str | None:
        """What makes the point unique in its stream: its key, or the identifier of its prediction."""
        if self.identifier is not None:
            if self.of_model is None:
                return f"i:{self.identifier}"
            return (
                f"m:{self.of_model}:{hashlib.sha256(self.identifier.encode()).hexdigest()}"  # as long as a key may be
            )
        return None if self.key is None else f"k:{self.key}"

    def stored(self) -> dict[str, Any]:
        """What is there, by its stored name."""
        return {name: value for name in STORED if (value := getattr(self, name)) is not None and value != {}}


class Point(NamedTuple):
    """One labeled point on its way into a log."""

    x: dict[str, Any]
    y: Any
    note: Note | None = None


class Points(NamedTuple):
    """Labeled points on their way into a log, in columns: ``notes`` maps the offset of a point to what only it has."""

    xs: list[dict[str, Any]]
    ys: list[Any]
    notes: dict[int, Note]

    @classmethod
    def of(cls, points: Iterable[Point]) -> "Points":
        points = list(points)
        notes = {n: point.note for n, point in enumerate(points) if point.note is not None}
        return cls([point.x for point in points], [point.y for point in points], notes)

    def given(self, model_id: int) -> dict[int, Any]:
        """Offset to the prediction that this model gave earlier."""
        return {n: note.given[model_id] for n, note in self.notes.items() if note.given and model_id in note.given}

    def chosen(self, indexes: list[int]) -> "Points":
        """Some of the points."""
        notes = {n: self.notes[index] for n, index in enumerate(indexes) if index in self.notes}
        return Points([self.xs[n] for n in indexes], [self.ys[n] for n in indexes], notes)

    def extend(self, more: "Points") -> None:
        shift = len(self.xs)
        self.xs.extend(more.xs)
        self.ys.extend(more.ys)
        self.notes.update({shift + n: note for n, note in more.notes.items()})


class Piece(NamedTuple):
    """Consecutive points as they are stored: the JSON of their features and of their targets, two lists of ``size``.

    They are encoded before any model sees the points, so that what was received is what is stored.
    """

    size: int
    xs: bytes
    ys: bytes


def encoded(xs: Sequence[dict[str, Any]], ys: Sequence[Any]) -> list[Piece]:
    """Points in pieces of at most :data:`BATCH_POINTS`.

    Raises
    ------
    TypeError
        If a value has no form in JSON.
    """
    size = len(xs)
    if size <= BATCH_POINTS:
        return [Piece(size, exact(xs), exact(ys))]
    lows = range(0, size, BATCH_POINTS)
    slices = [(xs[low : low + BATCH_POINTS], ys[low : low + BATCH_POINTS]) for low in lows]
    return [Piece(len(some), exact(some), exact(targets)) for some, targets in slices]


def checksum(xs: bytes, ys: bytes) -> int:
    """CRC-32 of a batch's features and targets, as they were received."""
    return crc32(ys, crc32(xs))


def _joined(pieces: Sequence[Piece]) -> Iterator[Piece]:
    """The same points in as few pieces as may be."""
    waiting: list[Piece] = []
    count = 0
    for piece in pieces:
        if waiting and count + piece.size > BATCH_POINTS:
            yield _join(waiting, count)
            waiting, count = [], 0
        waiting.append(piece)
        count += piece.size
    if waiting:
        yield _join(waiting, count)


def _join(pieces: list[Piece], count: int) -> Piece:
    if len(pieces) == 1:
        return pieces[0]
    return Piece(count, _one_list(piece.xs for piece in pieces), _one_list(piece.ys for piece in pieces))


def _one_list(lists: Iterable[bytes]) -> bytes:
    return b"[" + b",".join([one[1:-1] for one in lists]) + b"]"


class Span(NamedTuple):
    """Consecutive observations as they were committed, ``first`` to ``first + len(xs) - 1``.

    One that was thinned out (:mod:`server.streams.retention`) has None in place of its features.
    """

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


def decoded(
    first: int,
    at: datetime | str,
    xs: str,
    ys: str,
    notes: str | None,
    predictions: str | None,
    skipped: str | None,
) -> Span:
    """A batch's row, with the JSON of its columns decoded."""
    return Span(first, moment(at), loads(xs), loads(ys), _by_number(notes), _by_number(predictions), _skips(skipped))


def moment(value: datetime | str) -> datetime:
    """A time from a raw query: SQLite keeps it as text."""
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    return value if value.tzinfo else value.replace(tzinfo=UTC)


def _by_number(column: str | None) -> dict[int, Any]:
    return {} if column is None else {int(key): value for key, value in loads(column).items()}


def spans(stream_id: int, after: int, upto: int | None = None) -> Iterator[Span]:
    """The observations after number ``after`` up to ``upto``, in order, at constant memory."""
    if upto is not None and after >= upto:
        return
    for last, count, at, xs, ys, notes, predictions, skipped in _rows_after(_READ, stream_id, after):
        first = last - count + 1
        if upto is not None and first > upto:
            return
        span = decoded(first, at, xs, ys, notes, predictions, skipped)
        if first <= after or (upto is not None and last > upto):
            span = cut(span, after, upto)
        yield span
        if upto is not None and last >= upto:
            return


def features(stream_id: int, after: int, upto: int) -> Iterator[tuple[int, list[dict[str, Any] | None]]]:
    """The features alone of the observations after ``after`` up to ``upto``, row by row, with the number of the first."""
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
    """The batches' rows after an observation, in order, some at a time by how large they are."""
    rows_wanted = FIRST_ROWS
    with connection.cursor() as cursor:
        while True:
            cursor.execute(sql, (stream_id, after, rows_wanted))
            rows = cursor.fetchall()
            yield from rows
            if len(rows) < rows_wanted:
                return
            after = rows[-1][0]
            size = sum(len(column) for row in rows for column in row if type(column) is str)
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


def latest(stream_id: int) -> Iterator[tuple[list[dict[str, Any] | None], list[Any]]]:
    """Features and targets of the latest observations: those of a few batches, the last first, without large ones."""
    with connection.cursor() as cursor:
        cursor.execute(_LATEST[connection.vendor], (stream_id, FIRST_ROWS, MOST_OF_LATEST))
        for xs, ys in cursor.fetchall():
            yield loads(xs), loads(ys)


class Look(NamedTuple):
    """What a writer has to know of a log.

    Parameters
    ----------
    head, epoch
        The stream's.
    known
        Which of the keys asked for name an observation already, and which one.
    """

    head: int
    epoch: int
    known: dict[str, int]


def look(stream_id: int, onces: list[str]) -> Look:
    """Wait for the stream's lock, which is held to the end of the transaction, and look at its log.

    Parameters
    ----------
    stream_id
        The stream.
    onces
        Keys (:attr:`Note.once`).

    Raises
    ------
    NotFound
        If the stream is gone.
    """
    if is_sqlite():  # whose lock is the transaction
        row = _position(stream_id)
        if row is not None:
            return Look(row[0], row[1], _known_keys(stream_id, onces))
    else:
        asked = Said(trips.LOOK_WITH_KEYS, (stream_id, onces, stream_id)) if onces else Said(trips.LOOK, (stream_id,))
        row = trips.say(Said(trips.LOCK, (stream_id % 2**31,)), asked)
        if row is not None:
            return Look(row[0], row[1], row[2] or {})
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
    """Insert points as ``head + 1 …`` and move the head. Inside the caller's transaction and lock.

    Parameters
    ----------
    pieces
        The points (:func:`encoded`).
    notes
        Offset to what only that point has.
    predictions, skipped
        By model's id: what it predicted for each point, and offset to reason of those that it skipped.
    last
        Whether it is the last of its transaction (:func:`server.streams.trips.transaction`), which may then be committed
        with it.
    """
    size = sum(piece.size for piece in pieces)
    when = at.isoformat(" ") if is_sqlite() else at
    rows = _rows(stream_id, head, pieces, notes, when, predictions, skipped)
    keys = [(once, head + n + 1) for n, note in notes.items() if (once := note.once) is not None]
    if is_sqlite():
        held = connection.connection  # Django's cursor costs as much as what it does
        with connection.wrap_database_errors:
            for row in rows:
                held.execute(_INSERT, row)
            if keys:
                held.executemany(_INSERT_KEY, [(stream_id, once, seq) for once, seq in keys])
            moved = held.execute(_MOVE_HEAD, (head + size, stream_id, head)).rowcount
        if moved != 1:  # somebody wrote to it without its lock
            raise Unavailable("the stream's log was changed meanwhile; try again")
        return
    said: list[Said] = []
    for row in rows:
        if said:  # a trip for each of many: they are large
            trips.say(*said)
        said = [Said(trips.BATCH, row)]
    if keys:
        said.append(Said(trips.KEYS, (stream_id, *map(list, zip(*keys, strict=True)))))
    trips.say(*said, Said(trips.HEAD, (head + size, stream_id)), last=last)


def _rows(
    stream_id: int,
    head: int,
    pieces: Sequence[Piece],
    notes: dict[int, Note],
    at: datetime | str,
    predictions: dict[int, list[Any]],
    skipped: dict[int, dict[int, str]],
) -> Iterator[tuple[Any, ...]]:
    """The batches of a log's new points."""
    low = 0
    for count, xs, ys in _joined(pieces):
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
            text(own_notes) if own_notes else None,
            text({model: by[low:high] for model, by in predictions.items()}) if predictions else None,
            text(own_skips) if own_skips else None,
        )
        low = high


_INSERT = (
    "INSERT INTO streams_batch (stream_id, last, count, at, xs, ys, checksum, notes, predictions, skipped)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_INSERT_KEY = "INSERT INTO streams_key (stream_id, key, seq) VALUES (?, ?, ?)"
_MOVE_HEAD = "UPDATE streams_stream SET head = ? WHERE id = ? AND head = ?"
_position = OneRow("SELECT head, epoch FROM streams_stream WHERE id = %s")


def _known_keys(stream_id: int, onces: list[str]) -> dict[str, int]:
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
