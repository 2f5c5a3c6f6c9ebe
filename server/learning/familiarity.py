"""What each stream has seen, as a process knows it: made of what passes through it anyway, and of the log for what doesn't.

The points that this process learns, and those that its replicas catch up with, are noted as they pass. What was there before is read
once: from a summary that is stored now and then, off the request path, and from the log for the observations after that.
"""

import logging
import time
from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.db import IntegrityError, connection

from server.streams import log, unfamiliar
from server.streams.locks import transaction_for_writing
from server.streams.models import Stream, StreamSummary
from server.streams.summary import Point, Summary
from server.streams.unfamiliar import Fault

logger = logging.getLogger(__name__)

READ_AT_ONCE = 5_000
"""Observations that a prediction waits for; where more have to be read first, it is answered unchecked."""

STRETCH = 0.3
"""Seconds, about, that maintenance reads the log of one stream before it looks at all else."""

WAITING = 64
"""Points that are kept until they are taken in together, which costs half as much."""

MOST_VALUES = 256
"""Values of all that wait, from which on they are taken in: those of more have nothing to gain, and may be long strings."""

SPACING = 1.0
"""Least seconds between two stored summaries of a stream."""


class Familiarity:
    """What one stream has seen. Whoever reads or changes it holds the lock of the stream's replica set.

    It is made of ``whole``, of observations from the first on, and where this process came in later, of ``recent``, of those
    that passed through it: what lies between is to be read from the log.

    Parameters
    ----------
    stream_id
        The stream.
    ranged
        Whether numbers can be outside of what was seen.
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
        """Of all that wait."""

    @property
    def upto(self) -> int:
        """The last observation that was noted."""
        return self._newest.upto + len(self._waiting)

    @property
    def names(self) -> int:
        """How many names are kept beside those of the features that the stream has."""
        recent = 0 if self.recent is None else self.recent.remembered + len(self.recent.features)
        return self.whole.remembered + recent

    @property
    def _newest(self) -> Summary:
        return self.whole if self.recent is None else self.recent

    def note(self, first: int, xs: list[Point]) -> None:
        """Take notice of committed observations ``first …``; of those that were noted, nothing comes."""
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
        """What observations up to ``head`` have had; None where too many of them have to be read first."""
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
        """Whether unchecked points are like those up to observation ``head``, and so can be asked for without a further look."""
        seen = self.at(head)
        return seen is not None and seen.passes(xs)

    def faults(self, xs: Sequence[Point], fields: Sequence[str], head: int) -> Sequence[Fault]:
        """In which ways points differ from those up to observation ``head``; each is called as ``fields`` says."""
        seen = self.at(head)
        if seen is None:
            return (unfamiliar.unchecked(self.whole.upto, head),)
        unlike = seen.unknown(xs)
        return unfamiliar.faults(seen, xs, unlike, fields) if unlike else ()

    def missing(self) -> Summary | None:
        """An empty summary for what lies between, if anything does."""
        return None if self.recent is None else Summary(self.whole.upto, ranged=self.ranged)

    def fill(self, part: Summary) -> None:
        """Add what was made of the observations that lie between, or of the first of them."""
        if self.recent is None or part.after != self.whole.upto:
            return
        self.whole.merge(part)
        if self.whole.upto == self.recent.after:
            self.whole.merge(self.recent)
            self.recent = None

    def take_in(self) -> None:
        """Let no points wait any longer."""
        if self._waiting:
            self._take_in()

    def _take_in(self) -> None:
        newest, xs = self._newest, self._waiting
        self._waiting, self._values = [], 0
        newest.add(xs, newest.upto + len(xs))

    def _begin(self, after: int) -> None:
        """Begin anew after an observation that is not the last that was noted."""
        self._take_in()
        self.recent = Summary(after, ranged=self.ranged)

    def due(self, *, at_once: bool) -> tuple[int, str] | None:
        """What is to be stored, and of how many observations; None while it isn't due."""
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
        return self.whole.upto, self.whole.dumped()


def _stored(stream_id: int, ranged: bool) -> Summary:
    """What was stored of a stream, if anything that can be read."""
    row = StreamSummary.objects.filter(pk=stream_id).values_list("upto", "summary").first()
    if row is not None:
        try:
            return Summary.loaded(row[1], row[0], ranged=ranged)
        except (ValueError, TypeError, KeyError, AttributeError) as exc:  # a short cut: the log remains
            logger.warning("the summary of stream %d can't be read (%s): using the log", stream_id, exc)
    return Summary(ranged=ranged)


def whole(stream: Stream, upto: int) -> Summary | None:
    """What a stream has seen up to an observation, however long that takes to read; None where it declares its features."""
    if stream.features is not None:
        return None
    known = Familiarity(stream.pk, ranged=stream.descriptor is None).whole
    read(stream.pk, known, upto)
    return known


def keep(stream: Stream) -> None:
    """Store what a stream has seen before its log is shortened."""
    known = whole(stream, stream.head)
    if known is not None:
        store(stream.pk, known.upto, known.dumped())


def read(stream_id: int, part: Summary, upto: int, seconds: float | None = None) -> None:
    """Take observations into a summary from the log, up to ``upto`` or for so long."""
    ends = None if seconds is None else time.monotonic() + seconds
    for first, xs in log.features(stream_id, part.upto, upto):
        part.add(xs, first + len(xs) - 1)
        if ends is not None and time.monotonic() > ends:
            return
    part.upto = max(part.upto, upto)  # the last may not be kept any more


_STORE = (
    "INSERT INTO streams_streamsummary (stream_id, upto, summary) VALUES (%s, %s, %s) ON CONFLICT (stream_id) DO UPDATE"
    " SET upto = excluded.upto, summary = excluded.summary WHERE streams_streamsummary.upto < excluded.upto"
)


def store(stream_id: int, upto: int, text: str) -> None:
    """Keep a stream's summary, unless a later one is kept."""
    try:
        with transaction_for_writing(), connection.cursor() as cursor:
            cursor.execute(_STORE, (stream_id, upto, text))
    except IntegrityError:
        pass  # the stream was deleted
