"""A process's reserves of quotas that are counted too often to be counted one by one.

A kept prediction would pay a good part of its time for a row of usage, which all who ask for the same user would wait for. So a
process charges a block at once, with the prediction that finds none left, and spends it from memory. What is charged is never less than what is
stored, so that the limit holds exactly; it is more by what is left of blocks: at most a thousandth of the limit for each process
and caller. What isn't spent for a while is given back, as is all of it when the process ends in order. A
process that is killed takes it along; ``manage.py recount_quotas`` counts anew.
"""

import logging
import threading
import time
from dataclasses import dataclass, field
from multiprocessing.util import Finalize

from server.streams import quota_usage
from server.streams.errors import Unavailable
from server.streams.locks import transaction_for_writing
from server.streams.quota_usage import Charged, Freed
from server.streams.quotas import QUOTAS, Owner, QuotaExceeded, Use

logger = logging.getLogger(__name__)

LARGEST_BLOCK = 256 * 1024
BLOCKS_IN_LIMIT = 1000
IDLE_SECONDS = 5.0
"""Seconds after which a block that nobody spends of is given back."""


@dataclass
class _Left:
    """What is left of a caller's block."""

    amount: int = 0
    at: float = 0.0
    near: list[Use] = field(default_factory=list)
    """What was near its limit when the block was charged."""


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
        """Take so much of the caller's block, if that much is left."""
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
        """What was taken and isn't needed, or is left of a block once its transaction is over."""
        with self._lock:
            self._charging.discard((owner.user_id, owner.token_id))
            if not amount:
                return
            left = self._left.setdefault((owner.user_id, owner.token_id), _Left())
            left.amount += amount
            left.at = time.monotonic()
            left.near = list(owner.warnings)

    def charge(self, owner: Owner, amount: int) -> tuple[Charged, int]:
        """Charge a block that has room for ``amount``, in the transaction that spends it.

        Returns
        -------
        tuple
            What was charged, and what is left of the block: to be put back when the transaction is over (0: if it failed).

        Raises
        ------
        QuotaExceeded
            If there is no room for ``amount``.
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
            return quota_usage.charge(owner, {self.quota: amount}), 0  # near the limit each counts for itself

    def _block(self, owner: Owner) -> int:
        limits = [QUOTAS[self.quota].limit(token_id) for token_id in owner.keys]
        return min([LARGEST_BLOCK, *(limit // BLOCKS_IN_LIMIT for limit in limits if limit is not None)])

    def give_back(self, *, idle: float = IDLE_SECONDS) -> None:
        """Give back what nobody has spent of for so many seconds.

        Raises
        ------
        Unavailable
            If the database can't store that: it stays in reserve.
        """
        with self._giving_back:  # so that a process that ends waits for what is under way
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
        """Take away the blocks of which nobody has spent since then."""
        with self._lock:
            taken = {key: left for key, left in self._left.items() if left.at <= since}
            for key in taken:
                del self._left[key]
        return taken

    def forget(self) -> None:
        """Forget all blocks, as a new process begins, or a new database."""
        with self._lock:
            self._left.clear()


def give_back_at_end(reserves: Reserves) -> None:
    """Have this process give back what is left when it ends in order.

    What :mod:`atexit` has is done by gunicorn's workers and not by granian's, which :mod:`multiprocessing` begins and ends.
    """

    def give_back() -> None:
        try:
            reserves.give_back(idle=0)
        except Unavailable as exc:
            logger.warning("what is left of quotas can't be given back (manage.py recount_quotas does): %s", exc)

    Finalize(None, give_back, exitpriority=0)
