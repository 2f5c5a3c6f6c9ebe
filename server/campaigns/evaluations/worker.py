"""Computes evaluations that wait, one at a time in a process, in a background thread of their own.

A process holds a lease while it computes. After a kill, another one begins the evaluation again; its result is the same.
"""

import logging
import time
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db.models import Max, Min, Q, QuerySet

from server.campaigns.evaluation_table import Evaluation
from server.campaigns.evaluations import kept
from server.cells.canonical_json import fingerprint
from server.core.db.locks import transaction_for_writing
from server.core.errors import TailraceError
from server.core.json_codec import dumps_text

logger = logging.getLogger(__name__)

LEASE = timedelta(seconds=120)
EVERY = 1.0
SAVE_EVERY = 1.0
"""Seconds between two notes of the progress."""


class _Lost(Exception):
    """Another process has taken the evaluation over, or its campaign was deleted."""


class _Last:
    """When this process last looked for evaluations."""

    looked = 0.0


def work_if_due() -> None:
    """Compute an evaluation that waits, if any. Looks every :data:`EVERY` seconds."""
    if time.monotonic() - _Last.looked >= EVERY:
        _Last.looked = time.monotonic()
        work_once()


def _waiting() -> QuerySet[Evaluation]:
    now = datetime.now(UTC)
    free = Q(leased_until=None) | Q(leased_until__lt=now) | Q(leased_until__gt=now + 2 * LEASE)
    return Evaluation.objects.filter(free, state__in=(Evaluation.WAITING, Evaluation.RUNNING))


def _in_turn() -> list[int]:
    """Return IDs of evaluations that wait: the oldest of each owner, those first whose owner's last one ended longest ago.

    So what one person asks for does not keep the others waiting.
    """
    first = dict(_waiting().order_by().values_list("campaign__owner_id").annotate(first=Min("pk")))
    if len(first) < 2:
        return sorted(first.values())
    last: dict[int | None, datetime | None] = dict(
        Evaluation.objects.filter(ended_at__isnull=False)
        .order_by()
        .values_list("campaign__owner_id")
        .annotate(last=Max("ended_at"))
    )
    running = set(
        Evaluation.objects.filter(state=Evaluation.RUNNING, leased_until__gt=datetime.now(UTC)).values_list(
            "campaign__owner_id", flat=True
        )
    )
    never = datetime.min.replace(tzinfo=UTC)
    return [
        pk for owner, pk in sorted(
            first.items(), key=lambda one: (one[0] in running, last.get(one[0]) or never, one[1])
        )
    ]  # fmt: skip


def work_once() -> bool:
    """Compute an evaluation that waits. Return False if none does."""
    for pk in _in_turn():
        lease = datetime.now(UTC) + LEASE
        if _waiting().filter(pk=pk).update(leased_until=lease, state=Evaluation.RUNNING, progress=0.0):
            _compute(Evaluation.objects.select_related("campaign").get(pk=pk), lease)
            return True
    return False


def _compute(evaluation: Evaluation, lease: datetime) -> None:
    held = _Held(evaluation, lease)
    try:
        made_from = kept.now(evaluation)
        result = kept.compute(evaluation, made_from, held.note)
        held.end(
            state=Evaluation.DONE, progress=1.0, result=result, fingerprint=fingerprint(result),
            made_from=dumps_text(made_from),
        )  # fmt: skip
    except _Lost:
        pass
    except TailraceError as exc:
        held.end(state=Evaluation.FAILED, reason=exc.message)
    except Exception as exc:
        logger.exception("evaluation %s failed", evaluation)
        held.end(state=Evaluation.FAILED, reason=f"an error of the server: {type(exc).__name__}; its log says more")


class _Held:
    """An evaluation that this process computes."""

    def __init__(self, evaluation: Evaluation, lease: datetime) -> None:
        self._pk, self._lease, self._noted = evaluation.pk, lease, time.monotonic()

    def note(self, progress: float) -> None:
        """Note the progress, and hold the lease for longer."""
        if time.monotonic() - self._noted >= SAVE_EVERY:
            self._noted = time.monotonic()
            lease = datetime.now(UTC) + LEASE
            if not self._own().update(progress=progress, leased_until=lease):
                raise _Lost
            self._lease = lease

    def end(self, **fields: Any) -> None:
        with transaction_for_writing():
            self._own().update(leased_until=None, ended_at=datetime.now(UTC), **fields)

    def _own(self) -> QuerySet[Evaluation]:
        return Evaluation.objects.filter(pk=self._pk, leased_until=self._lease)
