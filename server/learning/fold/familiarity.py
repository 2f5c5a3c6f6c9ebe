"""A process's summary of the features that a stream has had, for warnings about unfamiliar points.

The process adds the points that it learns and those that its replicas catch up with. Earlier points are read once: from the
stored summary, which maintenance writes, and from the log for the observations after it.
"""

import logging
import time
from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.db import IntegrityError, connection

from server.core.db.locks import transaction_for_writing
from server.streams import feature_warnings, log
from server.streams.feature_summary import Point, Summary
from server.streams.feature_warnings import Fault
from server.streams.models import Stream, StreamSummary

logger = logging.getLogger(__name__)

READ_AT_ONCE = 5_000
"""Most observations that a prediction reads from the log first. If there are more, its points are not checked."""

STRETCH = 0.3
"""Approximate seconds that maintenance reads the log of one stream before it goes on to other work."""

WAITING = 64
"""Points that are collected before they are added to the summary together, which costs half as much."""

MOST_VALUES = 256
"""Most values of the collected points. From this number on they are added at once, since they may be long strings."""

MOST_COMPARED = 1_000
"""Most points of a request to learn that are compared with earlier ones."""

ALL_COUNT = 1_000
"""Number of observations up to which the latest ones are added first, so that a short stream is compared with all of them."""

SPACING = 1.0
"""Least seconds between two stored summaries of a stream."""

MOST_ADDED = 150
"""Observations that a reader of a stored summary adds to it."""


class Familiarity:
    """The summary of one stream's features. Callers hold the lock of the stream's replica set.

    It has two parts: ``whole`` summarizes the observations from the first on; ``recent``, if there is one, those that this
    process has learned since it began to use the stream. The observations between them are still to be read from the log.

    Parameters
    ----------
    stream_id
        The stream.
    ranged
        Whether to check that numbers are within the range seen.
    """

    def __init__(self, stream_id: int, *, ranged: bool) -> None:
        self.stream_id = stream_id
        self.ranged = ranged
        self.whole = _stored(stream_id, ranged)
        self.recent: Summary | None = None
        self.stored = self.whole.upto
        self.stored_at = time.monotonic()
        self._waiting: list[Point | None] = []
        self._values = 0
        """Number of values of the collected points."""

    @property
    def upto(self) -> int:
        """Number of the last observation that was added or collected."""
        return self._newest.upto + len(self._waiting)

    @property
    def names(self) -> int:
        """The number of names in memory besides those of the stream's features."""
        recent = 0 if self.recent is None else self.recent.remembered + len(self.recent.features)
        return self.whole.remembered + recent

    @property
    def _newest(self) -> Summary:
        return self.whole if self.recent is None else self.recent

    def note(self, first: int, xs: list[Point]) -> None:
        """Collect committed observations ``first …``; those that were collected before are ignored."""
        upto = self.upto
        if first <= upto:
            xs = xs[upto + 1 - first :]
        elif first > upto + 1:
            self._begin(first - 1)
        self._waiting += xs
        if len(self._waiting) < WAITING:
            for x in xs:
                if x is not None:
                    self._values += len(x)
            if self._values < MOST_VALUES:
                return
        self._take_in()

    def at(self, head: int) -> Summary | None:
        """Return the summary of observations up to ``head``; None if too many of them are still to be read from the log."""
        if self._waiting:
            self._take_in()
        if self.recent is None and self.whole.upto >= head:
            return self.whole
        if self.upto < head:
            self._begin(head)
        part = self.missing()
        if part is None or self._newest.after - part.after > READ_AT_ONCE:
            return None
        read(self.stream_id, part, self._newest.after)
        self.fill(part)
        return self.whole

    def passes(self, xs: Sequence[Any], head: int) -> bool:
        """Return whether unchecked points are like those up to observation ``head``, so that no further check is needed."""
        seen = self.at(head)
        return seen is not None and seen.need_no_checks(xs)

    def faults(self, xs: Sequence[Point], fields: Sequence[str], head: int) -> Sequence[Fault]:
        """Return how points differ from those up to observation ``head``. ``fields`` has the name of each in messages."""
        seen = self.at(head)
        if seen is None:
            return (feature_warnings.unchecked(self.whole.upto, head),)
        unlike = seen.unfamiliar(xs)
        return feature_warnings.faults(seen, xs, unlike, fields) if unlike else ()

    def faults_of_learned(self, xs: Sequence[Point]) -> Sequence[Fault]:
        """Return how points that are being learned differ from earlier ones in a way that looks like a mistake.

        A value of another kind looks like one, and a point without a usual feature; its unknown features are then reported,
        too. A new feature or a value outside the range is what a stream learns from. Nothing is read or waited for: the
        points are compared with what the process knows, which may lack the latest ones.
        """
        if self.recent is not None or len(xs) > MOST_COMPARED:
            return ()
        if self._waiting and self.whole.upto < ALL_COUNT:
            self._take_in()
        if self.whole.need_no_checks(xs):
            return ()
        unlike = self.whole.unfamiliar(xs)
        fields = ["x"] if len(xs) == 1 else [f"observations[{index}].x" for index in range(len(xs))]
        found = feature_warnings.faults(self.whole, xs, unlike, fields)
        lacking = {index for fault in found if fault.code == feature_warnings.MISSING for index in fault.points}
        return [
            fault
            for fault in found
            if fault.code in (feature_warnings.OTHER_KIND, feature_warnings.MISSING)
            or (fault.code == feature_warnings.UNKNOWN and not lacking.isdisjoint(fault.points))
        ]

    def missing(self) -> Summary | None:
        """Return an empty summary for the observations between the two parts; None if there are none."""
        return None if self.recent is None else Summary(self.whole.upto, ranged=self.ranged)

    def fill(self, part: Summary) -> None:
        """Add the summary of the observations between the two parts, or of the first of them."""
        if self.recent is None or part.after != self.whole.upto:
            return
        self.whole.merge(part)
        if self.whole.upto == self.recent.after:
            self.whole.merge(self.recent)
            self.recent = None

    def take_in(self) -> None:
        """Add the collected points to the summary."""
        if self._waiting:
            self._take_in()

    def _take_in(self) -> None:
        newest, xs = self._newest, self._waiting
        self._waiting, self._values = [], 0
        newest.add(xs, newest.upto + len(xs))

    def _begin(self, after: int) -> None:
        """Start a new recent part, after an observation that doesn't follow the last one."""
        self._take_in()
        self.recent = Summary(after, ranged=self.ranged)

    def due(self, *, at_once: bool) -> tuple[int, str] | None:
        """Return the number of observations and the summary to store; None if it isn't due."""
        if self.recent is not None:
            new = self.whole.upto - self.stored  # as far as the log was read
        else:
            new = self.upto - self.stored
        waited, config = time.monotonic() - self.stored_at, settings.TAILRACE
        by_count = new >= config.snapshot_points and waited >= SPACING
        if new <= 0 or not (by_count or waited >= config.snapshot_seconds or at_once):
            return None
        if self.recent is None:
            self._take_in()
        self.stored, self.stored_at = self.whole.upto, time.monotonic()
        return self.whole.upto, self.whole.to_json()


def _stored(stream_id: int, ranged: bool) -> Summary:
    """Return the stored summary of a stream; an empty one if there is none or it can't be read."""
    row = StreamSummary.objects.filter(pk=stream_id).values_list("upto", "summary").first()
    if row is not None:
        try:
            return Summary.from_json(row[1], row[0], ranged=ranged)
        except (ValueError, TypeError, KeyError, AttributeError) as exc:  # the log has the same information
            logger.warning("the summary of stream %d can't be read (%s): using the log", stream_id, exc)
    return Summary(ranged=ranged)


def stored_summary(stream: Stream) -> Summary:
    """Return the stored summary of a stream with the next observations of the log, at most :data:`MOST_ADDED` of them."""
    found = _stored(stream.pk, ranged=stream.descriptor is None)
    found.upto = max(found.upto, stream.dropped)
    read(stream.pk, found, min(stream.head, found.upto + MOST_ADDED))
    return found


def whole(stream: Stream, upto: int) -> Summary | None:
    """Return the summary of a stream up to an observation, however long that takes. None if the stream declares its features."""
    if stream.features is not None:
        return None
    known = Familiarity(stream.pk, ranged=stream.descriptor is None).whole
    read(stream.pk, known, upto)
    return known


def known(stream: Stream) -> Summary | None:
    """Return the stored summary of a stream with its latest observations, for a page.

    It reads at most :data:`READ_AT_ONCE` observations. If more are not summarized yet, the latest of these are added without
    those before them. None if the stream declares its features.
    """
    if stream.features is not None:
        return None
    ranged = stream.descriptor is None
    found = _stored(stream.pk, ranged)
    latest = Summary(max(found.upto, stream.head - READ_AT_ONCE), ranged=ranged)
    read(stream.pk, latest, stream.head, STRETCH)
    found.merge(latest)
    return found


def keep(stream: Stream) -> None:
    """Store a stream's summary before its log is shortened."""
    known = whole(stream, stream.head)
    if known is not None:
        store(stream.pk, known.upto, known.to_json())


def read(stream_id: int, part: Summary, upto: int, seconds: float | None = None) -> None:
    """Add observations from the log to a summary, up to ``upto`` or for so many seconds."""
    ends = None if seconds is None else time.monotonic() + seconds
    for first, xs in log.features(stream_id, part.upto, upto):
        part.add(xs, first + len(xs) - 1)
        if ends is not None and time.monotonic() > ends:
            return
    part.upto = max(part.upto, upto)  # the log may no longer have the last ones


_STORE = (
    "INSERT INTO streams_streamsummary (stream_id, upto, summary) VALUES (%s, %s, %s) ON CONFLICT (stream_id) DO UPDATE"
    " SET upto = excluded.upto, summary = excluded.summary WHERE streams_streamsummary.upto < excluded.upto"
)


def store(stream_id: int, upto: int, text: str) -> None:
    """Store a stream's summary, unless a later one is stored."""
    try:
        with transaction_for_writing(), connection.cursor() as cursor:
            cursor.execute(_STORE, (stream_id, upto, text))
    except IntegrityError:
        pass  # the stream was deleted
