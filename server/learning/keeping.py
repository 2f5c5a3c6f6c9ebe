"""Predictions that are kept until their labels come: those of several requests share a commit."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import IntegrityError, connection
from orjson import JSONEncodeError

from server.learning import commits, usage
from server.learning.combining import PAGE, Combiner, held
from server.learning.replica import FATAL
from server.streams import locks
from server.streams.codec import text
from server.streams.errors import Invalid
from server.streams.quotas import Owner
from server.streams.validation import check_size

MOST_IN_GROUP = 500

_COLUMNS = "identifier, model_id, stream_id, of_model, x, prediction, at, made_at, expires_at, owner_id, token_id, xid"
_ONE = "(%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, {})"
_INSERT = f"INSERT INTO learning_prediction ({_COLUMNS}) VALUES {{}} ON CONFLICT DO NOTHING"
# The transaction's number orders events; on SQLite, which has one writer, the last batch before it does.
_ON_SQLITE = _INSERT.format(_ONE.format("(SELECT COALESCE(MAX(id), 0) FROM streams_batch)")).replace("%s", "?")
_ON_POSTGRESQL = _ONE.format("pg_current_xact_id()::text::bigint")


@dataclass(eq=False)
class Kept:
    """A prediction that is to be stored, if nothing is stored under its identifier."""

    row: tuple[Any, ...]
    owner: Owner | None
    bytes: int
    """What it counts for in its owner's quota."""
    is_new: bool = False
    error: BaseException | None = None
    done: bool = False
    withdrawn: bool = False
    requests: int = 0
    """That learn."""
    observations: int = 0
    turn: Any = field(default_factory=held)
    _is_paid: bool = False
    """Whether its bytes are of what the process has in reserve."""
    _charges: bool = False
    """Whether the quota was asked for them."""
    _left: int = 0
    """Of a block that was charged for it."""

    def __post_init__(self) -> None:
        self._is_paid = self.owner is None or usage.PREDICTIONS.take(self.owner, self.bytes)

    @property
    def size(self) -> int:
        return 1 + (len(self.row[4]) + len(self.row[5])) // PAGE

    @property
    def key(self) -> tuple[int, str]:
        """What no other of a group may have: its stream and its identifier."""
        return self.row[2], self.row[0]

    def store(self, *, last: bool) -> None:
        """Store it on SQLite."""
        with connection.wrap_database_errors:  # Django's cursor costs as much as what it does
            self.is_new = bool(connection.connection.execute(_ON_SQLITE, self.row).rowcount)
        self.charge()

    def charge(self) -> None:
        """Count it, within the transaction that stores it.

        Raises
        ------
        QuotaExceeded
            If its owner's kept predictions take as much as they may.
        """
        self._left = 0  # a commit that failed charged nothing
        if not self.is_new or self._is_paid or self.owner is None:
            return
        # Of a block that another request charged while this one waited; what is taken once stays taken in another try.
        self._is_paid = usage.PREDICTIONS.take(self.owner, self.bytes)
        if not self._is_paid:
            self._charges = True
            charged, self._left = usage.PREDICTIONS.charge(self.owner, self.bytes)
            charged.tell()

    def committed(self) -> None:
        """It is stored, or was before."""

    def withdraw(self) -> bool:
        """It is committed whoever waits for it."""
        return False

    def settle(self) -> None:
        """Put back what isn't needed of the reserve. What was taken for a commit whose outcome is unknown stays taken."""
        if self.owner is None:
            return
        if self.error is None:
            back = self.bytes if self._is_paid and not self.is_new else self._left
        else:
            back = self.bytes if self._is_paid and isinstance(self.error, IntegrityError) else 0
        if back or self._charges:
            usage.PREDICTIONS.put_back(self.owner, back)


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
        Its identifier; None for a new one.
    of_model
        Whether the identifier is its model's alone; else it is its stream's.
    at
        The last observation that the model had learned.
    owner
        Whose quota it counts for.

    Returns
    -------
    tuple
        The identifier, and whether it is stored now; if not, another prediction has that identifier.

    Raises
    ------
    Invalid
        If the prediction has no form in JSON.
    TooLarge
        If the features take more room than they may.
    IntegrityError
        If the model was deleted.
    QuotaExceeded
        If the owner's kept predictions take as much as they may.
    Unavailable
        If the database can't be reached or can't store.
    """
    own = identifier or str(uuid.uuid4())
    try:
        x_text, prediction_text = text(x), text(prediction)
    except JSONEncodeError as exc:
        raise Invalid(f"the model's prediction can't be kept: {exc}", field="identifier", code="refused") from exc
    check_size(x_text, "x")
    now = datetime.now(UTC)
    row = (
        own, model_id, stream_id, of_model, x_text, prediction_text, at, *_stored(now),
        *((None, None) if owner is None else (owner.user_id, owner.token_id or None)),
    )  # fmt: skip
    kept = Kept(row, owner, 0 if owner is None else usage.prediction_bytes(own, x_text, prediction_text))
    try:
        if locks.is_sqlite():
            commits.submit(kept)
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
    """When a prediction is made and when it expires, as the database takes them."""
    expires = now + timedelta(days=settings.TAILRACE.identifier_days)
    return (now.isoformat(" "), expires.isoformat(" ")) if locks.is_sqlite() else (now, expires)


def _keep_together(group: list[Kept]) -> list[Kept]:
    """PostgreSQL: store those of several requests in one transaction, or each in its own if that fails."""
    some = list({kept.key: kept for kept in reversed(group)}.values())
    some.sort(key=lambda kept: kept.key)  # so that two processes with the same identifiers don't wait for each other
    try:
        with locks.transaction_for_writing():
            _insert(some)
            for kept in sorted(some, key=_whose):  # usage is locked in this order everywhere
                kept.charge()
    except BaseException as exc:
        if len(some) > 1 and not isinstance(exc, FATAL):
            for kept in some:
                _keep_together([kept])
        else:
            for kept in some:
                kept.error, kept.done = exc, True
            if isinstance(exc, FATAL):
                raise
    else:
        for kept in some:
            kept.done = True
    return [kept for kept in group if not kept.done]


def _whose(kept: Kept) -> tuple[int, int]:
    return (0, 0) if kept.owner is None else (kept.owner.user_id, kept.owner.token_id or 0)


def _insert(group: Sequence[Kept]) -> None:
    sql = _INSERT.format(", ".join([_ON_POSTGRESQL] * len(group))) + " RETURNING stream_id, identifier"
    with connection.cursor() as cursor:
        cursor.execute(sql, [value for kept in group for value in kept.row])
        new = set(cursor.fetchall())
    for kept in group:
        kept.is_new = kept.key in new


_on_postgresql: Combiner[Kept] = Combiner(_keep_together, MOST_IN_GROUP)
