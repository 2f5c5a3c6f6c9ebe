"""Leases of campaigns: one process at a time works on one, and holds its lease for as long as the work takes.

A thread renews the lease, since a decision over many cells may take longer than a lease lasts. After a kill the lease ends by itself.
"""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from django.db import DatabaseError, connection
from django.db.models import Q

from server.campaigns.models import Campaign
from server.core.errors import TailraceError

logger = logging.getLogger(__name__)

LEASE = timedelta(seconds=120)
RENEW_EVERY = 30.0
"""Seconds between two renewals."""


@contextmanager
def held(pk: int) -> Iterator[bool]:
    """Hold the lease of a campaign, and yield whether no other process has it. A lease that another one takes meanwhile is left to it."""
    lease = _Lease(pk)
    if not lease.take():
        yield False
        return
    thread = threading.Thread(target=lease.keep, name=f"lease of campaign {pk}", daemon=True)
    thread.start()
    try:
        yield True
    finally:
        lease.ended.set()
        thread.join()
        lease.release()


class _Lease:
    """The lease of a campaign. The time until which it lasts tells whose it is."""

    def __init__(self, pk: int) -> None:
        self._pk, self._until = pk, datetime.min
        self.ended = threading.Event()

    def take(self) -> bool:
        now = datetime.now(UTC)
        # A lease that ends later than any lease lasts was taken before a clock was set back.
        free = Q(leased_until=None) | Q(leased_until__lt=now) | Q(leased_until__gt=now + 2 * LEASE)
        return self._renew(free, now)

    def keep(self) -> None:
        """Renew it until the work has ended, or another process has it."""
        try:
            while not self.ended.wait(RENEW_EVERY):
                try:
                    if not self._renew(Q(leased_until=self._until), datetime.now(UTC)):
                        logger.warning("another process took campaign %s over", self._pk)
                        return
                except (DatabaseError, TailraceError) as exc:
                    logger.warning("the lease of campaign %s was not renewed: %s", self._pk, exc)
        finally:
            connection.close()

    def release(self) -> None:
        Campaign.objects.filter(pk=self._pk, leased_until=self._until).update(leased_until=None)

    def _renew(self, rows: Q, now: datetime) -> bool:
        until = now + LEASE
        if not Campaign.objects.filter(rows, pk=self._pk).update(leased_until=until):
            return False
        self._until = until
        return True
