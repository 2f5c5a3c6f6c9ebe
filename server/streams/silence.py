"""Streams that are expected to grow: within which time, and whether they fell silent."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, NamedTuple

from django.db.models import OuterRef, Subquery

from server.streams.errors import Invalid
from server.streams.models import Batch, Stream
from server.streams.validation import as_whole, shown

NEW, ON_TIME, LATE, SILENT = STATES = ("new", "on_time", "late", "silent")
SHORTEST, LONGEST = 60, 365 * 24 * 3600
PARTS = ("every", "grace")


class Heard(NamedTuple):
    """When a stream was heard of last, and what follows from it.

    Attributes
    ----------
    last_at
        Time of its last observation; None where there is none.
    state
        ``new`` (nothing was ever heard), ``on_time``, ``late`` (the interval has passed, the grace has not) or ``silent``.
    """

    last_at: datetime | None
    state: str


def wished(value: Any) -> tuple[int | None, int]:
    """An expected interval and its grace, in seconds, as a request asks for them; (None, 0) for null.

    Raises
    ------
    Invalid
        Naming the part and what was expected.
    """
    if value is None:
        return None, 0
    if not isinstance(value, dict):
        raise Invalid(
            f"expected is {shown(value)}: expected null or an object with every and grace, in seconds", field="expected"
        )
    for name in value:
        if name not in PARTS:
            raise Invalid(
                f"unknown field expected.{name}: expected every and grace",
                field=f"expected.{name}",
                code="unknown_field",
            )
    every = _seconds(value.get("every"), "every", SHORTEST)
    return every, _seconds(value.get("grace", 0), "grace", 0)


def _seconds(value: Any, part: str, least: int) -> int:
    value = as_whole(value)
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= LONGEST:
        raise Invalid(
            f"expected.{part} is {shown(value)}: expected whole seconds from {least} to {LONGEST}",
            field=f"expected.{part}",
        )
    return value


def heard(streams: Iterable[Stream], now: datetime | None = None) -> dict[int, Heard]:
    """Of the streams that are expected to grow, by their ids, when they were heard of last: in one query, or none."""
    expecting = {stream.pk: stream for stream in streams if stream.expected_every is not None}
    if not expecting:
        return {}
    latest = Batch.objects.filter(stream=OuterRef("pk")).order_by("-last").values("at")[:1]
    rows = Stream.objects.filter(pk__in=expecting).values_list("pk").annotate(last_at=Subquery(latest))
    now = now or datetime.now(UTC)
    return {pk: Heard(at, _state(expecting[pk], at, now)) for pk, at in rows}


def _state(stream: Stream, last_at: datetime | None, now: datetime) -> str:
    assert stream.expected_every is not None
    if last_at is None:
        return NEW
    passed = (now - last_at).total_seconds()
    if passed <= stream.expected_every:
        return ON_TIME
    return LATE if passed <= stream.expected_every + stream.grace else SILENT
