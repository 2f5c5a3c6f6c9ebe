"""Events as the database holds them: observations that were learned and predictions that were kept, in one order.

The order is that of *positions* ``(transaction, kind, row)``, which never changes once it is read, so that every worker
tells the same events in the same order and a reader can go on where it stopped.

On PostgreSQL a transaction's number is taken under the stream's lock, so it grows in the order of the stream, but a
transaction with a lower number may end after one with a higher. Read are therefore only those below the lowest number that
is still under way: what lies there is settled. On SQLite, which has one writer, the id of a batch serves as the number, and a
prediction has that of the last batch before it.
"""

import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any, NamedTuple

from django.db import connection

from server.streams import log
from server.streams.codec import loads
from server.streams.errors import Invalid
from server.streams.log import Span
from server.streams.validation import shown

BATCH, PREDICTION = 0, 1
END = 2**62
FEWEST_ROWS, MOST_ROWS = 1, 512
CHUNK_CHARACTERS = 2**21

_ID = re.compile(r"[0-9]{1,18}((-[0-9]{1,18}){0,3}|(-[0-9]{1,18}){4}(-\S{1,200})?)\Z")


class Position(NamedTuple):
    """A place in the order of events: a row, and how much of it has been told.

    Attributes
    ----------
    transaction, kind, row
        The row. Kind 0 is a batch of observations, 1 a kept prediction.
    offset, model
        The last observation of the batch that was told, and for which model; past the end if the row is done.
    """

    transaction: int
    kind: int
    row: int
    offset: int = END
    model: int = END

    @classmethod
    def parse(cls, text: str) -> "Position":
        """A position from the id of an event; ``0`` is before the first.

        Raises
        ------
        Invalid
            If it isn't one.
        """
        if not _ID.match(text):
            raise Invalid(f"Last-Event-ID is {shown(text)}: expected the id of an event, or 0", field="Last-Event-ID")
        numbers = [int(part) for part in text.split("-")[:5]]
        return cls(*numbers, *[0] * (3 - len(numbers)))

    def id(self, name: str | None = None) -> str:
        """The id of the event at this position; a model's name may stand behind it for people to read."""
        text = "-".join(str(number) for number in self if number != END)
        return text if name is None else f"{text}-{name}"

    @property
    def before(self) -> "Position":
        """Just before this row, of which only a part has been told."""
        return self if self.offset == END else Position(self.transaction, self.kind, self.row - 1)


class Learned(NamedTuple):
    """Observations of one stream, as they were committed.

    Attributes
    ----------
    told
        The last ``(offset, model)`` that the reader knows already.
    """

    position: Position
    stream_id: int
    span: Span
    told: tuple[int, int] = (-1, -1)

    def untold(self, offset: int, model: int = END) -> bool:
        """Whether an event of this row is still to be told."""
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
    """Behind everything that is settled at this moment."""
    with connection.cursor() as cursor:
        cursor.execute(_NOW[connection.vendor])
        transaction, kind, row = cursor.fetchone()
    return Position(transaction, kind, row)


class Reader:
    """Reads events in order, from a position on.

    Parameters
    ----------
    position
        After which to begin; :attr:`position` then moves on.
    stream_id
        Only this stream's, or None for all.
    kinds
        Which kinds of rows.
    """

    def __init__(
        self, position: Position, stream_id: int | None = None, kinds: tuple[int, ...] = (BATCH, PREDICTION)
    ) -> None:
        self.position = position
        self._stream_id = stream_id
        self._kinds = kinds
        self._rows = 32

    def read(self) -> Iterator[Row]:
        """What has come since, as far as one look at the database goes. It takes up again where it was left."""
        start = self.position
        rows = self._fetch(start.before)
        size = sum(len(text) for row in rows for text in row[7:9] if text is not None)
        if size > CHUNK_CHARACTERS:
            self._rows = max(FEWEST_ROWS, self._rows // 4)
        elif size < CHUNK_CHARACTERS // 8:
            self._rows = min(MOST_ROWS, self._rows * 2)
        for row in rows:
            if row[7] is not None:
                found = _decoded(row)
                if isinstance(found, Learned) and found.position[:3] == start[:3]:
                    found = found._replace(told=(start.offset, start.model))
                yield found
            self.position = Position(*row[:3])

    def _fetch(self, after: Position) -> list[tuple[Any, ...]]:
        queries, values = [], []
        for kind in self._kinds:
            low = after.row if kind == after.kind else (0 if kind > after.kind else END)
            queries.append(_query(connection.vendor, kind, self._stream_id is not None))
            values += [] if self._stream_id is None else [self._stream_id]
            values += [after.transaction, after.transaction, low, self._rows]
        sql = " UNION ALL ".join(f"SELECT * FROM ({query}) AS part{n}" for n, query in enumerate(queries))
        with connection.cursor() as cursor:
            cursor.execute(f"{sql} ORDER BY 1, 2, 3 LIMIT %s", [*values, self._rows])
            rows: list[tuple[Any, ...]] = cursor.fetchall()
        return rows


def _query(vendor: str, kind: int, one_stream: bool) -> str:
    number = _NUMBER[vendor, kind]
    if kind == BATCH:
        table, source, stream = "b", "streams_batch b", "b.stream_id"
        columns = "b.last, b.count, b.at, {}, b.ys, b.notes, b.predictions, b.skipped"
        text = "b.xs"
    else:
        table, stream = "p", "m.stream_id"
        source = "learning_prediction p JOIN learning_model m ON m.id = p.model_id"
        columns = "p.at, p.model_id, p.made_at, {}, p.identifier, NULL, p.prediction, NULL"
        text = "p.x"
    # Rows of other streams are passed by without their text, so that the position still moves over them.
    wanted = f"CASE WHEN {stream} = %s THEN {text} END" if one_stream else text
    return (
        f"SELECT {number}, {kind}, {table}.id, {stream}, {columns.format(wanted)} FROM {source}"
        f" WHERE {number} >= %s AND ({number} > %s OR {table}.id > %s)"
        f"{_SETTLED[vendor].format(table=table)} ORDER BY {number}, {table}.id LIMIT %s"
    )


def _decoded(row: tuple[Any, ...]) -> Row:
    transaction, kind, row_id, stream_id, number, second, at, text, *rest = row
    position = Position(transaction, kind, row_id)
    if kind == PREDICTION:
        identifier, _, prediction, _ = rest
        return Predicted(
            position, stream_id, second, identifier, loads(text), loads(prediction), number, log.moment(at)
        )
    span = log.decoded(number - second + 1, at, text, *rest)
    return Learned(position, stream_id, span)
