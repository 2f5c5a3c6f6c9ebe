"""Deleting a stream with all that depends on it, or refusing to.

On SQLite nobody else writes during a transaction, so a request deletes no more in one than takes a second or so. What other
apps keep of a stream, they say themselves, each in a :class:`Part`: this one knows none of them.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from server.streams import changes, quota_usage
from server.streams.errors import Conflict, NotFound
from server.streams.locks import stream_transaction
from server.streams.models import Batch, FeatureName, Key, Retraction, Stream
from server.streams.quota_usage import Freed
from server.streams.quotas import STREAMS
from server.streams.registry import told_of
from server.streams.sizes import bytes_up_to

MOST_DELETED = 50_000
"""Rows that a request deletes with a stream: on SQLite nobody else writes meanwhile, for half a second or so."""

OBSERVATIONS_A_ROW = 4
"""So many observations take as long to delete as a row."""

MOST_DELETED_BYTES = 2**30
"""Bytes that a request deletes with a stream in its last transaction: on SQLite, up to a second."""

COLUMNS = ("xs", "ys", "notes", "predictions", "skipped")


class Going(NamedTuple):
    """What is deleted with a stream.

    Attributes
    ----------
    freed
        What counts no longer for quotas.
    told
        What the audit trail is told of: action, target, and what it was.
    """

    freed: Sequence[Freed] = ()
    told: Sequence[tuple[str, str, Any]] = ()


class Part:
    """What one app keeps of a stream. This one keeps nothing."""

    def check(self, stream: Stream) -> None:
        """Refuse, by any error. Asked before anything is deleted, and under the stream's lock once more."""

    def rows(self, stream: Stream) -> int:
        """How many rows the last transaction deletes; a thing that takes longer than a row counts as several."""
        return 0

    def bytes(self, stream: Stream, most: int) -> int:
        """How many bytes those take; if more than ``most``, any number above it will do."""
        return 0

    def clear(self, stream: Stream) -> int:
        """Delete much of it in transactions of its own, once nothing refused; returns how many rows."""
        return 0

    def delete(self, stream: Stream) -> Going:
        """Delete the rest, in the last transaction. What a foreign key names may be left to the stream's own deletion."""
        return Going()


def delete(stream: Stream, parts: Sequence[Part] = (), *, with_log: bool = False, any_length: bool = False) -> None:
    """Delete a stream, and what depends on it.

    What is refused has changed nothing, but for what others make while the parts are cleared: that may still refuse it,
    when some is gone. The same again deletes the rest.

    Parameters
    ----------
    parts
        What other apps keep of it.
    with_log
        Whether its observations go, too; without, a stream that holds any is kept.
    any_length
        Whether it may go however much it is.

    Raises
    ------
    NotFound
        If another request deleted it first.
    Conflict
        If it holds observations, and they were not to go; or if it is too much.
    """
    head = Stream.objects.values_list("head", flat=True).filter(pk=stream.pk).first()
    _check(stream, parts, head, with_log)
    if not any_length:
        _check_rows(stream, parts, head or 0)
        _check_bytes(stream, parts)
    cleared = sum([part.clear(stream) for part in parts])
    if cleared and not any_length:
        _check_bytes(stream, parts)  # that may have taken a while
    with stream_transaction(stream.pk):
        # Locked, nobody makes anything more that depends on it.
        head = Stream.objects.select_for_update().values_list("head", flat=True).filter(pk=stream.pk).first()
        _check(stream, parts, head, with_log)
        if not any_length:
            _check_rows(stream, parts, head or 0)
        going = [part.delete(stream) for part in parts]
        Stream.objects.filter(pk=stream.pk).delete()
        freed = [one for part in going for one in part.freed]
        quota_usage.release([Freed(stream.owner_id, stream.token_id, STREAMS, 1), *freed])
        for part in going:
            for action, target, before in part.told:
                changes.tell(action, target, before=before)
        changes.tell("stream.delete", stream.name, before={**told_of(stream), "observations": head})


def _check(stream: Stream, parts: Sequence[Part], head: int | None, with_log: bool) -> None:
    if head is None:
        raise NotFound(f"no stream named {stream.name!r}", field="stream")
    if head and not with_log:
        raise Conflict(
            f"stream {stream.name} holds {head} observations: retract those that are wrong; or, to delete all of them "
            "for good, confirm it with the stream's name",
            field="confirm",
            code="has_observations",
        )
    for part in parts:
        part.check(stream)


def _check_rows(stream: Stream, parts: Sequence[Part], head: int) -> None:
    rows = sum(table.objects.filter(stream=stream).count() for table in (Batch, Key, Retraction, FeatureName))
    rows += sum(part.rows(stream) for part in parts)
    rows = max(rows, head // OBSERVATIONS_A_ROW)
    if rows > MOST_DELETED:
        raise _too_long(
            stream, f"takes as long to delete as {rows:,} rows in the database", f"{MOST_DELETED:,} rows keep"
        )


def _check_bytes(stream: Stream, parts: Sequence[Part]) -> None:
    """Refuse to delete so much; reads no more of it than may be deleted."""
    total = bytes_up_to(Batch.objects.filter(stream=stream), COLUMNS, MOST_DELETED_BYTES)
    for part in parts:
        if total <= MOST_DELETED_BYTES:
            total += part.bytes(stream, MOST_DELETED_BYTES - total)
    if total > MOST_DELETED_BYTES:
        raise _too_long(
            stream, f"takes more than {total - 1:,} bytes in the database", f"{MOST_DELETED_BYTES:,} bytes keep"
        )


def _too_long(stream: Stream, takes: str, most: str) -> Conflict:
    return Conflict(
        f"stream {stream.name} {takes}, and more than {most} others from writing for too long: delete its models first, if it has "
        f"many or large ones; or have the operator run `manage.py delete_stream {stream.name}`",
        field="confirm",
        code="too_long",
    )
