"""Quarantines of models: verdicts are stored, and owners release models after a trial.

The supervisor (:mod:`server.runtime.supervisor`) writes a file for each verdict before it ends a worker. The next process that
uses the model's stream stores the verdict first. The model is then in *quarantine*: it skips observations until it is released.
"""

import json
import logging
import os
import threading
import uuid
from collections.abc import Collection
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import DatabaseError, InterfaceError
from django.db.models import F

from server.core import audit_signals
from server.core.db.locks import stream_transaction, to_unavailable
from server.core.errors import Conflict
from server.core.metrics import declarations
from server.learning.budgets import call_marks, sandbox
from server.learning.fold import replay
from server.learning.fold.replay import Unstorable
from server.learning.fold.replica import Replica
from server.learning.models import Model, Quarantine, Snapshot
from server.streams import log
from server.streams.models import Stream

logger = logging.getLogger(__name__)

ENDING = "verdict"
TRIED = 50
"""Observations at each end of the skipped part of the log that a model learns in the trial before its release."""


@dataclass(frozen=True)
class Verdict:
    """The decision to stop a model.

    Attributes
    ----------
    id
        The verdict's own id.
    model_id
        The model.
    call
        The kind of call: one of :data:`server.learning.budgets.call_marks.KINDS`.
    observation
        The observation that the call was at; None if it was at none.
    reason
        One sentence for its owner.
    """

    id: str
    model_id: int
    call: str
    observation: int | None
    reason: str


class _Known:
    """The verdicts that this process knows and that are not stored yet."""

    count = -1
    waiting: dict[str, Verdict] = {}
    lock = threading.Lock()


def directory() -> Path:
    """Return the directory of call marks and verdicts."""
    found: Path = settings.TAILRACE.var_dir / "calls"
    return found


def leave(place: Path, verdict: Verdict) -> None:
    """Write a verdict to disk, for the next process that uses the stream."""
    path = place / f"{verdict.id}.{ENDING}"
    with open(path.with_suffix(".new"), "w") as file:
        json.dump(asdict(verdict), file)
        file.flush()
        os.fsync(file.fileno())
    path.with_suffix(".new").rename(path)


def demand(model_id: int, call: str, observation: int | None, reason: str) -> None:
    """Request a model's quarantine. The next :func:`settle` of this process stores it."""
    verdict = Verdict(str(uuid.uuid4()), model_id, call, observation, reason)
    with _Known.lock:
        if all(other.model_id != model_id for other in _Known.waiting.values()):
            _Known.waiting[verdict.id] = verdict


def stop(found: Unstorable) -> None:
    """Request a model's quarantine because its state can't be stored. The next :func:`settle` of this process stores it."""
    demand(found.model_id, "store", found.at, found.why)


def awaits(models: Collection[int]) -> bool:
    """Return whether one of these models must be quarantined before it is used.

    Parameters
    ----------
    models
        Their ids. If empty, they are not known yet, and any pending verdict counts.
    """
    if call_marks.verdict_count() != _Known.count:
        _look()
    if not _Known.waiting:
        return False
    return not models or any(verdict.model_id in models for verdict in list(_Known.waiting.values()))


def _look() -> None:
    """Read the verdicts on disk."""
    with _Known.lock:
        count = call_marks.verdict_count()
        for path in sorted(directory().glob(f"*.{ENDING}")):
            try:
                verdict = Verdict(**json.loads(path.read_text()))
            except FileNotFoundError:  # another process has stored it
                continue
            except (ValueError, TypeError) as exc:
                logger.error("the verdict %s can't be read: %s", path, exc)
                continue
            _Known.waiting[verdict.id] = verdict
        _Known.count = count


def settle(*, patient: bool = False) -> int:
    """Store the pending verdicts. Return how many models are put into quarantine. The caller holds no stream's lock.

    Parameters
    ----------
    patient
        Wait for busy streams. For callers that no request waits for.

    Raises
    ------
    Unavailable
        If the database can't store a verdict. It stays pending.
    """
    if call_marks.verdict_count() != _Known.count:
        _look()
    stored = 0
    for verdict in list(_Known.waiting.values()):
        try:
            stored += _store(verdict, patient=patient)
        except (DatabaseError, InterfaceError) as exc:
            raise to_unavailable(exc) from exc
        (directory() / f"{verdict.id}.{ENDING}").unlink(missing_ok=True)
        with _Known.lock:
            _Known.waiting.pop(verdict.id, None)
    return stored


def _store(verdict: Verdict, *, patient: bool) -> bool:
    model = Model.objects.select_related("stream").defer("initial").filter(pk=verdict.model_id).first()
    if model is None or Quarantine.objects.filter(verdict=verdict.id).exists():
        return False
    with stream_transaction(model.stream_id, patient=patient):
        live = Model.objects.filter(pk=model.pk, status__in=(Model.READY, Model.BACKFILLING, Model.REBUILDING))
        if not live.update(status=Model.QUARANTINED, error=verdict.reason, leased_until=None):
            return False
        head = Stream.objects.values_list("head", flat=True).get(pk=model.stream_id)
        quarantine = Quarantine.objects.create(
            model=model, verdict=verdict.id, after=head,
            call=verdict.call, observation=verdict.observation, reason=verdict.reason,
        )  # fmt: skip
        Stream.objects.filter(pk=model.stream_id).update(epoch=F("epoch") + 1)
        audit_signals.send("model.quarantine", model.name, after=describe(quarantine))
    declarations.quarantines.labels().add()
    logger.error("model %s is in quarantine from observation %d on: %s", model.name, head + 1, verdict.reason)
    return True


def check_none(model_id: int) -> None:
    """Check that a model is in no quarantine. For work outside of its stream's requests; the caller holds no stream's lock.

    Raises
    ------
    Conflict
        If it is in quarantine. A call of its estimator may end this process, again and again.
    Unavailable
        If the database can't store a pending verdict.
    """
    if awaits((model_id,)):
        settle(patient=True)
    name = Model.objects.filter(pk=model_id, status=Model.QUARANTINED).values_list("name", flat=True).first()
    if name is not None:
        raise Conflict(
            f"model {name} is in quarantine: GET /api/v1/models/{name}/ shows the reason, and its owner can release it",
            code="quarantined",
        )


def current(model: Model) -> Quarantine | None:
    """Return the quarantine that a model is in; None if it is in none."""
    return Quarantine.objects.filter(model=model, upto__isnull=True).order_by("-pk").first()


def describe(quarantine: Quarantine) -> dict[str, Any]:
    """Return a quarantine as the API shows it."""
    return {
        "since": quarantine.after + 1,
        "call": quarantine.call,
        "observation": quarantine.observation,
        "reason": quarantine.reason,
        "at": quarantine.at,
    }


def release(model: Model, by: str = "") -> None:
    """Release a model, which learns again from the next observation on, after a trial in a separate process.

    Parameters
    ----------
    model
        The model, with its stream loaded.
    by
        Name of the user who releases it.

    Raises
    ------
    Conflict
        If the model isn't in quarantine, or fails the trial and stays in quarantine.
    Unavailable
        If as many models as may be are on trial already.
    """
    quarantine = current(model)
    if model.status != Model.QUARANTINED or quarantine is None:
        raise Conflict(f"model {model.name} is not in quarantine: its status is {model.status}", code="not_quarantined")
    try:
        with sandbox.slot():  # before the log is read, so that few callers hold what they read at once
            _try(model, quarantine)
    except sandbox.Exceeded as exc:
        raise Conflict(
            f"model {model.name} stays in quarantine: in a trial in a separate process, {exc}. Delete it, or create another one",
            code="quarantined",
        ) from exc
    with stream_transaction(model.stream_id):
        head = Stream.objects.values_list("head", flat=True).get(pk=model.stream_id)
        quarantined = Model.objects.filter(pk=model.pk, status=Model.QUARANTINED)
        if not quarantined.update(status=Model.BACKFILLING, error="", leased_until=None):
            raise Conflict(f"model {model.name} was released or deleted meanwhile", code="not_quarantined")
        Quarantine.objects.filter(pk=quarantine.pk).update(upto=head, released_at=datetime.now(UTC), released_by=by)
        Stream.objects.filter(pk=model.stream_id).update(epoch=F("epoch") + 1)
        audit_signals.send("model.release", model.name, describe(quarantine), {"upto": head})


def _try(model: Model, quarantine: Quarantine) -> None:
    """Let the model learn observations after its last state and the newest ones, in a sandbox. The caller holds its slot."""
    config = settings.TAILRACE
    head, segment = model.stream.head, model.stream.segment
    stored = Snapshot.objects.filter(model=model, generation=model.generation, seq__lte=quarantine.after).order_by(
        "-seq"
    )
    snapshot = stored.first()
    initial = bytes(model.initial)
    spans = [
        replay.join_spans(list(log.spans(model.stream_id, after, upto)))
        for after, upto in _stretches(quarantine.after, head)
        if after < upto
    ]

    def work(step: sandbox.Step) -> bytes:
        # This code doesn't use the database.
        model.initial = initial
        replica: Replica = replay.initial_replica(model, segment)
        if snapshot is not None:
            replica.restore(snapshot.seq, replay.load(model.pk, bytes(snapshot.state), replay.trusted(model.flavor)))
        for span in spans:
            points = [(x, y) for x, y in zip(span.xs, span.ys, strict=True) if x is not None]
            if points:
                xs, ys = zip(*points, strict=True)
                step(config.block_seconds)
                replay.advance(replica, span.first, xs, ys, {}, {})
                step(config.call_seconds)
                replica.predict(xs[-1])
        return b""

    try:
        sandbox.run_in_slot(work, seconds=config.block_seconds, megabytes=config.call_memory_mb)
    finally:
        spans.clear()  # an error on its way to the caller refers to them


def _stretches(after: int, head: int) -> list[tuple[int, int]]:
    first_end = min(head, after + TRIED)
    return [(max(0, after - TRIED), after), (after, first_end), (max(first_end, head - TRIED), head)]
