"""Background work: continues the records of all models, each leased by one process.

It gives way to requests: while this process is asked anything, it works a small part of the time only.
"""

import logging
import time
import uuid
from collections import OrderedDict
from datetime import UTC, datetime

from django.conf import settings
from django.db import DatabaseError, InterfaceError
from django.db.models import F, Q

from server.core.db.locks import transaction_for_writing
from server.core.errors import Gone, Unavailable
from server.learning.background import liveness_marks
from server.learning.fold.estimator_errors import FATAL
from server.learning.fold.replica_set import SETS
from server.learning.models import Model, Record
from server.learning.records import storing
from server.learning.records.columns import Columns, joined
from server.learning.records.recorder import Recorder
from server.learning.records.storing import LEASE

logger = logging.getLogger(__name__)

PAUSE = 1.0
"""Least seconds between two looks for observations that are not recorded."""

TURN, LONGEST_TURN = 2.0, 10.0
"""Most seconds of work for one model before the next has its turn, and most seconds with the pauses between."""

MOST_BLOCKS = 16
"""Most full blocks of one turn."""

SHARE_WHEN_BUSY = 1 / 40
"""Part of the process's CPU time that it takes while requests come."""

LONGEST_PAUSE, STEP = 15.0, 0.1
"""Most seconds of one pause for requests, and between two looks whether it may end."""

BUSY = 0.25
"""Seconds since the last request for which a process counts as busy."""

AT_ONCE = 50
"""Most models in one transaction."""

MOST_FOLDING, MOST_KNOWN = 8, 64
"""Most recorders in memory with a replica of their own, and altogether."""

MOST_BYTES = 64 * 2**20
"""Stored size from which a recorder's replica isn't kept in memory between two turns."""

FAILED_PAUSE = 60.0
"""Seconds until a record that failed is tried again."""

RECORDED = (Model.READY, Model.REBUILDING)
"""Statuses of models whose records are continued."""

_holder = uuid.uuid4().hex
_known: "OrderedDict[int, tuple[Recorder, Columns | None]]" = OrderedDict()
"""By model: its recorder, and the columns of its unfinished block."""

_failed: dict[int, float] = {}


class _Looked:
    """When the next look is due, and whether the last one left nothing to record."""

    at = 0.0
    is_complete = True


class _Taken(Exception):
    """Another process continues the record."""


def keep_records() -> None:
    """Record what is not recorded yet, if it is time to look."""
    if time.monotonic() < _Looked.at or not settings.TAILRACE.records:
        return
    began = time.thread_time()
    _Looked.is_complete = True
    record_due()
    # Where there are many models, a look takes long, and the next comes later.
    pause = max(PAUSE, 4 * (time.thread_time() - began)) if _Looked.is_complete else 0
    _Looked.at = time.monotonic() + pause


def record_due() -> int:
    """Give each model whose record is behind a turn. Return how many observations were recorded."""
    recorded = 0
    waiting: list[storing.Part] = []
    for pk in _due():
        liveness_marks.mark_alive()
        # A model that came into quarantine meanwhile skips observations that its log does not show as skipped yet.
        model = Model.objects.select_related("stream", "record").filter(pk=pk, status__in=RECORDED).first()
        part = None if model is None else _turn(model)
        if part is not None:
            waiting.append(part)
            recorded += len(part.more)
        if len(waiting) >= AT_ONCE or (part is not None and len(part.more) > storing.BLOCK):
            _store(waiting)
            waiting = []
    if waiting:
        _store(waiting)
    return recorded


def _due() -> list[int]:
    now = datetime.now(UTC)
    late = time.monotonic() - FAILED_PAUSE
    for pk in [pk for pk, at in _failed.items() if at < late]:
        del _failed[pk]
    behind = Q(record=None) | Q(record__upto__lt=F("stream__head")) | ~Q(record__generation=F("generation"))
    free = Q(record=None) | _free(now, "record__")
    live = Model.objects.filter(status__in=RECORDED, stream__head__gt=F("since"))
    found = live.filter(behind, free).exclude(pk__in=list(_failed))
    return list(found.order_by("pk").values_list("pk", flat=True))


def _free(now: datetime, prefix: str = "") -> Q:
    """Return the condition that this process may continue a record."""
    found = Q(**{f"{prefix}holder": _holder}) | Q(**{f"{prefix}leased_until": None})
    # A lease from the future is of a clock that was wrong.
    return found | Q(**{f"{prefix}leased_until__lt": now}) | Q(**{f"{prefix}leased_until__gt": now + 2 * LEASE})


def _turn(model: Model) -> storing.Part | None:
    """Record some observations of one model in memory. Return them, if any."""
    try:
        recorder, before = _leased(model)
        parts: list[Columns] = []
        worked, most, began_turn = 0.0, TURN, time.monotonic()
        work = _Work()
        chunks = recorder.columns(model.stream.head)
        while (
            worked < most
            and time.monotonic() - began_turn < LONGEST_TURN
            and sum(map(len, parts)) < MOST_BLOCKS * storing.BLOCK
        ):
            more = next(chunks, None)
            if more is None:
                break
            seconds = work.end()
            if not parts:  # it may have folded the log up to here, which must not be most of the work
                most = max(TURN, 2 * seconds)
            parts.append(more)
            worked += seconds
    except (DatabaseError, InterfaceError, Unavailable, *FATAL):
        raise
    except (Gone, _Taken):
        _known.pop(model.pk, None)
        return None
    except BaseException:  # a model's own failure: the others are recorded
        logger.exception("the record of model %s can't be continued: it is tried again in a minute", model.name)
        _known.pop(model.pk, None)
        _failed[model.pk] = time.monotonic()
        return None
    if not parts:
        return None
    _Looked.is_complete &= recorder.upto >= model.stream.head
    return storing.Part(model.pk, model.generation, before, joined(parts))


class _Work:
    """A piece of work: the CPU time that it takes, and a pause after it while requests come.

    The share is of the CPU time that the process gets, so that the work gives way on a busy machine, too.
    """

    def __init__(self) -> None:
        self._began = time.thread_time()

    def end(self) -> float:
        """Pause, and return the seconds of CPU time that the work took."""
        seconds = time.thread_time() - self._began
        liveness_marks.mark_alive()
        until, used = time.monotonic() + LONGEST_PAUSE, time.process_time() + seconds / SHARE_WHEN_BUSY
        while _is_busy() and time.monotonic() < until and time.process_time() < used:
            time.sleep(STEP)
            liveness_marks.mark_alive()
        self._began = time.thread_time()
        return seconds


def _is_busy() -> bool:
    now = time.monotonic()
    return any(not replicas.is_idle or now - replicas.used < BUSY for replicas in SETS.all())


def _store(parts: list[storing.Part]) -> None:
    work = _Work()
    for part, tail in zip(parts, storing.store(parts, _holder), strict=True):
        found = _known.get(part.model_id)
        if found is not None:
            _known[part.model_id] = (found[0], tail)
    _shrink()
    work.end()


def _shrink() -> None:
    """Keep the recorders in memory that were used last."""
    for pk in [pk for pk, (recorder, _) in _known.items() if recorder.size > MOST_BYTES]:
        del _known[pk]
    folding = [pk for pk, (recorder, _) in _known.items() if recorder.folds]
    for pk in folding[: max(0, len(folding) - MOST_FOLDING)]:
        del _known[pk]
    while len(_known) > MOST_KNOWN:
        _known.popitem(last=False)


def _leased(model: Model) -> tuple[Recorder, Columns | None]:
    """Lease a record, begin it or adapt it to the model's new generation, and return its recorder.

    Raises
    ------
    _Taken
        If another process continues it.
    """
    least = max(model.since, model.stream.whole_after)
    record = getattr(model, "record", None)
    now = datetime.now(UTC)
    found = _known.pop(model.pk, None)
    upto = least if record is None else record.upto
    if found is not None and _is_leased(record, model, now) and upto >= least and found[0].continues(model, upto):
        found[0].refresh(model)
    else:
        upto, before = _lease(model, least, now)
        if found is None or not found[0].continues(model, upto):
            has_learned = upto > least and storing.has_learned(model.pk, upto)
            found = Recorder(model, upto, has_learned or least > model.since, _Folding(model.pk)), before
        else:
            found[0].refresh(model)
    _known[model.pk] = found
    return found


def _is_leased(record: Record | None, model: Model, now: datetime) -> bool:
    """Return whether this process has a record's lease for another while."""
    return (
        record is not None
        and record.holder == _holder
        and record.generation == model.generation
        and record.leased_until is not None
        and now + LEASE / 2 < record.leased_until < now + 2 * LEASE
    )


def _lease(model: Model, least: int, now: datetime) -> tuple[int, Columns | None]:
    """Lease a record. Return the last recorded observation, and the columns of the block that is to be continued."""
    with transaction_for_writing():
        made = {"generation": model.generation, "retraction": model.retraction, "upto": model.since}
        Record.objects.get_or_create(model=model, defaults=made)
        record = Record.objects.select_for_update().filter(_free(now), model=model).first()
        if record is None:
            raise _Taken
        upto = record.upto
        if record.generation != model.generation:
            upto = storing.kept_after_cut(model, record, storing.same_upto(model, record))
        upto, before = storing.tail(model.pk, max(upto, least), least)
        Record.objects.filter(pk=record.pk).update(
            generation=model.generation,
            retraction=model.retraction,
            upto=upto,
            holder=_holder,
            leased_until=now + LEASE,
        )
    return upto, before


class _Folding:
    """Renews the lease of a record, and gives way to requests, while the log is folded up to where it continues."""

    def __init__(self, model_id: int) -> None:
        self._model_id = model_id
        self._renewed = time.monotonic()
        self._work = _Work()

    def __call__(self, n: int) -> None:
        now = time.monotonic()
        if now - self._renewed > LEASE.total_seconds() / 3:
            until = datetime.now(UTC) + LEASE
            if not Record.objects.filter(model_id=self._model_id, holder=_holder).update(leased_until=until):
                raise _Taken
            self._renewed = now
        self._work.end()
