"""Deletion of a stream with all data that depends on it.

On SQLite a transaction blocks all other writers, so a request may delete only as much as takes about a second. Other apps
describe the data that they keep of a stream in a :class:`StreamData`, so that this app needn't know them.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from server.core import audit_signals
from server.core.db.locks import stream_transaction
from server.core.db.text_sizes import bytes_up_to
from server.core.errors import Conflict, NotFound
from server.streams.models import Batch, FeatureName, Key, Retraction, Stream
from server.streams.quotas import quota_usage
from server.streams.quotas.limits import STREAMS
from server.streams.quotas.quota_usage import Freed
from server.streams.registry import audit_values

MAX_ROWS = 50_000
"""Largest number of rows that a request deletes with a stream. On SQLite it takes about half a second."""

OBSERVATIONS_PER_ROW = 4
"""Number of observations that take as long to delete as a row."""

MAX_BYTES = 2**30
"""Largest number of bytes that a request deletes in its last transaction. On SQLite it takes up to a second."""

COLUMNS = ("xs", "ys", "notes", "predictions", "skipped")


class Deleted(NamedTuple):
    """The data that was deleted with a stream.

    Attributes
    ----------
    freed
        Amounts that no longer count for quotas.
    audit_entries
        Action, target and previous values for the audit trail.
    """

    freed: Sequence[Freed] = ()
    audit_entries: Sequence[tuple[str, str, Any]] = ()


class StreamData:
    """The data that one app keeps of a stream. The base class has none."""

    def check(self, stream: Stream) -> None:
        """Raise an error if the stream can't be deleted. Called before anything is deleted, and again under the lock."""

    def rows(self, stream: Stream) -> int:
        """Return how many rows the last transaction deletes. An object that takes longer than a row counts as several."""
        return 0

    def bytes(self, stream: Stream, most: int) -> int:
        """Return the size of these rows in bytes; if it exceeds ``most``, any number above ``most``."""
        return 0

    def clear(self, stream: Stream) -> int:
        """Delete most of the data in separate transactions, after all checks. Return the number of deleted rows."""
        return 0

    def delete(self, stream: Stream) -> Deleted:
        """Delete the rest, in the last transaction. Rows with a foreign key to the stream are deleted with it."""
        return Deleted()


def delete(
    stream: Stream, parts: Sequence[StreamData] = (), *, with_log: bool = False, unlimited: bool = False
) -> None:
    """Delete a stream and all data that depends on it.

    A refusal changes nothing, with one exception: if others add data while :meth:`StreamData.clear` runs, the deletion may be
    refused after a part is deleted. Call it again to delete the rest.

    Parameters
    ----------
    parts
        The data that other apps keep of it.
    with_log
        Whether to delete its observations, too. Without it, a stream with observations is refused.
    unlimited
        Whether to delete any amount of data.

    Raises
    ------
    NotFound
        If another request has just deleted it.
    Conflict
        If it has observations and ``with_log`` is false, or if there is too much data.
    """
    head = Stream.objects.values_list("head", flat=True).filter(pk=stream.pk).first()
    _check(stream, parts, head, with_log)
    if not unlimited:
        _check_rows(stream, parts, head or 0)
        _check_bytes(stream, parts)
    cleared = sum([part.clear(stream) for part in parts])
    if cleared and not unlimited:
        _check_bytes(stream, parts)  # again, because clearing may take a while
    with stream_transaction(stream.pk):
        # While it is locked, nobody can add data that depends on it.
        head = Stream.objects.select_for_update().values_list("head", flat=True).filter(pk=stream.pk).first()
        _check(stream, parts, head, with_log)
        if not unlimited:
            _check_rows(stream, parts, head or 0)
        going = [part.delete(stream) for part in parts]
        Stream.objects.filter(pk=stream.pk).delete()
        freed = [one for part in going for one in part.freed]
        quota_usage.release([Freed(stream.owner_id, stream.token_id, STREAMS, 1), *freed])
        for part in going:
            for action, target, before in part.audit_entries:
                audit_signals.send(action, target, before=before)
        audit_signals.send("stream.delete", stream.name, before={**audit_values(stream), "observations": head})


def _check(stream: Stream, parts: Sequence[StreamData], head: int | None, with_log: bool) -> None:
    if head is None:
        raise NotFound(f"no stream named {stream.name!r}", field="stream")
    if head and not with_log:
        raise Conflict(
            f"stream {stream.name} has {head} observations: retract those that are wrong, or confirm with the stream's name "
            "to delete all of them",
            field="confirm",
            code="has_observations",
        )
    for part in parts:
        part.check(stream)


def _check_rows(stream: Stream, parts: Sequence[StreamData], head: int) -> None:
    rows = sum(table.objects.filter(stream=stream).count() for table in (Batch, Key, Retraction, FeatureName))
    rows += sum(part.rows(stream) for part in parts)
    rows = max(rows, head // OBSERVATIONS_PER_ROW)
    if rows > MAX_ROWS:
        raise _too_long(stream, f"takes as long to delete as {rows:,} rows in the database", f"{MAX_ROWS:,} rows keep")


def _check_bytes(stream: Stream, parts: Sequence[StreamData]) -> None:
    """Refuse to delete too many bytes. It stops reading at the limit."""
    total = bytes_up_to(Batch.objects.filter(stream=stream), COLUMNS, MAX_BYTES)
    for part in parts:
        if total <= MAX_BYTES:
            total += part.bytes(stream, MAX_BYTES - total)
    if total > MAX_BYTES:
        raise _too_long(stream, f"takes more than {total - 1:,} bytes in the database", f"{MAX_BYTES:,} bytes keep")


def _too_long(stream: Stream, takes: str, most: str) -> Conflict:
    return Conflict(
        f"stream {stream.name} {takes}, and deleting more than {most} other requests from writing for too long: delete its "
        f"models first, if it has many or large ones, or ask the operator to run `manage.py delete_stream {stream.name}`",
        field="confirm",
        code="too_long",
    )
