"""Usage of quotas, counted in the transaction in which objects are created or deleted.

A row of :class:`server.streams.models.Usage` counts for one user or token and one quota. It stays locked to the end of the
transaction, so that concurrent requests, in any process, can't exceed the limit. A check takes the same time for ten objects
as for a million.

To avoid deadlocks, every transaction takes its locks in the same order: the stream, the rows that it creates or deletes,
usage (by user, token and quota), the audit trail.
"""

import logging
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from django.conf import settings
from django.db import connection
from django.db.models import Q

from server.core import audit_signals
from server.core.db.locks import transaction_for_writing
from server.core.metrics import declarations
from server.streams.models import Usage
from server.streams.quotas.limits import NEAR, NEAR_SHARE, OK, QUOTAS, REACHED, STATES, Owner, Quota, QuotaExceeded, Use

logger = logging.getLogger(__name__)

WHOSE = ("user", "token")
FEW = 500
"""Number of users up to which a query lists them by ID."""

Key = tuple[int, int, str]
"""User, token (0: the user) and quota."""

for _quota in QUOTAS:  # starts each series at 0, so that a rate shows the first refusal
    for _whose in WHOSE:
        declarations.quota_refusals.labels(_quota, _whose)

_LOCK = (
    "INSERT INTO streams_usage (user_id, token_id, quota, used, told) VALUES (%s, %s, %s, 0, 0)"
    " ON CONFLICT (user_id, token_id, quota) DO UPDATE SET used = streams_usage.used RETURNING used, told"
)
_STORE = "UPDATE streams_usage SET used = %s, told = %s WHERE user_id = %s AND token_id = %s AND quota = %s"


class Freed(NamedTuple):
    """An amount of a quota that a deletion frees. ``user_id`` None: it had no owner and was not counted."""

    user_id: int | None
    token_id: int | None
    quota: str
    amount: int


@dataclass
class Charge:
    """The result of a charge: the quotas that it brought near their limits."""

    username: str = ""
    grown: list[Use] = field(default_factory=list)
    """Quotas with a new state, near or reached, that was not reported yet."""

    def report(self) -> None:
        """Log the new states, and record used-up quotas in the audit trail. Call it at the end of the transaction."""
        for use in self.grown:
            logger.warning("quota %s is %s: %s", use.quota.name, _word(use), use.sentence(self.username))
            if use.state == REACHED:
                _record(use, self.username)
        self.grown = []


def check(owner: Owner | None, amounts: Mapping[str, int], freed: Iterable[Freed] = ()) -> None:
    """Lock the owner's usage until the end of the transaction, and check that the amounts fit, without counting them.

    Outside a transaction it does nothing, because it can't hold locks. Then only :func:`charge` checks.

    Parameters
    ----------
    owner, amounts, freed
        The same values as in the later call of :func:`charge`, which then succeeds.

    Raises
    ------
    QuotaExceeded
        If an amount exceeds its quota.
    """
    if owner is not None and connection.in_atomic_block:
        _check(owner, amounts, *_held(owner, amounts, freed))


def charge(owner: Owner | None, amounts: Mapping[str, int], freed: Iterable[Freed] = ()) -> Charge:
    """Count what is created and subtract what is deleted, in the transaction of both.

    Parameters
    ----------
    owner
        The owner whose usage it is; None for nobody.
    amounts
        Number of objects or bytes, by quota.
    freed
        Amounts that are deleted in the same transaction.

    Raises
    ------
    QuotaExceeded
        If an amount exceeds its quota. Nothing was counted.
    """
    own = [] if owner is None else _keys(owner, amounts)
    held, deltas = _held(owner, amounts, freed)
    if owner is not None:
        _check(owner, amounts, held, deltas)
        for key in own:
            deltas[key] += amounts[key[2]]
    charged = Charge("" if owner is None else owner.username)
    for key, delta in deltas.items():
        use = _stored(key, held[key], delta)
        if owner is not None and key in own and use.state != OK:
            owner.warnings.append(use)
            if use.state > held[key][1]:
                charged.grown.append(use)
    return charged


def release(freed: Iterable[Freed]) -> None:
    """Subtract what is deleted, in its transaction."""
    charge(None, {}, freed)


def record_refusal(error: QuotaExceeded) -> None:
    """Count a refusal, and record the first one in the audit trail. Call it after the transaction was rolled back.

    Raises
    ------
    Unavailable
        If the database can't store it.
    """
    use = error.use
    declarations.quota_refusals.labels(use.quota.name, _of(use)).add()
    logger.log(logging.INFO if use.told == REACHED else logging.WARNING, "refused: %s", error.message)
    if use.told == REACHED:
        return
    with transaction_for_writing():
        row, _ = Usage.objects.select_for_update().get_or_create(
            user_id=use.user_id, token_id=use.token_id, quota=use.quota.name
        )
        if row.told != REACHED:
            row.told = REACHED
            row.save(update_fields=["told"])
            _record(use, error.username)


def uses(user_ids: Sequence[int]) -> dict[int, list[Use]]:
    """Return the usage of every quota by each of these users, in one query."""
    chosen = {"user_id__in": user_ids} if len(user_ids) <= FEW else {}
    rows = {(row.user_id, row.quota): row for row in Usage.objects.filter(token_id=0, **chosen)}
    return {
        user_id: [_use(user_id, 0, quota, rows.get((user_id, quota.name))) for quota in QUOTAS.values()]
        for user_id in user_ids
    }


def uses_of_token(user_id: int, token_id: int) -> list[Use]:
    """Return the usage of every quota by a token; empty if tokens have no limits of their own."""
    if settings.TAILRACE.quota_token_percent == 100:
        return []
    rows = {row.quota: row for row in Usage.objects.filter(user_id=user_id, token_id=token_id)}
    return [_use(user_id, token_id, quota, rows.get(quota.name)) for quota in QUOTAS.values()]


def tokens_near(user_id: int) -> list[Use]:
    """Return the usage of a user's tokens that are near a limit or have reached it."""
    if settings.TAILRACE.quota_token_percent == 100:
        return []
    rows = Usage.objects.filter(user_id=user_id, token_id__gt=0, told__gt=OK).order_by("token_id", "quota")
    return [use for row in rows if (use := _use(user_id, row.token_id, QUOTAS[row.quota], row)).state != OK]


def count_owners() -> dict[tuple[str, str, str], int]:
    """Count the users and tokens that are near a quota or have reached it: by quota, ``user`` or ``token``, and state.

    It reads only those.
    """
    found = {(quota, of, word): 0 for quota in QUOTAS for of in WHOSE for word in STATES[NEAR:]}
    near = Q()
    for quota in QUOTAS.values():
        for is_token in (0, 1):
            limit = quota.limit(is_token)
            if limit is not None:
                who = Q(token_id__gt=0) if is_token else Q(token_id=0)
                near |= Q(quota=quota.name, used__gte=math.ceil(NEAR_SHARE * limit)) & who
    if near:
        for row in Usage.objects.filter(near).iterator():
            use = _use(row.user_id, row.token_id, QUOTAS[row.quota], row)
            found[row.quota, _of(use), use.word] += 1
    return found


def _use(user_id: int, token_id: int, quota: Quota, row: Usage | None) -> Use:
    return Use(quota, user_id, token_id, *((0, OK) if row is None else (row.used, row.told)))


def _held(
    owner: Owner | None, amounts: Mapping[str, int], freed: Iterable[Freed]
) -> tuple[dict[Key, tuple[int, int]], dict[Key, int]]:
    """Lock the rows of a charge. Return used amount and reported state of each, and the freed amounts, as negatives."""
    deltas: dict[Key, int] = defaultdict(int)
    for user_id, token_id, quota, amount in freed:
        if user_id is not None:
            for token in {0, token_id or 0}:
                deltas[user_id, token, quota] -= amount
    own = [] if owner is None else _keys(owner, amounts)
    return _locked(sorted({*own, *deltas})), deltas


def _keys(owner: Owner, amounts: Mapping[str, int]) -> list[Key]:
    return sorted((owner.user_id, token_id, quota) for token_id in owner.keys for quota in amounts)


def _locked(keys: Iterable[Key]) -> dict[Key, tuple[int, int]]:
    """Lock these rows in order, and return the used amount and the reported state of each."""
    found = {}
    with connection.cursor() as cursor:
        for key in keys:
            cursor.execute(_LOCK, key)
            found[key] = cursor.fetchone()
    return found


def _check(
    owner: Owner,
    amounts: Mapping[str, int],
    held: Mapping[Key, tuple[int, int]],
    deltas: Mapping[Key, int],
) -> None:
    for key in _keys(owner, amounts):
        quota, amount = QUOTAS[key[2]], amounts[key[2]]
        used = held[key][0] + deltas.get(key, 0)
        limit = quota.limit(key[1])
        if limit is not None and used + amount > limit:
            raise QuotaExceeded(Use(quota, key[0], key[1], used, held[key][1]), owner.username, amount)


def _stored(key: Key, before: tuple[int, int], delta: int) -> Use:
    """Store the new amount and state."""
    used, told = max(0, before[0] + delta), before[1]
    use = Use(QUOTAS[key[2]], key[0], key[1], used, told)
    with connection.cursor() as cursor:
        cursor.execute(_STORE, (used, use.state, *key))
    return use


def _record(use: Use, username: str) -> None:
    said = {"quota": use.quota.name, "token": use.token_id or None, "used": use.used, "limit": use.limit}
    audit_signals.send("quota.reached", f"{username}/{use.quota.name}", after=said)


def _word(use: Use) -> str:
    return "used up" if use.state == REACHED else "nearly used up"


def _of(use: Use) -> str:
    return WHOSE[bool(use.token_id)]
