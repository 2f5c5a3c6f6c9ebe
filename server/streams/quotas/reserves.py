"""Reserves of a quota in each process, for objects that are created too often to be charged one by one.

To charge each kept prediction would take much of its time, and all requests of a user would wait for the same row. So a
process charges a block at once, when none is left, and uses it from memory. The charged amount is never less than the stored
amount, so the limit holds exactly. It is larger by the unused parts of blocks: at most a thousandth of the limit for each
process and caller. A part that isn't used for some time is given back, and all of it when the process stops. A killed process
doesn't give it back; ``manage.py recount_quotas`` corrects that.
"""

import logging
import threading
import time
from dataclasses import dataclass, field
from multiprocessing.util import Finalize

from server.core.db.locks import transaction_for_writing
from server.core.errors import Unavailable
from server.streams.quotas import quota_usage
from server.streams.quotas.limits import QUOTAS, Owner, QuotaExceeded, Use
from server.streams.quotas.quota_usage import Charge, Freed

logger = logging.getLogger(__name__)

LARGEST_BLOCK = 256 * 1024
BLOCKS_IN_LIMIT = 1000
IDLE_SECONDS = 5.0
"""Seconds after which an unused block is given back."""


@dataclass
class _Left:
    """The unused part of a caller's block."""

    amount: int = 0
    at: float = 0.0
    near: list[Use] = field(default_factory=list)
    """Quotas that were near their limit when the block was charged."""


class Reserves:
    """The blocks of one quota, by user and token.

    Parameters
    ----------
    quota
        Its name.
    """

    def __init__(self, quota: str) -> None:
        self.quota = quota
        self._lock = threading.Lock()
        self._giving_back = threading.Lock()
        self._left: dict[tuple[int, int], _Left] = {}
        self._charging: set[tuple[int, int]] = set()

    def take(self, owner: Owner, amount: int) -> bool:
        """Take an amount from the caller's block. Return whether enough was left."""
        with self._lock:
            left = self._left.get((owner.user_id, owner.token_id))
            if left is None or left.amount < amount:
                return False
            left.amount -= amount
            left.at = time.monotonic()
            if left.near:
                owner.warnings.extend(left.near)
            return True

    def put_back(self, owner: Owner, amount: int) -> None:
        """Add an amount to the caller's block: what was taken and not needed, or the rest of a new block."""
        with self._lock:
            self._charging.discard((owner.user_id, owner.token_id))
            if not amount:
                return
            left = self._left.setdefault((owner.user_id, owner.token_id), _Left())
            left.amount += amount
            left.at = time.monotonic()
            left.near = list(owner.warnings)

    def charge(self, owner: Owner, amount: int) -> tuple[Charge, int]:
        """Charge a block of at least ``amount``, in the transaction that uses it.

        Returns
        -------
        tuple
            The charge, and the rest of the block. Pass the rest to :meth:`put_back` after the transaction, or 0 if it failed.

        Raises
        ------
        QuotaExceeded
            If ``amount`` exceeds the quota.
        """
        key = (owner.user_id, owner.token_id)
        with self._lock:
            is_first = key not in self._charging
            self._charging.add(key)
        block = max(amount, self._block(owner)) if is_first else amount
        try:
            return quota_usage.charge(owner, {self.quota: block}), block - amount
        except QuotaExceeded:
            if block == amount:
                raise
            return quota_usage.charge(owner, {self.quota: amount}), 0  # near the limit, amounts are charged one by one

    def _block(self, owner: Owner) -> int:
        limits = [QUOTAS[self.quota].limit(token_id) for token_id in owner.keys]
        return min([LARGEST_BLOCK, *(limit // BLOCKS_IN_LIMIT for limit in limits if limit is not None)])

    def give_back(self, *, idle: float = IDLE_SECONDS) -> None:
        """Give back blocks that were not used for this many seconds.

        Raises
        ------
        Unavailable
            If the database can't store it. The blocks stay in reserve.
        """
        with self._giving_back:  # so that a process that stops waits for a transaction in progress
            if not self._left:
                return
            taken = self._idle(time.monotonic() - idle)
            freed = [Freed(*key, self.quota, left.amount) for key, left in taken.items() if left.amount]
            if not freed:
                return
            try:
                with transaction_for_writing():
                    quota_usage.release(freed)
            except Unavailable:
                with self._lock:
                    for key, left in taken.items():
                        self._left.setdefault(key, _Left(at=left.at, near=left.near)).amount += left.amount
                raise

    def _idle(self, since: float) -> dict[tuple[int, int], _Left]:
        """Remove and return the blocks that were not used since then."""
        with self._lock:
            taken = {key: left for key, left in self._left.items() if left.at <= since}
            for key in taken:
                del self._left[key]
        return taken

    def forget(self) -> None:
        """Discard all blocks, in a new process or for a new database."""
        with self._lock:
            self._left.clear()


def give_back_at_end(reserves: Reserves) -> None:
    """Register that this process gives back its reserves when it stops.

    It doesn't use :mod:`atexit`, which granian's workers don't run, because :mod:`multiprocessing` starts and ends them.
    """

    def give_back() -> None:
        try:
            reserves.give_back(idle=0)
        except Unavailable as exc:
            logger.warning("can't give back unused quota: %s; run `manage.py recount_quotas` to correct it", exc)

    Finalize(None, give_back, exitpriority=0)
