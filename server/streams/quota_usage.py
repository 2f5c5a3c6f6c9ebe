"""What is used of each quota, counted in the transaction in which something is made or deleted.

A row of :class:`server.streams.models.Usage` counts for one user or token and one quota. It stays locked to the end of the
transaction, so that however many make something at once, in however many processes, none gets past the limit; and looking
costs the same whether somebody has ten things or a million.

Every transaction takes its locks in the same order, or two could wait for each other: the stream, the rows that it makes or
deletes, usage (by user, token and quota), the audit trail.
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

from server.streams import changes, instruments
from server.streams.locks import transaction_for_writing
from server.streams.models import Usage
from server.streams.quotas import NEAR, NEAR_SHARE, OK, QUOTAS, REACHED, STATES, Owner, Quota, QuotaExceeded, Use

logger = logging.getLogger(__name__)

WHOSE = ("user", "token")
FEW = 500
"""Users up to whom a query names each."""

Key = tuple[int, int, str]
"""User, token (0: the user) and quota."""

for _quota in QUOTAS:  # so that the first refusal is seen to come
    for _whose in WHOSE:
        instruments.quota_refusals.of(_quota, _whose)

_LOCK = (
    "INSERT INTO streams_usage (user_id, token_id, quota, used, told) VALUES (%s, %s, %s, 0, 0)"
    " ON CONFLICT (user_id, token_id, quota) DO UPDATE SET used = streams_usage.used RETURNING used, told"
)
_STORE = "UPDATE streams_usage SET used = %s, told = %s WHERE user_id = %s AND token_id = %s AND quota = %s"


class Freed(NamedTuple):
    """What is deleted of somebody's. ``user_id`` None: of nobody's, which counted nowhere."""

    user_id: int | None
    token_id: int | None
    quota: str
    amount: int


@dataclass
class Charged:
    """What was charged, and which quotas came near their limits by it."""

    username: str = ""
    grown: list[Use] = field(default_factory=list)
    """Those that came to a state, near or reached, that was not told of yet."""

    def tell(self) -> None:
        """Tell of it in the log, and of quotas that are used up in the audit trail: at the end of the transaction."""
        for use in self.grown:
            logger.warning("quota %s is %s: %s", use.quota.name, _word(use), use.sentence(self.username))
            if use.state == REACHED:
                _record(use, self.username)
        self.grown = []


def check(owner: Owner | None, amounts: Mapping[str, int], freed: Iterable[Freed] = ()) -> None:
    """Hold the owner's quotas until the end of the transaction, and refuse what would be too much. Nothing is counted yet.

    Outside of a transaction nothing can be held, and nothing is refused: :func:`charge` is what refuses then.

    Parameters
    ----------
    owner, amounts, freed
        As :func:`charge` will be called: then it refuses nothing.

    Raises
    ------
    QuotaExceeded
        If there is no room for so much.
    """
    if owner is not None and connection.in_atomic_block:
        _check(owner, amounts, *_held(owner, amounts, freed))


def charge(owner: Owner | None, amounts: Mapping[str, int], freed: Iterable[Freed] = ()) -> Charged:
    """Count what is made, and no longer count what it takes the place of, in the transaction of both.

    Parameters
    ----------
    owner
        Whom it counts for; None for nobody.
    amounts
        Quota to things or bytes.
    freed
        What is deleted in the same transaction.

    Raises
    ------
    QuotaExceeded
        If there is no room for so much: nothing was counted.
    """
    own = [] if owner is None else _keys(owner, amounts)
    held, deltas = _held(owner, amounts, freed)
    if owner is not None:
        _check(owner, amounts, held, deltas)
        for key in own:
            deltas[key] += amounts[key[2]]
    charged = Charged("" if owner is None else owner.username)
    for key, delta in deltas.items():
        use = _stored(key, held[key], delta)
        if owner is not None and key in own and use.state != OK:
            owner.warnings.append(use)
            if use.state > held[key][1]:
                charged.grown.append(use)
    return charged


def release(freed: Iterable[Freed]) -> None:
    """No longer count what is deleted, in its transaction."""
    charge(None, {}, freed)


def note_refusal(error: QuotaExceeded) -> None:
    """Count a refusal, and tell of it the first time: after the transaction that it undid.

    Raises
    ------
    Unavailable
        If the database can't store that.
    """
    use = error.use
    instruments.quota_refusals.of(use.quota.name, _of(use)).add()
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
    """What each of these users uses of every quota, in one query."""
    chosen = {"user_id__in": user_ids} if len(user_ids) <= FEW else {}
    rows = {(row.user_id, row.quota): row for row in Usage.objects.filter(token_id=0, **chosen)}
    return {
        user_id: [_use(user_id, 0, quota, rows.get((user_id, quota.name))) for quota in QUOTAS.values()]
        for user_id in user_ids
    }


def uses_of_token(user_id: int, token_id: int) -> list[Use]:
    """What a token uses of every quota; nothing where tokens may use as much as their user."""
    if settings.TAILRACE.quota_token_percent == 100:
        return []
    rows = {row.quota: row for row in Usage.objects.filter(user_id=user_id, token_id=token_id)}
    return [_use(user_id, token_id, quota, rows.get(quota.name)) for quota in QUOTAS.values()]


def tokens_near(user_id: int) -> list[Use]:
    """What tokens of a user use, where that is near a limit or has reached it."""
    if settings.TAILRACE.quota_token_percent == 100:
        return []
    rows = Usage.objects.filter(user_id=user_id, token_id__gt=0, told__gt=OK).order_by("token_id", "quota")
    return [use for row in rows if (use := _use(user_id, row.token_id, QUOTAS[row.quota], row)).state != OK]


def count_owners() -> dict[tuple[str, str, str], int]:
    """How many users and tokens are near each quota or have reached it: by quota, ``user`` or ``token``, and state.

    Whoever is far away isn't read.
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
    """The rows that a charge concerns, locked: what is used and told of each; and how much of each is freed, as a negative."""
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
    """Lock these rows, in their order, and read what is used and what was told."""
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
    """Count, and note the state if it is another: reached is forgotten only when the limit is far away again."""
    used, told = max(0, before[0] + delta), before[1]
    use = Use(QUOTAS[key[2]], key[0], key[1], used, told)
    with connection.cursor() as cursor:
        cursor.execute(_STORE, (used, use.state, *key))
    return use


def _record(use: Use, username: str) -> None:
    said = {"quota": use.quota.name, "token": use.token_id or None, "used": use.used, "limit": use.limit}
    changes.tell("quota.reached", f"{username}/{use.quota.name}", after=said)


def _word(use: Use) -> str:
    return "used up" if use.state == REACHED else "nearly used up"


def _of(use: Use) -> str:
    return WHOSE[bool(use.token_id)]
