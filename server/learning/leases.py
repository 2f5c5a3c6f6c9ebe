"""Folds that one process at a time may do: taken by a lease in the database, kept while they come on, left when a turn is over."""

import contextlib
import math
import time
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import OuterRef, Q, QuerySet, Subquery

from server.learning import progress
from server.learning.models import Model
from server.streams.models import Retraction, Stream

LEASE = timedelta(seconds=30)

TURN = 5.0
"""Seconds after which a fold lets others through, if any wait."""

SPACING = 0.5
"""Least seconds between two times that progress is noted."""

CLOSE_ENOUGH = 0.5
"""Seconds that a fold's last step to the head took, after which it is finished: what came meanwhile is caught up with at the
next request, as a process does that has not served the stream for a moment."""


class TurnOver(Exception):
    """Others wait for their turn."""


class LeaseLost(Exception):
    """Another process took over a piece of work, or it is no longer wanted."""


def unleased() -> Q:
    now = datetime.now(UTC)
    # None lasts for so long: it was taken before a clock was set back, and who took it would be waited for until then.
    return Q(leased_until=None) | Q(leased_until__lt=now) | Q(leased_until__gt=now + 2 * LEASE)


def lease(work: "QuerySet[Model]", count: int, **changes: Any) -> bool:
    """Take all ``count`` models of ``work``, or none of them."""
    with transaction.atomic():
        taken = work.filter(unleased()).update(leased_until=datetime.now(UTC) + LEASE, **changes)
        if taken != count:
            transaction.set_rollback(True)
        return 0 < taken == count


class Ticker:
    """Notes a fold's progress and keeps its lease; yields to requests after every chunk.

    Leases of folds that wait for their next turn in this process are kept, too.

    Parameters
    ----------
    pks
        The models that are folded.
    status
        Theirs while they are: another one says that the lease is lost.
    """

    _waiting: "set[Ticker]" = set()

    def __init__(self, pks: list[int], status: str) -> None:
        self._pks, self._status = pks, status
        self._last, self._over = 0.0, math.inf

    def begin(self) -> None:
        """Begin a turn.

        Raises
        ------
        LeaseLost
            If another process has the lease by now.
        """
        self._waiting.discard(self)
        self._last = time.monotonic()
        self._over = self._last + TURN
        self._keep()

    def wait(self) -> None:
        """Keep the lease until the next turn."""
        self._waiting.add(self)

    def __call__(self, n: int) -> None:
        progress.moved()
        time.sleep(0)
        if time.monotonic() - self._last < SPACING:
            return
        self._last = time.monotonic()
        self._keep(progress=n)
        for other in list(self._waiting):
            with contextlib.suppress(LeaseLost):  # which its next turn finds, too
                other._keep()
        if self._last > self._over and self._others_wait():
            raise TurnOver

    def _keep(self, **changes: int) -> None:
        mine = Model.objects.filter(pk__in=self._pks, status=self._status)
        if mine.update(leased_until=datetime.now(UTC) + LEASE, **changes) != len(self._pks):
            raise LeaseLost

    def _others_wait(self) -> bool:
        """Whether there is another backfill or rebuild to be done, which no other process works on."""
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
