"""Feeding: finished runs are posted to streams, in a background thread of every process.

The key of an observation is the run's identifier, so a run is posted once whatever happens: a process that is killed after it
posted and before it noted that, a second process, a run that ends twice or that is deleted and restored, a feed that is made anew.
One process at a time works on a feed, so that runs are posted in the order in which they ended.
"""

import logging
import time
from collections.abc import Sequence
from typing import Any

from django.db import InterfaceError, OperationalError
from django.db.models import Exists, OuterRef

from server.core.db.locks import transaction_for_writing
from server.core.errors import TailraceError, Unavailable
from server.core.validation import Checker
from server.learning.write_path import learn_points
from server.streams.models import Stream
from server.streams.points import Note, Points
from server.tracking import feed_points, feeds
from server.tracking.clock import now_ms
from server.tracking.models import Feed, FeedPoint, Param
from server.tracking.models.names import ACTIVE

logger = logging.getLogger(__name__)

EVERY = 1.0
"""Seconds between two looks at the queue, in each process."""

AT_ONCE = 50
"""Most runs that are posted in one request."""

LEASE_MS = 10_000
"""How long a feed waits after a process was killed. Work that takes longer may be done twice, which changes nothing."""

SLOW = 10.0
"""Seconds of one feed after which the others are looked at."""

AFTER_ERROR = 30.0
"""Seconds until a feed is taken on again after an error."""


class _Last:
    """What this process remembers.

    Attributes
    ----------
    looked
        When it last looked at the queue.
    failed
        Feed to the time of its last error.
    """

    looked = 0.0
    failed: "dict[int, float]" = {}


def feed_if_due() -> None:
    """Post what is queued, every second."""
    now = time.monotonic()
    if now - _Last.looked >= EVERY:
        _Last.looked = now
        feed_all()


def feed_all() -> int:
    """Post what is queued for feeds that no other process works on. Return how many runs are settled now."""
    waiting = FeedPoint.objects.filter(feed=OuterRef("pk"), state=FeedPoint.DUE)
    rows = Feed.objects.filter(Exists(waiting), stream__isnull=False, experiment__lifecycle=ACTIVE)
    settled = 0
    for feed in list(rows.select_related("stream", "experiment").order_by("pk")):
        if time.monotonic() - _Last.failed.get(feed.pk, -AFTER_ERROR) < AFTER_ERROR:
            continue
        try:
            settled += _feed_alone(feed)
            _Last.failed.pop(feed.pk, None)
        except (OperationalError, InterfaceError):
            raise  # the database is not there, for none of the feeds
        except Unavailable as exc:
            _Last.failed[feed.pk] = time.monotonic()
            logger.warning("feed %s waits: %s", feed, exc)
        except Exception:
            _Last.failed[feed.pk] = time.monotonic()
            logger.exception("feed %s failed, and is tried again", feed)
    return settled


def _feed_alone(feed: Feed) -> int:
    """Post what is queued for a feed, unless another process does, or its owner may not post any more."""
    if feeds.trouble(feed) or not _lease(feed, now_ms()):
        return 0
    settled, began = 0, time.monotonic()
    try:
        while time.monotonic() - began < SLOW:
            rows = list(feed.points.filter(state=FeedPoint.DUE).select_related("run").order_by("pk")[:AT_ONCE])
            if not rows:
                break
            _settle(feed, rows)
            settled += len(rows)
            if not _renew(feed):
                break
    finally:
        Feed.objects.filter(pk=feed.pk, leased_ms=feed.leased_ms).update(leased_ms=0)
    return settled


def _lease(feed: Feed, now: int) -> bool:
    # A lease that ends later than any lease lasts was taken before a clock was set back.
    free = Feed.objects.filter(pk=feed.pk).exclude(leased_ms__range=(now, now + 2 * LEASE_MS))
    feed.leased_ms = now + LEASE_MS
    return free.update(leased_ms=feed.leased_ms) == 1


def _renew(feed: Feed) -> bool:
    """Renew the lease; False if the feed is gone, or another process has taken it over."""
    until = now_ms() + LEASE_MS
    if not Feed.objects.filter(pk=feed.pk, leased_ms=feed.leased_ms).update(leased_ms=until):
        return False
    feed.leased_ms = until
    return True


def _settle(feed: Feed, rows: Sequence[FeedPoint]) -> None:
    """Post runs, all together if the stream takes all of them, and note what became of each."""
    assert feed.stream is not None
    check = Checker(feed.stream.features, feed.stream.target_kind)
    params: dict[int, dict[str, str]] = {row.run_id: {} for row in rows}
    for run, key, value in Param.objects.filter(run__in=list(params)).values_list("run", "key", "value"):
        params[run][key] = value
    ready: list[FeedPoint] = []
    points = Points([], [], {})
    for row in rows:
        try:
            x, y = _point(feed, row, params[row.run_id], check)
        except feed_points.LeftOut as exc:
            _leave_out(row, str(exc))
            continue
        points.notes[len(ready)] = Note(row.run.uid, {"run": row.run.uid, "experiment": feed.experiment.name})
        points.xs.append(x)
        points.ys.append(y)
        ready.append(row)
    if ready:
        _post(feed.stream, ready, points)


def _point(feed: Feed, row: FeedPoint, params: dict[str, str], check: Checker) -> tuple[dict[str, Any], float]:
    run = row.run
    if run.lifecycle != ACTIVE:
        raise feed_points.LeftOut("the run is deleted")
    if run.status != run.FINISHED:
        raise feed_points.LeftOut(f"the run is {run.status}: it is posted once it has finished")
    x, y = feed_points.features(feed, params), feed_points.target(feed, run)
    try:
        check.x(x)
        check.y(y)
    except TailraceError as exc:
        raise feed_points.LeftOut(exc.message) from exc
    return x, y


def _post(stream: Stream, rows: Sequence[FeedPoint], points: Points) -> None:
    """Post points. If the stream refuses them together, they are posted one by one."""
    try:
        receipt = learn_points.learn(stream.pk, points)
    except Unavailable:
        raise
    except TailraceError as exc:
        if len(rows) == 1:
            _leave_out(rows[0], exc.message)
            return
        for index, row in enumerate(rows):
            _post(stream, [row], points.chosen([index]))
        return
    with transaction_for_writing():
        for row, seq in zip(rows, receipt.seqs, strict=True):
            # Whatever has changed since it was read: it is in the stream.
            FeedPoint.objects.filter(pk=row.pk).update(state=FeedPoint.POSTED, seq=seq, reason="")


def _leave_out(row: FeedPoint, reason: str) -> None:
    with transaction_for_writing():
        unchanged = FeedPoint.objects.filter(pk=row.pk, asked=row.asked, state=FeedPoint.DUE)
        unchanged.update(state=FeedPoint.LEFT_OUT, reason=reason)
