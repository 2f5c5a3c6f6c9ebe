"""What of a log need not be kept for ever: the rows that go, and what is said to those who ask for them.

Numbers stay as they were given. A row of points that are all gone is deleted; in one of which some stay, the others' features
are null. Keys stay, so that a repeated point is known for ever.
"""

from collections.abc import Callable
from functools import reduce
from operator import add
from typing import Any

from django.db import connection
from django.db.models import F
from django.db.models.functions import Coalesce

from server.streams import log, turns
from server.streams.codec import exact, loads, text
from server.streams.errors import Gone
from server.streams.locks import transaction_for_writing
from server.streams.models import Batch
from server.streams.sizes import TextBytes

ROWS = 500
"""Rows changed in one transaction, or fewer large ones: others write in between."""

_COLUMNS = ("xs", "ys", "notes", "predictions", "skipped")
_READ = (
    f"SELECT id, last, count, {', '.join(_COLUMNS)} FROM streams_batch"
    " WHERE stream_id = %s AND last > %s AND last <= %s ORDER BY last"
)
_WRITE = (
    "UPDATE streams_batch SET xs = %s, ys = %s, checksum = %s, notes = %s, predictions = %s, skipped = %s WHERE id = %s"
)


def gone(stream: str, upto: int, what: str) -> Gone:
    """The answer to whoever needs observations that aren't kept.

    Parameters
    ----------
    stream, upto
        The stream's name, and up to which observation its log isn't whole.
    what
        What can't be done.
    """
    return Gone(
        f"observations 1 to {upto} of stream {stream} are no longer all kept: {what}", field="stream", code="not_kept"
    )


def shorten(stream_id: int, upto: int, every: int | None, progress: Callable[[int], None] | None = None) -> int:
    """Take observations up to ``upto`` out of a log, some at a time. What was begun can be gone on with.

    Parameters
    ----------
    every
        Keep those whose number is a multiple of this; None keeps none.
    progress
        Told the number reached.

    Returns
    -------
    int
        How many rows were changed or deleted.
    """
    after = changed = 0
    while True:
        size = reduce(add, (Coalesce(TextBytes(column), 0) for column in _COLUMNS))
        rows = Batch.objects.filter(stream_id=stream_id, last__gt=after, last__lt=upto + F("count")).order_by("last")
        chosen, _ = turns.first_of(rows.values_list("last", size)[:ROWS].iterator(chunk_size=1))
        if not chosen:
            return changed
        with transaction_for_writing(), connection.cursor() as cursor:
            cursor.execute(_READ, (stream_id, after, chosen[-1]))
            for row in cursor.fetchall():
                changed += _shorten_one(cursor, row, upto, every)
        after = chosen[-1]
        if progress is not None:
            progress(min(after, upto))


def _shorten_one(cursor: Any, row: tuple[Any, ...], upto: int, every: int | None) -> bool:
    pk, last, count, xs, ys, notes, predictions, skipped = row
    first = last - count + 1
    stays = [seq > upto or (every is not None and seq % every == 0) for seq in range(first, last + 1)]
    features = loads(xs)
    kept = [x if stay else None for x, stay in zip(features, stays, strict=True)]
    if kept == features:
        return False
    if all(x is None for x in kept):
        cursor.execute("DELETE FROM streams_batch WHERE id = %s", (pk,))
        return True

    def some(values: list[Any]) -> list[Any]:
        return [value if x is not None else None for value, x in zip(values, kept, strict=True)]

    def of_those(by_offset: dict[str, Any]) -> dict[str, Any]:
        return {offset: value for offset, value in by_offset.items() if kept[int(offset)] is not None}

    def each(column: str | None, change: Callable[[Any], Any]) -> str | None:
        return None if column is None else text({model: change(value) for model, value in loads(column).items()})

    own = None if notes is None else text(of_those(loads(notes)))
    new_xs, new_ys = exact(kept), exact(some(loads(ys)))
    cursor.execute(
        _WRITE,
        (
            new_xs.decode(), new_ys.decode(), log.checksum(new_xs, new_ys),
            own, each(predictions, some), each(skipped, of_those), pk,
        ),
    )  # fmt: skip
    return True
