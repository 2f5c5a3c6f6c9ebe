"""Rows of records in the database: blocks of up to :data:`BLOCK` observations, and how far each record has come."""

import zlib
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import numpy as np
from django.db.models import Min, QuerySet

from server.core.db.batched_deletion import delete_in_batches
from server.core.db.locks import transaction_for_writing
from server.core.json_codec import dumps_text
from server.learning.models import Model, Record, RecordBlock
from server.learning.records import columns as stored
from server.learning.records import summaries
from server.learning.records.columns import Columns, Unreadable
from server.streams.models import Retraction, Stream

BLOCK = 4096
"""Observations in a full block. Block number k has the observations from ``k * BLOCK + 1`` on."""


LEASE = timedelta(seconds=60)
"""How long one process continues a record, unless it renews the lease."""


class Part(NamedTuple):
    """New columns of a model's record, and the recorded part of the block that they continue."""

    model_id: int
    generation: int
    before: Columns | None
    more: Columns


def number_of(seq: int) -> int:
    """Return the number of the block that has observation ``seq``."""
    return (seq - 1) // BLOCK


def tail(model_id: int, upto: int, begins: int) -> tuple[int, Columns | None]:
    """Return where a record can be continued after ``upto``, and the recorded part of the block that has what follows.

    That is earlier if the last block can't be read. ``begins`` is the number before the first observation that can be recorded.
    """
    if upto <= begins or upto % BLOCK == 0:
        return upto, None
    row = RecordBlock.objects.filter(model_id=model_id, number=number_of(upto)).first()
    earlier = max(begins, number_of(upto) * BLOCK)
    try:
        found = None if row is None else stored.decode(row.first, row.columns).part(row.first, upto)
    except Unreadable:
        found = None
    if found is None or found.last != upto or found.first > earlier + 1:
        return earlier, None
    return upto, found


def store(parts: list[Part], holder: str) -> list[Columns | None]:
    """Write new columns in one transaction, for the models whose record ``holder`` has leased.

    Returns
    -------
    list
        For each part, the columns of its unfinished last block; None if there is none, or the part was not stored.
    """
    rows, tails = [], []
    for part in parts:
        blocks = list(_blocks(part))
        rows.append([_row(part.model_id, block) for block in blocks])
        tails.append(None if blocks[-1].last % BLOCK == 0 else blocks[-1])
    with transaction_for_writing():
        for index, (part, own) in enumerate(zip(parts, rows, strict=True)):
            present = Record.objects.filter(
                model_id=part.model_id, generation=part.generation, holder=holder, upto=part.more.first - 1
            )
            if not present.update(upto=part.more.last, leased_until=datetime.now(UTC) + LEASE):
                tails[index] = None
                continue
            RecordBlock.objects.bulk_create(
                own,
                update_conflicts=True,
                unique_fields=["model", "number"],
                update_fields=["first", "count", "columns", "summary", "segments", "segment_granule", "by_segment"],
            )
    return tails


def _blocks(part: Part) -> "list[Columns]":
    whole = part.more if part.before is None else stored.joined([part.before, part.more])
    found, first = [], whole.first
    while first <= whole.last:
        last = min(whole.last, (number_of(first) + 1) * BLOCK)
        found.append(whole.part(first, last))
        first = last + 1
    return found


def _row(model_id: int, block: Columns) -> RecordBlock:
    granule, rows = summaries.of_segments(block) if block.segments else (0, np.zeros(0))
    return RecordBlock(
        model_id=model_id,
        number=number_of(block.first),
        first=block.first,
        count=len(block),
        columns=stored.encode(block),
        segments=dumps_text(block.segments) if granule else "[]",
        summary=summaries.of_block(block).tobytes(),
        segment_granule=granule,
        by_segment=_squeezed(rows) if granule else b"",
    )


def _squeezed(rows: np.ndarray) -> bytes:
    by_significance = np.ascontiguousarray(rows.view(np.uint8).reshape(len(rows), rows.itemsize).T)
    return zlib.compress(by_significance.tobytes(), 1)


def by_segment_of(row: RecordBlock) -> np.ndarray:
    """Return the stored summaries of a block's segments.

    Raises
    ------
    Unreadable
        If they are damaged.
    """
    try:
        found = np.frombuffer(zlib.decompress(row.by_segment), np.uint8).reshape(summaries.SEGMENT_ROW.itemsize, -1)
    except (ValueError, zlib.error) as exc:
        raise Unreadable(f"the summary of its segments is damaged ({exc})") from exc
    return np.ascontiguousarray(found.T).reshape(-1).view(summaries.SEGMENT_ROW)


def summary_of(row: RecordBlock) -> np.ndarray:
    """Return the stored summaries of a block.

    Raises
    ------
    Unreadable
        If they are damaged, or of another version.
    """
    found = np.frombuffer(bytes(row.summary), np.uint8)
    wanted = -(-row.count // summaries.GRANULE)
    if len(found) != wanted * summaries.ROW.itemsize:
        raise Unreadable("its summary has another size")
    return found.view(summaries.ROW)


def same_upto(model: Model, record: Record) -> int:
    """Return the last recorded observation that is the same in the model's present generation.

    A retraction changes nothing before it. Any other new generation may differ from the first observation on.
    """
    if record.generation == model.generation:
        return record.upto
    new = Retraction.objects.filter(stream_id=model.stream_id, pk__gt=record.retraction, pk__lte=model.retraction)
    first = new.aggregate(first=Min("seq"))["first"]
    return min(record.upto, model.since if first is None else first - 1)


def has_learned(model_id: int, upto: int) -> bool:
    """Return whether any recorded observation up to ``upto`` was not skipped."""
    rows = RecordBlock.objects.filter(model_id=model_id, first__lte=upto).only("count", "summary").order_by("number")
    for row in rows.iterator(chunk_size=8):
        try:
            found = summary_of(row)
        except Unreadable:
            continue
        if (found["skipped"] < found["count"]).any():
            return True
    return False


def forget(model_id: int) -> None:
    """Have a model's whole record made again in the background."""
    with transaction_for_writing():
        Record.objects.filter(model_id=model_id).delete()


def mend(model: Model, number: int) -> None:
    """Have a model's record made again from block ``number`` on, if that is missing or can't be read."""
    with transaction_for_writing():
        record = Record.objects.select_for_update().filter(model=model).first()
        whole_after = Stream.objects.values_list("whole_after", flat=True).get(pk=model.stream_id)
        begin = max(model.since, whole_after, number * BLOCK)
        if record is None or record.upto <= begin:
            return
        row = RecordBlock.objects.filter(model=model, number=number).first()
        if row is not None and row.first <= begin + 1 and _is_readable(row):
            return
        kept = kept_after_cut(model, record, number * BLOCK)
        Record.objects.filter(model=model).update(upto=kept, holder="", leased_until=None)


def _is_readable(row: RecordBlock) -> bool:
    try:
        summary_of(row)
        if row.segment_granule:
            by_segment_of(row)
        return len(stored.decode(row.first, row.columns)) == row.count
    except Unreadable:
        return False


def kept_after_cut(model: Model, record: Record, cut: int) -> int:
    """Return the last observation that stays recorded if those after ``cut`` are made again. It ends a block.

    The blocks after it needn't be deleted: nobody reads them, and they are replaced one by one.
    """
    return max(model.since, (min(cut, record.upto) // BLOCK) * BLOCK)


def delete_blocks_in_turns(where: str, *parameters: Any) -> int:
    """Delete blocks in several transactions, so that others can write in between. Return how many were deleted.

    Parameters
    ----------
    where
        SQL condition; it may end with ORDER BY.
    parameters
        Its parameters.
    """
    query = f"SELECT id, LENGTH(columns) + LENGTH(summary) + LENGTH(by_segment) FROM learning_recordblock WHERE {where}"
    return delete_in_batches(query, parameters, _delete_turn)


def _delete_turn(numbers: list[int]) -> int:
    with transaction_for_writing():
        return RecordBlock.objects.filter(pk__in=numbers).delete()[0]


def forget_before(model_id: int, upto: int) -> None:
    """Delete the blocks that have no observation after ``upto``, in turns."""
    delete_blocks_in_turns("model_id = %s AND number < %s ORDER BY id", model_id, number_of(upto + 1))


def delete_in_turns(models: QuerySet[Model]) -> int:
    """Delete the records of models that are about to be deleted. Return the number of deleted blocks.

    If a model isn't deleted after all, its record is made again, once the lease that keeps others from it has ended.
    """
    numbers = list(models.order_by("pk").values_list("pk", flat=True))
    deleted = 0
    for pk in numbers:
        with transaction_for_writing():
            Record.objects.filter(model_id=pk).update(upto=0, holder="deleted", leased_until=datetime.now(UTC) + LEASE)
        deleted += delete_blocks_in_turns("model_id = %s ORDER BY id", pk)
    return deleted
