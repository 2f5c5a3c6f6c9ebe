"""Verifications that people ask for on a page: one at a time in each process, in a thread of its own, with progress."""

import logging
import threading
import time
from datetime import UTC, datetime, timedelta

from django.db import close_old_connections, connection
from django.db.models import Q, QuerySet

from server.core.db.locks import transaction_for_writing
from server.core.errors import Conflict, TailraceError
from server.learning.fold import architecture
from server.learning.fold.estimator_errors import reason
from server.learning.models import Model, Verification
from server.learning.records.columns import Unreadable
from server.learning.verification import Differs, verify

logger = logging.getLogger(__name__)

LEASE = timedelta(seconds=60)
PAUSE = 2.0
"""Seconds between two looks for verifications that nobody works on."""

SPACING = 0.5
"""Least seconds between two updates of the progress."""

MOST_WAITING = 100


class _Taken(Exception):
    """Another process works on it, or it was deleted."""


class _State:
    """When verifications were last looked for, and the thread that works on one."""

    looked = 0.0
    thread: threading.Thread | None = None


def ask(model: Model, by: str) -> Verification:
    """Ask for a verification. One that waits or runs already goes on.

    Raises
    ------
    Conflict
        If the model is not ready, this machine computes otherwise than the database's models, or too many wait.
    """
    if model.status not in (Model.READY, Model.REBUILDING):
        raise Conflict(f"model {model.name} is {model.status}: it can be verified when it is ready", code="not_ready")
    if (why := architecture.problem()) is not None:
        raise Conflict(why)
    unfinished = (Verification.WAITING, Verification.RUNNING)
    with transaction_for_writing():
        present = Verification.objects.filter(model=model, status__in=unfinished).first()
        if present is not None:
            return present
        if Verification.objects.filter(status__in=unfinished).count() >= MOST_WAITING:
            raise Conflict(f"{MOST_WAITING} verifications wait already: try again later", code="busy")
        fresh = {
            "status": Verification.WAITING,
            "n": 0,
            "upto": model.stream.head,
            "result": "",
            "asked_by": by,
            "asked_at": datetime.now(UTC),
            "ended_at": None,
            "leased_until": None,
        }
        found, _ = Verification.objects.update_or_create(model=model, defaults=fresh)
    return found


def start_waiting() -> None:
    """Begin with a verification that nobody works on, if this process works on none."""
    if time.monotonic() - _State.looked < PAUSE or (_State.thread is not None and _State.thread.is_alive()):
        return
    _State.looked = time.monotonic()
    leased = _lease()
    if leased is not None:
        _State.thread = threading.Thread(target=_work, args=leased, name="verification", daemon=True)
        _State.thread.start()


def _lease() -> tuple[int, datetime] | None:
    """Lease the one that waits longest. Return its model and the end of the lease, by which :func:`run` knows it again."""
    now = datetime.now(UTC)
    # A lease that ends later than any lease lasts was taken before a clock was set back.
    ended = Q(leased_until__lt=now) | Q(leased_until__gt=now + 2 * LEASE)
    free = Q(status=Verification.WAITING) | Q(status=Verification.RUNNING) & ended
    pk = Verification.objects.filter(free).order_by("asked_at").values_list("pk", flat=True).first()
    if pk is None:
        return None
    until = now + LEASE
    taken = Verification.objects.filter(free, pk=pk).update(status=Verification.RUNNING, n=0, leased_until=until)
    return (pk, until) if taken else None


def _work(pk: int, until: datetime) -> None:
    try:
        run(pk, until)
    except Exception:
        logger.exception("a verification failed, and is begun again when its lease ends")
    finally:
        close_old_connections()
        connection.close()


def run(pk: int, until: datetime) -> None:
    """Work on a leased verification to its end, or until another process has taken it because the lease ended."""
    model = Model.objects.select_related("stream").get(pk=pk)
    updated = time.monotonic()

    def mine() -> "QuerySet[Verification]":
        return Verification.objects.filter(pk=pk, status=Verification.RUNNING, leased_until=until)

    def progress(n: int) -> None:
        nonlocal updated, until
        time.sleep(0)  # requests run meanwhile
        if time.monotonic() - updated < SPACING:
            return
        updated = time.monotonic()
        longer = datetime.now(UTC) + LEASE
        if not mine().update(n=n, leased_until=longer):
            raise _Taken
        until = longer

    try:
        found = verify(model, progress)
        status = Verification.SAME
        result = (
            f"{found['observations']:,} observations were replayed; {found['predictions']:,} logged predictions, "
            f"{found['rows']:,} rows of the record and {found['metrics']} metrics are the same bit for bit."
        )
    except Differs as exc:
        status, result = Verification.DIFFERS, f"It differs at {exc}"
    except _Taken:
        return
    except (TailraceError, Unreadable) as exc:
        status, result = Verification.FAILED, f"It can't be verified: {exc}"
    except Exception as exc:
        logger.exception("the verification of model %s failed", model.name)
        status, result = Verification.FAILED, f"It can't be verified: {reason(exc)}"
    mine().update(status=status, result=result, n=model.stream.head, ended_at=datetime.now(UTC), leased_until=None)
