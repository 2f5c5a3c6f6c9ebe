"""Removal of old observations from a log.

The numbers of the other observations stay the same. A row whose points are all removed is deleted. In a row of which some
points stay, the features of the others become null. Keys stay, so that repeated points are still recognized.
"""

from collections.abc import Callable
from functools import reduce
from operator import add
from typing import Any

from django.db import connection
from django.db.models import F
from django.db.models.functions import Coalesce

from server.core.db import batched_deletion
from server.core.db.locks import transaction_for_writing
from server.core.db.text_sizes import TextBytes
from server.core.errors import Gone
from server.core.json_codec import dumps_exact, dumps_text, loads
from server.streams.models import Batch
from server.streams.points import checksum

ROWS = 500
"""Largest number of rows that one transaction changes, so that others can write in between."""

_COLUMNS = ("xs", "ys", "notes", "predictions", "skipped")
_READ = (
    f"SELECT id, last, count, {', '.join(_COLUMNS)} FROM streams_batch"
    " WHERE stream_id = %s AND last > %s AND last <= %s ORDER BY last"
)
_WRITE = (
    "UPDATE streams_batch SET xs = %s, ys = %s, checksum = %s, notes = %s, predictions = %s, skipped = %s WHERE id = %s"
)


def gone(stream: str, upto: int, what: str) -> Gone:
    """Return the error for requests that need observations that are no longer kept.

    Parameters
    ----------
    stream, upto
        Name of the stream, and the last observation up to which its log is incomplete.
    what
        What can't be done.
    """
    return Gone(
        f"observations 1 to {upto} of stream {stream} are no longer all kept: {what}", field="stream", code="not_kept"
    )


def shorten(stream_id: int, upto: int, every: int | None, progress: Callable[[int], None] | None = None) -> int:
    """Remove observations up to ``upto`` from a log, in several transactions. If interrupted, call it again to resume.

    Parameters
    ----------
    every
        Keep observations whose number is a multiple of this; None keeps none.
    progress
        Called with the number that was reached.

    Returns
    -------
    int
        The number of changed or deleted rows.
    """
    after = changed = 0
    while True:
        size = reduce(add, (Coalesce(TextBytes(column), 0) for column in _COLUMNS))
        rows = Batch.objects.filter(stream_id=stream_id, last__gt=after, last__lt=upto + F("count")).order_by("last")
        chosen, _ = batched_deletion.first_batch(rows.values_list("last", size)[:ROWS].iterator(chunk_size=1))
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
        return None if column is None else dumps_text({model: change(value) for model, value in loads(column).items()})

    own = None if notes is None else dumps_text(of_those(loads(notes)))
    new_xs, new_ys = dumps_exact(kept), dumps_exact(some(loads(ys)))
    cursor.execute(
        _WRITE,
        (
            new_xs.decode(), new_ys.decode(), checksum(new_xs, new_ys),
            own, each(predictions, some), each(skipped, of_those), pk,
        ),
    )  # fmt: skip
    return True
