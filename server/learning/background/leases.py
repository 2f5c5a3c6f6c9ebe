"""Leases of backfills and rebuilds: one process at a time works on one, renews its lease, and ends its turn if others wait."""

import contextlib
import math
import time
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import OuterRef, Q, QuerySet, Subquery

from server.learning.background import liveness_marks
from server.learning.models import Model
from server.streams.models import Retraction, Stream

LEASE = timedelta(seconds=30)

TURN = 5.0
"""Length of a turn, s: after that, a fold gives way to others that wait."""

SPACING = 0.5
"""Least seconds between two updates of the progress."""

CLOSE_ENOUGH = 0.5
"""If a fold's step to the head of the log took less than so many seconds, the fold is finished. The next request catches up
with the observations that arrived meanwhile."""


class TurnOver(Exception):
    """The turn is over, and other folds wait."""


class LeaseLost(Exception):
    """Another process has taken over the work, or the work is no longer needed."""


def unleased() -> Q:
    now = datetime.now(UTC)
    # A lease that ends later than any lease lasts was taken before a clock was set back. It counts as expired.
    return Q(leased_until=None) | Q(leased_until__lt=now) | Q(leased_until__gt=now + 2 * LEASE)


def lease(work: "QuerySet[Model]", count: int, **changes: Any) -> bool:
    """Lease all ``count`` models of ``work``, or none. Return whether they are leased."""
    with transaction.atomic():
        taken = work.filter(unleased()).update(leased_until=datetime.now(UTC) + LEASE, **changes)
        if taken != count:
            transaction.set_rollback(True)
        return 0 < taken == count


class LeaseKeeper:
    """Stores a fold's progress, renews its lease, and lets requests run after every chunk.

    It also renews the leases of folds that wait for their next turn in this process.

    Parameters
    ----------
    pks
        The models that are folded.
    status
        Their status during the fold. If it changes, the lease is lost.
    """

    _waiting: "set[LeaseKeeper]" = set()

    def __init__(self, pks: list[int], status: str) -> None:
        self._pks, self._status = pks, status
        self._last, self._over = 0.0, math.inf

    def begin(self) -> None:
        """Begin a turn.

        Raises
        ------
        LeaseLost
            If another process has the lease.
        """
        self._waiting.discard(self)
        self._last = time.monotonic()
        self._over = self._last + TURN
        self._keep()

    def wait(self) -> None:
        """Have the lease renewed until the next turn."""
        self._waiting.add(self)

    def __call__(self, n: int) -> None:
        liveness_marks.mark_alive()
        time.sleep(0)
        if time.monotonic() - self._last < SPACING:
            return
        self._last = time.monotonic()
        self._keep(progress=n)
        for other in list(self._waiting):
            with contextlib.suppress(LeaseLost):  # its next turn finds out
                other._keep()
        if self._last > self._over and self._others_wait():
            raise TurnOver

    def _keep(self, **changes: int) -> None:
        mine = Model.objects.filter(pk__in=self._pks, status=self._status)
        if mine.update(leased_until=datetime.now(UTC) + LEASE, **changes) != len(self._pks):
            raise LeaseLost

    def _others_wait(self) -> bool:
        """Return whether another backfill or rebuild is to be done that no process works on."""
        if self._waiting or Model.objects.filter(unleased(), status=Model.BACKFILLING).exists():
            return True
        newest = Retraction.objects.filter(stream=OuterRef("stream")).order_by("-pk").values("pk")[:1]
        live = Model.objects.filter(unleased(), status__in=(Model.READY, Model.REBUILDING))
        return live.filter(retraction__lt=Subquery(newest)).exists()


def head_of(stream_id: int) -> int:
    head = Stream.objects.values_list("head", flat=True).filter(pk=stream_id).first()
    if head is None:
        raise LeaseLost
    return head
