"""The event log: learned observations and kept predictions from the database, in one order.

The order is that of *positions* ``(transaction, kind, row)``. It never changes once it is read, so every worker sends the
same events in the same order, and a reader can continue where it stopped.

On PostgreSQL, a transaction gets its number under the stream's lock, so numbers grow in the order of the stream. But a
transaction with a lower number may end after one with a higher number. So only transactions below the lowest number in progress
are read: these don't change any more. SQLite has one writer. There, the id of a batch serves as the number, and a prediction
has the number of the last batch before it.
"""

import re
from collections import deque
from collections.abc import Iterator
from datetime import datetime
from typing import Any, NamedTuple

from django.db import connection

from server.core.errors import Invalid
from server.core.json_codec import loads
from server.core.validation import format_value
from server.streams import log
from server.streams.log import Span

BATCH, PREDICTION = 0, 1
END = 2**62
FEWEST_ROWS, MOST_ROWS = 1, 512
CHUNK_BYTES = 2**21
"""Size up to which a query reads texts; the first row is read in any case."""

_ID = re.compile(r"[0-9]{1,18}((-[0-9]{1,18}){0,3}|(-[0-9]{1,18}){4}(-\S{1,200})?)\Z")


class Position(NamedTuple):
    """A position in the order of events: a row, and the part of it that was sent.

    Attributes
    ----------
    transaction, kind, row
        The row. Kind 0 is a batch of observations, 1 a kept prediction.
    offset, model
        The last observation of the batch that was sent, and for which model; past the end if the row is finished.
    """

    transaction: int
    kind: int
    row: int
    offset: int = END
    model: int = END

    @classmethod
    def parse(cls, text: str) -> "Position":
        """Return the position of an event id; ``0`` is before the first event.

        Raises
        ------
        Invalid
            If it is not an event id.
        """
        if not _ID.match(text):
            raise Invalid(
                f"Last-Event-ID is {format_value(text)}: expected the id of an event, or 0", field="Last-Event-ID"
            )
        numbers = [int(part) for part in text.split("-")[:5]]
        return cls(*numbers, *[0] * (3 - len(numbers)))

    def id(self, name: str | None = None) -> str:
        """Return the event id of this position, with a model's name appended for readers if given."""
        text = "-".join(str(number) for number in self if number != END)
        return text if name is None else f"{text}-{name}"

    @property
    def before(self) -> "Position":
        """The position just before this row, if only a part of the row was sent."""
        return self if self.offset == END else Position(self.transaction, self.kind, self.row - 1)


class Learned(NamedTuple):
    """Observations of one stream, as they were committed.

    Attributes
    ----------
    told
        The last ``(offset, model)`` that was sent to the reader.
    """

    position: Position
    stream_id: int
    span: Span
    told: tuple[int, int] = (-1, -1)

    def untold(self, offset: int, model: int = END) -> bool:
        """Return whether an event of this row is still to be sent."""
        return (offset, model) > self.told


class Predicted(NamedTuple):
    """A prediction that waits for its label."""

    position: Position
    stream_id: int
    model_id: int
    identifier: str
    x: dict[str, Any]
    prediction: Any
    after: int
    at: datetime


Row = Learned | Predicted

_SETTLED = {
    "postgresql": " AND {table}.xid < pg_snapshot_xmin(pg_current_snapshot())::text::bigint",
    "sqlite": "",
}
_NUMBER = {
    ("postgresql", BATCH): "b.xid",
    ("postgresql", PREDICTION): "p.xid",
    ("sqlite", BATCH): "b.id",
    ("sqlite", PREDICTION): "p.xid",
}
_NOW = {
    "postgresql": f"SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint - 1, {PREDICTION}, {END}",
    "sqlite": f"SELECT (SELECT COALESCE(MAX(id), 0) FROM streams_batch), {PREDICTION},"
    " (SELECT COALESCE(MAX(id), 0) FROM learning_prediction)",
}


def now() -> Position:
    """Return the position after all events that don't change any more."""
    with connection.cursor() as cursor:
        cursor.execute(_NOW[connection.vendor])
        transaction, kind, row = cursor.fetchone()
    return Position(transaction, kind, row)


class Reader:
    """Reads events in order, from a position on.

    Parameters
    ----------
    position
        Position to start after. :attr:`position` advances with the rows read.
    stream_id
        Only events of this stream; None for all.
    kinds
        Kinds of rows to read.
    """

    def __init__(
        self, position: Position, stream_id: int | None = None, kinds: tuple[int, ...] = (BATCH, PREDICTION)
    ) -> None:
        self.position = position
        self._one_stream = stream_id is not None
        self._stream = [] if stream_id is None else [stream_id]
        self._kinds = kinds
        self._rows = 32

    def read(self) -> Iterator[Row]:
        """Yield the next rows, with one query. The next call continues where this one stopped.

        It keeps nothing of a row that it has yielded, so who forgets it before a slow step frees its memory.
        """
        start = self.position
        rows = deque(self._fetch(start.before))
        total = rows[-1][-1] if rows else 0
        if total > CHUNK_BYTES:
            self._rows = max(FEWEST_ROWS, self._rows // 4)
        elif total < CHUNK_BYTES // 8:
            self._rows = min(MOST_ROWS, self._rows * 2)
        while rows and rows[0][_FITS]:
            position = Position(*rows[0][:3])
            if rows[0][_TEXT] is None:
                rows.popleft()
            else:
                yield _decoded(rows.popleft(), start)
            self.position = position

    def _fetch(self, after: Position) -> list[tuple[Any, ...]]:
        queries: list[str] = []
        values: list[int] = []
        for kind in self._kinds:
            low = after.row if kind == after.kind else (0 if kind > after.kind else END)
            queries.append(f"SELECT * FROM ({_query(connection.vendor, kind, self._one_stream)}) AS part{kind}")
            values += [*self._stream, after.transaction, after.transaction, low, self._rows]
        sql = _TEXTS.format(parts=" UNION ALL ".join(queries), wanted=" AND r.stream = %s" if self._one_stream else "")
        with connection.cursor() as cursor:
            cursor.execute(sql, [CHUNK_BYTES, *values, self._rows, *self._stream, *self._stream])
            rows: list[tuple[Any, ...]] = cursor.fetchall()
        return rows


# The texts are joined to rows that were chosen by their sizes, so that neither the database nor this process holds more of them.
# Rows of other streams are read without their texts, so that the position advances past them.
_TEXTS = (
    "SELECT r.number, r.kind, r.id, r.stream, r.first, r.second, r.at, COALESCE(b.xs, p.x), COALESCE(b.ys, p.identifier),"
    " b.notes, COALESCE(b.predictions, p.prediction), b.skipped, r.fits, r.total FROM"
    " (SELECT sized.*, total <= %s OR total = size AS fits FROM"
    " (SELECT parts.*, SUM(size) OVER (ORDER BY number, kind, id) AS total FROM ({parts}) AS parts"
    " ORDER BY number, kind, id LIMIT %s) AS sized) AS r"
    f" LEFT JOIN streams_batch b ON r.kind = {BATCH} AND b.id = r.id AND r.fits{{wanted}}"
    f" LEFT JOIN learning_prediction p ON r.kind = {PREDICTION} AND p.id = r.id AND r.fits{{wanted}}"
    " ORDER BY r.number, r.kind, r.id"
)
_TEXT, _FITS = 7, 12
"""Columns of the query above."""

_SIZED = {
    BATCH: ("b.xs", "b.ys", "b.notes", "b.predictions", "b.skipped"),
    PREDICTION: ("p.x", "p.prediction"),
}


def _query(vendor: str, kind: int, one_stream: bool) -> str:
    """Return the query for the next rows of a kind with their sizes, without their texts."""
    number = _NUMBER[vendor, kind]
    if kind == BATCH:
        table, source, stream = "b", "streams_batch b", "b.stream_id"
        columns = "b.last AS first, b.count AS second, b.at AS at"
    else:
        table, source, stream = "p", "learning_prediction p", "p.stream_id"
        columns = "p.at AS first, p.model_id AS second, p.made_at AS at"
    size = " + ".join(f"COALESCE({log.STORED_BYTES[vendor].format(column)}, 0)" for column in _SIZED[kind])
    if one_stream:
        size = f"CASE WHEN {stream} = %s THEN {size} ELSE 0 END"
    return (
        f"SELECT {number} AS number, {kind} AS kind, {table}.id AS id, {stream} AS stream, {columns}, {size} AS size"
        f" FROM {source} WHERE {number} >= %s AND ({number} > %s OR {table}.id > %s)"
        f"{_SETTLED[vendor].format(table=table)} ORDER BY {number}, {table}.id LIMIT %s"
    )


def _decoded(row: tuple[Any, ...], start: Position) -> Row:
    transaction, kind, row_id, stream_id, number, second, at, text, *rest, _, _ = row
    position = Position(transaction, kind, row_id)
    if kind == PREDICTION:
        identifier, _, prediction, _ = rest
        return Predicted(
            position, stream_id, second, identifier, loads(text), loads(prediction), number, log.moment(at)
        )
    span = log.decoded(number - second + 1, at, text, *rest)
    told = (start.offset, start.model) if position[:3] == start[:3] else (-1, -1)
    return Learned(position, stream_id, span, told)
