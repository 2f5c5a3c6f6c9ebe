"""Quotas of runs and of what they log. A run counts for the user and the token that created it.

Points arrive too often to be charged one by one, so a process charges them in blocks (:mod:`server.streams.quotas.reserves`).
"""

from django.db import connection

from server.streams.quotas import quota_usage
from server.streams.quotas.limits import METRIC_POINTS, RUNS, Owner
from server.streams.quotas.quota_usage import Charge, Freed
from server.streams.quotas.reserves import Reserves

POINTS = Reserves(METRIC_POINTS)

BYTES_OF_POINT = 64
"""A record of a domain counts as a point for each of so many bytes."""


def of_document(document: str) -> int:
    """Return how many points a record of a domain counts as."""
    return 1 + len(document.encode()) // BYTES_OF_POINT


def charge_run(owner: Owner | None) -> Charge:
    """Count a new run, in its transaction.

    Raises
    ------
    QuotaExceeded
        If it exceeds the owner's quota.
    """
    return quota_usage.charge(owner, {RUNS: 1})


def freed(owner_id: int | None, token_id: int | None, *, runs: int = 0, points: int = 0) -> list[Freed]:
    """Return the quota that is released when a run or its points are removed."""
    amounts = {RUNS: runs, METRIC_POINTS: points}
    return [Freed(owner_id, token_id, quota, amount) for quota, amount in amounts.items() if amount]


class Ledger:
    """What is logged to a run in one transaction.

    Parameters
    ----------
    owner
        Whose quota counts it; None for nobody.
    """

    def __init__(self, owner: Owner | None) -> None:
        self._owner = owner
        self._taken = self._rest = 0
        self._charges: list[Charge] = []

    def add(self, points: int) -> None:
        """Count points that were stored in this transaction.

        Raises
        ------
        QuotaExceeded
            If they exceed the quota. The transaction is to be rolled back.
        """
        if self._owner is None or not points:
            return
        if POINTS.take(self._owner, points):
            self._taken += points
            return
        charged, rest = POINTS.charge(self._owner, points)
        self._charges.append(charged)
        self._rest += rest

    def report(self) -> None:
        """Report quotas that are near their limits, at the end of the transaction."""
        for charged in self._charges:
            charged.report()

    def close(self, *, stored: bool) -> None:
        """Give back, after the transaction, what is left of a new block; or, if it failed, what was taken."""
        if self._owner is not None and (self._taken or self._rest or self._charges):
            POINTS.put_back(self._owner, self._rest if stored else self._taken)


def usage_queries() -> list[tuple[str, str]]:
    """Return quotas with the query that recounts each: user, token and amount."""
    runs = (
        "SELECT owner_id, token_id, COUNT(*) FROM tracking_run WHERE owner_id IS NOT NULL GROUP BY owner_id, token_id"
    )
    points = (
        "SELECT owner_id, token_id, SUM(amount) FROM ("
        "SELECT r.owner_id, r.token_id, COUNT(*) AS amount FROM tracking_metric m JOIN tracking_latestmetric s ON s.id = m.series_id"
        " JOIN tracking_run r ON r.id = s.run_id WHERE r.owner_id IS NOT NULL GROUP BY r.owner_id, r.token_id"
        " UNION ALL SELECT r.owner_id, r.token_id, COUNT(*) + SUM({} / 64) FROM tracking_domainrecord d"
        " JOIN tracking_run r ON r.id = d.run_id WHERE r.owner_id IS NOT NULL GROUP BY r.owner_id, r.token_id"
        ") AS logged GROUP BY owner_id, token_id"
    )
    size = {"sqlite": "LENGTH(CAST(d.document AS BLOB))", "postgresql": "octet_length(d.document)"}
    return [(RUNS, runs), (METRIC_POINTS, points.format(size[connection.vendor]))]
