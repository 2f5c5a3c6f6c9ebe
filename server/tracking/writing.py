"""Writes to one run. Each holds the run's row, so that writers of one run take turns and those of different runs do not."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from django.db import connection

from server.core.db.locks import is_sqlite, transaction_for_writing
from server.core.errors import Conflict, NotFound
from server.core.validation import format_value
from server.streams.quotas.limits import Owner
from server.tracking import checks, feed_queue, statements
from server.tracking.clock import now_ms
from server.tracking.models import Run
from server.tracking.models.names import DELETED
from server.tracking.run_quotas import Ledger
from server.tracking.statements import Point

HEARD_EVERY_MS = 10_000
"""How exactly ``Run.heard_ms`` is kept, so that not every write changes the run's row."""

_SELECT = (
    "SELECT id, uid, experiment_id, owner_id, lifecycle, status, summarized, heard_ms, token_id, created_by"
    " FROM tracking_run WHERE uid = %s"
)


class LockedRun(NamedTuple):
    """A run whose row this transaction holds."""

    pk: int
    uid: str
    experiment_id: int
    owner_id: int | None
    lifecycle: str
    status: str
    summarized: bool
    heard_ms: int
    ledger: Ledger

    @property
    def name(self) -> str:
        """What messages call it."""
        return self.uid


@contextlib.contextmanager
def locked(uid: Any, *, may_be_deleted: bool = False) -> Iterator[LockedRun]:
    """Hold a run's row in a transaction. At the end of the block, lists and feeds know that the run has changed.

    Raises
    ------
    NotFound
        If there is no such run.
    Conflict
        If it is deleted, and may not be.
    """
    run, is_stored = None, False
    try:
        with transaction_for_writing():
            run = _locked(uid)
            if run.lifecycle == DELETED and not may_be_deleted:
                raise Conflict(f"run {run.uid} is deleted: restore it first", field="run", code="deleted")
            yield run
            _mark(run)
            if run.status == Run.FINISHED:
                feed_queue.again(run.pk)
            run.ledger.report()
        is_stored = True
    finally:
        if run is not None:
            run.ledger.close(stored=is_stored)


def _locked(uid: Any) -> LockedRun:
    row = None
    if isinstance(uid, str) and checks.UID.match(uid):
        with connection.cursor() as cursor:
            cursor.execute(_SELECT if is_sqlite() else f"{_SELECT} FOR NO KEY UPDATE", (uid,))
            row = cursor.fetchone()
    if row is None:
        raise NotFound(f"no run {format_value(uid)}", field="run")
    pk, found, experiment, owner_id, lifecycle, status, summarized, heard_ms, token_id, created_by = row
    owner = None if owner_id is None else Owner(owner_id, created_by, token_id or 0)
    return LockedRun(pk, found, experiment, owner_id, lifecycle, status, summarized, heard_ms, Ledger(owner))


def _mark(run: LockedRun) -> None:
    now = now_ms()
    if run.summarized or not 0 <= now - run.heard_ms < HEARD_EVERY_MS:
        with connection.cursor() as cursor:
            cursor.execute("UPDATE tracking_run SET summarized = %s, heard_ms = %s WHERE id = %s", (False, now, run.pk))


def log_metrics(run: LockedRun, points: Sequence[Point]) -> None:
    """Store points of metrics. What is there already stays as it is.

    Raises
    ------
    QuotaExceeded
        If the quota of the run's owner is used up.
    """
    if points:
        run.ledger.add(statements.write_points(run.pk, points))


def log_params(run: LockedRun, params: Mapping[str, str]) -> None:
    """Store params.

    Raises
    ------
    Conflict
        If the run has one of them with another value. None is stored then.
    """
    if not params:
        return
    held = statements.read_params(run.pk, params)
    for key, value in params.items():
        if held.get(key, value) != value:
            raise Conflict(
                f"param {format_value(key)} of run {run.uid} is {format_value(held[key])} already: it can't become "
                f"{format_value(value)}; use a tag for what changes",
                field=f"params.{key}"[:200],
                code="changed_param",
            )
    new = {key: value for key, value in params.items() if key not in held}
    statements.write_params(run.pk, new)


def log_tags(run: LockedRun, tags: Mapping[str, str]) -> None:
    """Store tags, in place of earlier ones of the same keys."""
    if tags:
        statements.write_tags(run.pk, dict(tags))


def delete_tag(run: LockedRun, key: str) -> bool:
    """Delete a tag. Return False if there is none."""
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM tracking_runtag WHERE run_id = %s AND key = %s", (run.pk, key))
        return cursor.rowcount > 0


def log(
    uid: Any,
    *,
    metrics: Sequence[Point] = (),
    params: Mapping[str, str] | None = None,
    tags: Mapping[str, str] | None = None,
) -> None:
    """Store metrics, params and tags of a run, all or none. They have been checked (:mod:`server.tracking.checks`).

    Raises
    ------
    NotFound
        If there is no such run.
    Conflict
        If it is deleted, or has one of the params with another value.
    """
    with locked(uid) as run:
        log_params(run, params or {})
        log_metrics(run, metrics)
        log_tags(run, tags or {})
