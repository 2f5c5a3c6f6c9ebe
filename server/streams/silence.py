"""Expected intervals of streams, and whether their observations are late."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, NamedTuple

from django.db.models import OuterRef, Subquery

from server.core.errors import Invalid
from server.core.validation import format_value, whole_as_int
from server.streams.models import Batch, Stream

NEW, ON_TIME, LATE, SILENT = STATES = ("new", "on_time", "late", "silent")
SHORTEST, LONGEST = 60, 365 * 24 * 3600
PARTS = ("every", "grace")


class Activity(NamedTuple):
    """Time of a stream's last observation, and its state.

    Attributes
    ----------
    last_at
        Time of its last observation; None if there is none.
    state
        ``new`` (no observation yet), ``on_time``, ``late`` (the interval has passed) or ``silent`` (the grace has passed, too).
    """

    last_at: datetime | None
    state: str


def parse_expected(value: Any) -> tuple[int | None, int]:
    """Return expected interval and grace, in seconds, from a request; (None, 0) for null.

    Raises
    ------
    Invalid
        If the value is invalid. The message names the part and what was expected.
    """
    if value is None:
        return None, 0
    if not isinstance(value, dict):
        raise Invalid(
            f"expected is {format_value(value)}: expected null or an object with every and grace, in seconds",
            field="expected",
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
    value = whole_as_int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= LONGEST:
        raise Invalid(
            f"expected.{part} is {format_value(value)}: expected whole seconds from {least} to {LONGEST}",
            field=f"expected.{part}",
        )
    return value


def activity(streams: Iterable[Stream], now: datetime | None = None) -> dict[int, Activity]:
    """Return the activity of the streams with an expected interval, by ID, in at most one query."""
    expecting = {stream.pk: stream for stream in streams if stream.expected_every is not None}
    if not expecting:
        return {}
    latest = Batch.objects.filter(stream=OuterRef("pk")).order_by("-last").values("at")[:1]
    rows = Stream.objects.filter(pk__in=expecting).values_list("pk").annotate(last_at=Subquery(latest))
    now = now or datetime.now(UTC)
    return {
        pk: Activity(at, state_of(expecting[pk].expected_every, expecting[pk].grace, at, now) or NEW) for pk, at in rows
    }


def state_of(every: int | None, grace: int, last_at: datetime | None, now: datetime) -> str | None:
    """Return the state of a stream with this expected interval and grace; None if it expects nothing."""
    if every is None:
        return None
    if last_at is None:
        return NEW
    passed = (now - last_at).total_seconds()
    if passed <= every:
        return ON_TIME
    return LATE if passed <= every + grace else SILENT
