"""Storage of predictions until their labels arrive. Predictions of several requests share a commit."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import IntegrityError, connection
from orjson import JSONEncodeError

from server.core.db import locks
from server.core.errors import Invalid
from server.core.json_codec import dumps_text
from server.core.validation import check_size
from server.learning import quota_counts
from server.learning.concurrency.combiner import BYTES_PER_POINT, Combiner, held_lock
from server.learning.fold.estimator_errors import FATAL
from server.learning.write_path import shared_commits
from server.streams.quotas.limits import Owner

MAX_GROUP_SIZE = 500

_COLUMNS = "identifier, model_id, stream_id, of_model, x, prediction, at, made_at, expires_at, owner_id, token_id, xid"
_ONE = "(%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, {})"
_INSERT = f"INSERT INTO learning_prediction ({_COLUMNS}) VALUES {{}} ON CONFLICT DO NOTHING"
# The transaction's number orders events; on SQLite, which has one writer, the last batch before it does.
_ON_SQLITE = _INSERT.format(_ONE.format("(SELECT COALESCE(MAX(id), 0) FROM streams_batch)")).replace("%s", "?")
_ON_POSTGRESQL = _ONE.format("pg_current_xact_id()::text::bigint")


@dataclass(eq=False)
class PredictionToStore:
    """A prediction to store, unless its identifier is in use."""

    row: tuple[Any, ...]
    owner: Owner | None
    bytes: int
    """Bytes that it counts for in its owner's quota."""
    is_new: bool = False
    error: BaseException | None = None
    done: bool = False
    cancelled: bool = False
    requests: int = 0
    """Learn requests in it: none."""
    observations: int = 0
    wakeup: Any = field(default_factory=held_lock)
    _is_paid: bool = False
    """Whether its bytes were taken from the process's reserve."""
    _charges: bool = False
    """Whether a block was charged to the quota for it."""
    _left: int = 0
    """Bytes left of the block that was charged for it."""

    def __post_init__(self) -> None:
        self._is_paid = self.owner is None or quota_counts.PREDICTIONS.take(self.owner, self.bytes)

    @property
    def size(self) -> int:
        return 1 + (len(self.row[4]) + len(self.row[5])) // BYTES_PER_POINT

    @property
    def key(self) -> tuple[int, str]:
        """Its stream and its identifier, which are unique within a group."""
        return self.row[2], self.row[0]

    def store(self, *, last: bool) -> None:
        """Store it on SQLite."""
        with connection.wrap_database_errors:  # Django's cursor costs as much as what it does
            self.is_new = bool(connection.connection.execute(_ON_SQLITE, self.row).rowcount)
        self.charge()

    def charge(self) -> None:
        """Charge its bytes to its owner's quota, within the transaction that stores it.

        Raises
        ------
        QuotaExceeded
            If its owner's quota for kept predictions is used up.
        """
        self._left = 0  # a commit that failed charged nothing
        if not self.is_new or self._is_paid or self.owner is None:
            return
        # From a block that another request charged meanwhile. Bytes taken from the reserve stay taken if this is repeated.
        self._is_paid = quota_counts.PREDICTIONS.take(self.owner, self.bytes)
        if not self._is_paid:
            self._charges = True
            charged, self._left = quota_counts.PREDICTIONS.charge(self.owner, self.bytes)
            charged.report()

    def on_commit(self) -> None:
        """Do nothing: kept predictions have no metrics."""

    def cancel(self) -> bool:
        """Return False: it can't be cancelled."""
        return False

    def settle(self) -> None:
        """Return unneeded bytes to the reserve. Bytes for a commit whose outcome is unknown stay taken."""
        if self.owner is None:
            return
        if self.error is None:
            back = self.bytes if self._is_paid and not self.is_new else self._left
        else:
            back = self.bytes if self._is_paid and isinstance(self.error, IntegrityError) else 0
        if back or self._charges:
            quota_counts.PREDICTIONS.put_back(self.owner, back)


def keep(
    *,
    identifier: str | None,
    model_id: int,
    stream_id: int,
    of_model: bool,
    x: dict[str, Any],
    prediction: Any,
    at: int,
    owner: Owner | None,
) -> tuple[str, bool]:
    """Store a prediction with its features until its label arrives.

    Parameters
    ----------
    identifier
        Its identifier; None to make a new one.
    of_model
        Whether the identifier is unique within its model only; else within its stream.
    at
        The last observation that the model had learned.
    owner
        The owner whose quota it counts for; None for no quota.

    Returns
    -------
    tuple
        The identifier, and whether the prediction was stored. If not, another prediction has the identifier.

    Raises
    ------
    Invalid
        If JSON can't represent the prediction.
    TooLarge
        If the features are too large.
    IntegrityError
        If the model was deleted.
    QuotaExceeded
        If the owner's quota for kept predictions is used up.
    Unavailable
        If the database can't be reached or can't store.
    """
    own = identifier or str(uuid.uuid4())
    try:
        x_text, prediction_text = dumps_text(x), dumps_text(prediction)
    except JSONEncodeError as exc:
        raise Invalid(f"the model's prediction can't be kept: {exc}", field="identifier", code="refused") from exc
    check_size(x_text, "x")
    now = datetime.now(UTC)
    row = (
        own, model_id, stream_id, of_model, x_text, prediction_text, at, *_stored(now),
        *((None, None) if owner is None else (owner.user_id, owner.token_id or None)),
    )  # fmt: skip
    kept = PredictionToStore(
        row, owner, 0 if owner is None else quota_counts.prediction_bytes(own, x_text, prediction_text)
    )
    try:
        if locks.is_sqlite():
            shared_commits.submit(kept)
        else:
            _on_postgresql.submit(kept)
            if kept.error is not None:
                raise kept.error
    except BaseException as exc:
        kept.error = exc
        raise
    finally:
        kept.settle()
    return own, kept.is_new


def _stored(now: datetime) -> tuple[Any, Any]:
    """Return the times when a prediction is made and when it expires, as parameters of a query."""
    expires = now + timedelta(days=settings.TAILRACE.identifier_days)
    return (now.isoformat(" "), expires.isoformat(" ")) if locks.is_sqlite() else (now, expires)


def _store_group(group: list[PredictionToStore]) -> list[PredictionToStore]:
    """Store predictions of several requests on PostgreSQL in one transaction, or each in its own if that fails."""
    some = list({kept.key: kept for kept in reversed(group)}.values())
    some.sort(key=lambda kept: kept.key)  # so that two processes with the same identifiers don't deadlock
    try:
        with locks.transaction_for_writing():
            _insert(some)
            for kept in sorted(some, key=_owner_key):  # usage is locked in this order everywhere
                kept.charge()
    except BaseException as exc:
        if len(some) > 1 and not isinstance(exc, FATAL):
            for kept in some:
                _store_group([kept])
        else:
            for kept in some:
                kept.error, kept.done = exc, True
            if isinstance(exc, FATAL):
                raise
    else:
        for kept in some:
            kept.done = True
    return [kept for kept in group if not kept.done]


def _owner_key(kept: PredictionToStore) -> tuple[int, int]:
    return (0, 0) if kept.owner is None else (kept.owner.user_id, kept.owner.token_id or 0)


def _insert(group: Sequence[PredictionToStore]) -> None:
    sql = _INSERT.format(", ".join([_ON_POSTGRESQL] * len(group))) + " RETURNING stream_id, identifier"
    with connection.cursor() as cursor:
        cursor.execute(sql, [value for kept in group for value in kept.row])
        new = set(cursor.fetchall())
    for kept in group:
        kept.is_new = kept.key in new


_on_postgresql: Combiner[PredictionToStore] = Combiner(_store_group, MAX_GROUP_SIZE)


def delete_expired(now: datetime) -> int:
    """Delete kept predictions some time after they expired, so that a late label still gets the right error.

    The time is ``TAILRACE_IDENTIFIER_DAYS``, as for the expiry itself. Return how many were deleted.
    """
    last = now - timedelta(days=settings.TAILRACE.identifier_days)
    return quota_counts.delete_predictions_in_turns("expires_at < %s ORDER BY expires_at, id", _as_parameter(last))


def _as_parameter(moment: datetime) -> Any:
    """Return a time as a parameter of a query."""
    return connection.ops.adapt_datetimefield_value(moment)
