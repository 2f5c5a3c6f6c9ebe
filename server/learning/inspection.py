"""Looking at models: metrics, curves, hyperparameters, and the state as of any observation."""

import threading
from collections.abc import Callable
from typing import Any, TypeVar

from django.conf import settings
from django.db.models import Exists, OuterRef, QuerySet

from server.learning import asking, call_marks, pickles, quarantine, registry, replay, snapshots
from server.learning.hyperparameters import hyperparameters
from server.learning.models import Model
from server.learning.replica import Replica
from server.learning.replicaset import SETS
from server.streams.errors import Conflict, Invalid, NotFound, Unavailable
from server.streams.models import Stream
from server.streams.validation import shown

T = TypeVar("T")

_back_in_time = threading.BoundedSemaphore(max(1, settings.TAILRACE.working_threads // 4))
"""Room for requests that fold a part of the log anew, which takes as long as that part: most threads are left to others."""


def streams_without_models() -> QuerySet[Stream]:
    """Streams that no model learns from, the latest first."""
    return Stream.objects.exclude(Exists(Model.objects.filter(stream=OuterRef("pk")))).order_by("-pk")


def with_replica(name: Any, look: Callable[[Replica], T], at: int | None = None) -> T:
    """What ``look`` sees in the model's replica, as it is now or as of observation ``at``.

    Raises
    ------
    NotFound, Conflict, Unavailable
        As :func:`server.learning.asking.find`.
    Invalid
        If ``at`` lies outside what the model has learned.
    """
    place = asking.find(name)
    if at is not None and at != place.head:
        replica = _as_of(name, place.head, at)
        with call_marks.inside(replica.model_id, call_marks.LOOK, at):
            return look(replica)
    replicas = SETS.of(place.stream_id)
    if quarantine.awaits(replicas.models):
        quarantine.settle()
        place = asking.find(name)
    with replicas.to_ask():
        replica = asking.current(replicas, place)
        with call_marks.inside(replica.model_id, call_marks.LOOK, replica.n):
            return look(replica)


def _as_of(name: Any, head: int, at: int) -> Replica:
    model = Model.objects.select_related("stream").get(name=name)
    if not model.since <= at <= head:
        raise Invalid(
            f"at is {at}: expected a number from {model.since} to {head}, what model {model.name} has learned",
            field="at",
        )
    if not _back_in_time.acquire(blocking=False):
        raise Unavailable("as many models as may be at once are being looked at as they were; try again")
    try:
        replica = snapshots.load(model, model.stream.segment, at)
        replay.feed(replica, model, replay.left_out(model), at)
    finally:
        _back_in_time.release()
    return replica


def metrics(name: Any, segment: str | None = None, at: int | None = None) -> dict[str, Any]:
    """Prequential metrics: overall, over the rolling window, and by segment.

    Raises
    ------
    NotFound
        Also if the segment hasn't been seen.
    """

    def look(replica: Replica) -> dict[str, Any]:
        common = {"model": replica.name, "flavor": replica.flavor.name, "at": replica.n, "learned": replica.learned}
        if segment is not None:
            scores = replica.segments.get(segment)
            if scores is None:
                known = ", ".join(sorted(replica.segments)[:20]) or "none yet"
                raise NotFound(f"no segment {shown(segment)} was seen: known are {known}", field="segment")
            return {
                **common,
                "segment": segment,
                "n": scores.n,
                "metrics": scores.values(),
                "rolling": {"window": replica.window, **scores.rolling()},
            }
        return {
            **common,
            "n": replica.scores.n,
            "metrics": replica.scores.values(),
            "rolling": {"window": replica.window, **replica.scores.rolling()},
            "segments": {key: {"n": own.n, **own.values()} for key, own in sorted(replica.segments.items())},
        }

    return with_replica(name, look, at)


def history(name: Any) -> dict[str, Any]:
    """The curve of metrics against the number of scored observations, at most 512 points."""

    def look(replica: Replica) -> dict[str, Any]:
        kept = getattr(replica.scores, "history", None)
        points = kept.points() if kept is not None else []
        columns = list(replica.flavor.columns)
        if replica.scores.n and (not points or points[-1][0] != replica.scores.n) and kept is not None:
            points.append([replica.scores.n, *replica.scores.point()])  # type: ignore[attr-defined]
        return {
            "model": replica.name,
            "at": replica.n,
            "window": replica.window,
            "columns": ["n", *columns],
            "points": points,
        }

    return with_replica(name, look)


def describe(model: Model, replica: Replica | None = None) -> dict[str, Any]:
    """A model as the API lists it; with what its replica knows, where one is at hand."""
    described: dict[str, Any] = {
        "name": model.name,
        "stream": model.stream.name,
        "flavor": model.flavor,
        "recipe": model.recipe or None,
        "parameters": model.parameters,
        "status": model.status,
        "progress": model.progress if model.status != Model.READY else model.stream.head,
        "head": model.stream.head,
        "since": model.since,
        "generation": model.generation,
        "created_at": model.created_at,
        "created_by": model.created_by,
    }
    if model.error:
        described["error"] = model.error
    if model.status == Model.QUARANTINED and (found := quarantine.current(model)) is not None:
        described["quarantine"] = quarantine.describe(found)
    if replica is not None:
        described |= {
            "at": replica.n,
            "learned": replica.learned,
            "skipped": replica.skipped,
            "last_skip": replica.last_skip,
            "estimator": hyperparameters(replica.estimator),
            "metrics": replica.scores.values(),
        }
    return described


def state(name: Any, at: int | None = None) -> dict[str, Any]:
    """The model with its state now or as of observation ``at``; without it while its backfill goes on."""
    model = registry.find(name)
    if model.status in (Model.BACKFILLING, Model.FAILED, Model.QUARANTINED) and at is None:
        return describe(model)
    try:
        return with_replica(name, lambda replica: describe(model, replica), at)
    except Conflict:
        changed = registry.find(name)
        if changed.status == model.status or at is not None:
            raise
        return describe(changed)  # it was quarantined, or released, meanwhile


def download(name: Any, at: int | None = None) -> bytes:
    """The estimator as it is now (or was), as a pickle that loads where river is installed.

    Raises
    ------
    Conflict
        If Python's pickle can't write it.
    """
    try:
        return with_replica(name, lambda replica: pickles.dumps(replica.estimator), at)
    except RecursionError as exc:
        raise Conflict(
            f"model {name} nests objects deeper than Python's pickle can follow: it can't be downloaded",
            code="not_storable",
        ) from exc
