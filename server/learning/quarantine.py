"""Models that were stopped: from the supervisor's verdict to the log, and back when their owner releases them.

The supervisor (:mod:`server.supervisor`) leaves a file for each verdict before it ends a worker. Whichever process is next to use
the model's stream stores the verdict first: the model is in *quarantine*, which skips observations until it is released.
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

from server.learning import call_marks, replay, sandbox
from server.learning.models import Model, Quarantine, Snapshot
from server.learning.replay import Unstorable
from server.learning.replica import Replica
from server.streams import changes, instruments, log
from server.streams.errors import Conflict
from server.streams.locks import give_up, stream_transaction
from server.streams.models import Stream

logger = logging.getLogger(__name__)

ENDING = "verdict"
TRIED = 50
"""Observations at each end of what a model skipped that it is tried with before its release."""


@dataclass(frozen=True)
class Verdict:
    """Why a model is to be stopped.

    Attributes
    ----------
    id
        Its own.
    model_id
        The model.
    call
        What was asked of it: one of :data:`server.learning.call_marks.KINDS`.
    observation
        The observation that it was at; None where it was at none.
    reason
        One sentence for its owner.
    """

    id: str
    model_id: int
    call: str
    observation: int | None
    reason: str


class _Known:
    """The verdicts that this process knows of and that aren't stored yet."""

    count = -1
    waiting: dict[str, Verdict] = {}
    lock = threading.Lock()


def directory() -> Path:
    """Where calls are marked and verdicts are left."""
    found: Path = settings.TAILRACE.var_dir / "calls"
    return found


def leave(place: Path, verdict: Verdict) -> None:
    """Leave a verdict on disk for whichever process comes next."""
    path = place / f"{verdict.id}.{ENDING}"
    with open(path.with_suffix(".new"), "w") as file:
        json.dump(asdict(verdict), file)
        file.flush()
        os.fsync(file.fileno())
    path.with_suffix(".new").rename(path)


def demand(model_id: int, call: str, observation: int | None, reason: str) -> None:
    """Have a model quarantined by the next :func:`settle` of this process."""
    verdict = Verdict(str(uuid.uuid4()), model_id, call, observation, reason)
    with _Known.lock:
        if all(other.model_id != model_id for other in _Known.waiting.values()):
            _Known.waiting[verdict.id] = verdict


def stop(found: Unstorable) -> None:
    """Have a model quarantined by the next :func:`settle` of this process, as its state can't be stored."""
    demand(found.model_id, "store", found.at, found.why)


def awaits(models: Collection[int]) -> bool:
    """Whether one of these models is to be quarantined before it is asked anything.

    Parameters
    ----------
    models
        Their ids; where they aren't known yet (none), it may be any.
    """
    if call_marks.verdicts() != _Known.count:
        _look()
    if not _Known.waiting:
        return False
    return not models or any(verdict.model_id in models for verdict in list(_Known.waiting.values()))


def _look() -> None:
    """Read the verdicts that were left."""
    with _Known.lock:
        count = call_marks.verdicts()
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
    """Store what is to be stored, and return how many models are in quarantine by it. Holds no stream's lock when called.

    Parameters
    ----------
    patient
        Wait for busy streams, as no request waits for this.

    Raises
    ------
    Unavailable
        If the database can't store it: it is tried again.
    """
    if call_marks.verdicts() != _Known.count:
        _look()
    stored = 0
    for verdict in list(_Known.waiting.values()):
        try:
            stored += _store(verdict, patient=patient)
        except (DatabaseError, InterfaceError) as exc:
            raise give_up(exc) from exc
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
        changes.tell("model.quarantine", model.name, after=describe(quarantine))
    instruments.quarantines.of().add()
    logger.error("model %s is in quarantine from observation %d on: %s", model.name, head + 1, verdict.reason)
    return True


def current(model: Model) -> Quarantine | None:
    """The quarantine that a model is in; None if it is in none."""
    return Quarantine.objects.filter(model=model, upto__isnull=True).order_by("-pk").first()


def describe(quarantine: Quarantine) -> dict[str, Any]:
    """A quarantine as the API shows it."""
    return {
        "since": quarantine.after + 1,
        "call": quarantine.call,
        "observation": quarantine.observation,
        "reason": quarantine.reason,
        "at": quarantine.at,
    }


def release(model: Model, by: str = "") -> None:
    """Let a model learn again, from the next observation on, after a trial in a process of its own.

    Parameters
    ----------
    model
        With its stream.
    by
        Who asks for it.

    Raises
    ------
    Conflict
        If the model isn't in quarantine, or fails the trial; it stays where it is.
    """
    quarantine = current(model)
    if model.status != Model.QUARANTINED or quarantine is None:
        raise Conflict(f"model {model.name} is not in quarantine: its status is {model.status}", code="not_quarantined")
    try:
        _try(model, quarantine)
    except sandbox.Exceeded as exc:
        raise Conflict(
            f"model {model.name} stays in quarantine: tried in a process of its own, {exc}; delete it, or make another",
            code="quarantined",
        ) from exc
    with stream_transaction(model.stream_id):
        head = Stream.objects.values_list("head", flat=True).get(pk=model.stream_id)
        quarantined = Model.objects.filter(pk=model.pk, status=Model.QUARANTINED)
        if not quarantined.update(status=Model.BACKFILLING, error="", leased_until=None):
            raise Conflict(f"model {model.name} was released or deleted meanwhile", code="not_quarantined")
        Quarantine.objects.filter(pk=quarantine.pk).update(upto=head, released_at=datetime.now(UTC), released_by=by)
        Stream.objects.filter(pk=model.stream_id).update(epoch=F("epoch") + 1)
        changes.tell("model.release", model.name, describe(quarantine), {"upto": head})


def _try(model: Model, quarantine: Quarantine) -> None:
    """Have the model learn what comes after its last state, and the newest observations, where it can harm nothing."""
    config = settings.TAILRACE
    head, segment = model.stream.head, model.stream.segment
    stored = Snapshot.objects.filter(model=model, generation=model.generation, seq__lte=quarantine.after).order_by(
        "-seq"
    )
    snapshot = stored.first()
    initial = bytes(model.initial)
    spans = [
        replay.join(list(log.spans(model.stream_id, after, upto)))
        for after, upto in _stretches(quarantine.after, head)
        if after < upto
    ]

    def work(step: sandbox.Step) -> bytes:
        # Nothing here asks the database.
        model.initial = initial
        replica: Replica = replay.fresh(model, segment)
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

    sandbox.run(work, seconds=config.block_seconds, megabytes=config.call_memory_mb)


def _stretches(after: int, head: int) -> list[tuple[int, int]]:
    first_end = min(head, after + TRIED)
    return [(max(0, after - TRIED), after), (after, first_end), (max(first_end, head - TRIED), head)]
