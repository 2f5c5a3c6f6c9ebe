"""Reading models: metrics, curves, hyperparameters, and the state as of any observation."""

from collections.abc import Callable
from typing import Any, TypeVar

from django.conf import settings

from server.core.errors import Conflict, Invalid, NotFound
from server.core.slots import Slots
from server.core.validation import format_value
from server.learning import quarantine, registry
from server.learning.budgets import call_marks
from server.learning.concurrency.time_limit import TimeLimit
from server.learning.fold import replay, snapshots
from server.learning.fold.estimator_errors import DeadlineExceeded
from server.learning.fold.replica import Replica
from server.learning.fold.replica_set import SETS
from server.learning.hyperparameters import hyperparameters
from server.learning.models import ImportedModel, Model
from server.learning.pickles import loader
from server.learning.predictions import predict_points

T = TypeVar("T")


def _limits() -> tuple[int, int]:
    most = max(2, settings.TAILRACE.working_threads // 4)
    return most, max(1, most // 2)


LOOKING_BACK = Slots(
    _limits,
    process_full="this process replays the log for {limit} former states of models already, the most allowed at once; try again",
    caller_full="this token or person is reading {limit} former states of models in this process, the most allowed: "
    "wait until one has ended",
)
"""Requests that replay a part of the log, which may take long. Most threads are left to other requests."""


def with_replica(name: Any, look: Callable[[Replica], T], at: int | None = None, key: int | None = None) -> T:
    """Return the result of ``look`` for the model's replica, as it is now or as of observation ``at``.

    ``key`` is the caller whose share of :data:`LOOKING_BACK` a replay counts in; None if nobody is asked who they are.

    Raises
    ------
    NotFound, Conflict, Unavailable
        As :func:`server.learning.predictions.predict_points.find`.
    Invalid
        If ``at`` lies outside what the model has learned.
    TooMany, Unavailable
        If too many former states are read at the same time: of this caller, or of all callers of this process.
    TooSlow, Busy
        If the replay takes longer than a model may take for one request.
    """
    place = predict_points.find(name)
    if at is not None and at != place.head:
        model = _model_with(name, place.head, at)
        with LOOKING_BACK.held(key):
            replica = _as_of(model, at)
            with replay.turn_for_state(replica.size), call_marks.mark_call(replica.model_id, call_marks.INSPECT, at):
                return look(replica)
    replicas = SETS.of(place.stream_id)
    if quarantine.awaits(replicas.models):
        quarantine.settle()
        place = predict_points.find(name)
    with replicas.lock_to_predict():
        replica = predict_points.caught_up_replica(replicas, place)
        with replay.turn_for_state(replica.size), call_marks.mark_call(replica.model_id, call_marks.INSPECT, replica.n):
            return look(replica)


def _model_with(name: Any, head: int, at: int) -> Model:
    model = Model.objects.select_related("stream").get(name=name)
    if not model.since <= at <= head:
        raise Invalid(
            f"at is {at}: expected a number from {model.since} to {head}, the observations that model {model.name} has learned",
            field="at",
        )
    return model


def _as_of(model: Model, at: int) -> Replica:
    limit = TimeLimit()
    replica = snapshots.load(model, model.stream.segment, at)
    began = replica.n
    try:
        replay.fold_log(replica, model, replay.exclusions_of(model), at, until=limit.until)
    except DeadlineExceeded:
        stored = ", ".join(str(seq) for seq in snapshots.around(model, began, at))
        remedy = f"ask for an observation whose state is stored ({stored}), or for one shortly after"
        raise limit.error(
            model.name,
            f"the replay of observations {began + 1} to {at} (it came to {replica.n})",
            f": {remedy}",
            f"try again, or {remedy}",
        ) from None
    return replica


def metrics(name: Any, segment: str | None = None, at: int | None = None, key: int | None = None) -> dict[str, Any]:
    """Return the prequential metrics: overall, over the rolling window, and by segment.

    Raises
    ------
    NotFound
        If there is no such model, or the segment has not been seen.
    """

    def look(replica: Replica) -> dict[str, Any]:
        common = {"model": replica.name, "flavor": replica.flavor.name, "at": replica.n, "learned": replica.learned}
        if segment is not None:
            own = replica.segments.get(segment)
            if own is None:
                known = ", ".join(sorted(replica.segments)[:20]) or "none yet"
                raise NotFound(
                    f"no segment {format_value(segment)} was seen: the segments are {known}", field="segment"
                )
            return {
                **common,
                "segment": segment,
                "n": own.n,
                "metrics": own.values(),
                "rolling": {"window": replica.window, **own.rolling()},
            }
        return {
            **common,
            "n": replica.metrics.n,
            "metrics": replica.metrics.values(),
            "rolling": {"window": replica.window, **replica.metrics.rolling()},
            "segments": {key: {"n": own.n, **own.values()} for key, own in sorted(replica.segments.items())},
        }

    return with_replica(name, look, at, key)


def history(name: Any) -> dict[str, Any]:
    """Return the curve of metrics against the number of scored observations, with at most 512 points."""

    def look(replica: Replica) -> dict[str, Any]:
        kept = getattr(replica.metrics, "history", None)
        points = kept.points() if kept is not None else []
        columns = list(replica.flavor.columns)
        if replica.metrics.n and (not points or points[-1][0] != replica.metrics.n) and kept is not None:
            points.append([replica.metrics.n, *replica.metrics.point()])  # type: ignore[attr-defined]
        return {
            "model": replica.name,
            "at": replica.n,
            "window": replica.window,
            "columns": ["n", *columns],
            "points": points,
        }

    return with_replica(name, look)


def describe(model: Model, replica: Replica | None = None) -> dict[str, Any]:
    """Return a model as the API lists it, with the state of its replica if given."""
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
            "metrics": replica.metrics.values(),
        }
    return described


def state(name: Any, at: int | None = None, key: int | None = None) -> dict[str, Any]:
    """Return the model with its state now or as of observation ``at``; without its state during a backfill."""
    found = _state(name, at, key)
    imported = ImportedModel.objects.filter(model__name=name).first()
    if imported is not None:
        found["imported"] = {
            "source": imported.source,
            "metrics": imported.metrics,
            "calls": imported.calls,
            "at": imported.at,
        }
    return found


def _state(name: Any, at: int | None, key: int | None) -> dict[str, Any]:
    model = registry.find(name)
    if model.status in (Model.BACKFILLING, Model.FAILED, Model.QUARANTINED) and at is None:
        return describe(model)
    try:
        return with_replica(name, lambda replica: describe(model, replica), at, key)
    except Conflict:
        changed = registry.find(name)
        if changed.status == model.status or at is not None:
            raise
        return describe(changed)  # it was quarantined, or released, meanwhile


def download(name: Any, at: int | None = None, key: int | None = None) -> bytes:
    """Return the estimator as it is now or as of observation ``at``, as a pickle that loads wherever river is installed.

    Raises
    ------
    Conflict
        If Python's pickle can't write it.
    """
    try:
        return with_replica(name, lambda replica: loader.dumps(replica.estimator), at, key)
    except RecursionError as exc:
        raise Conflict(
            f"model {name} can't be downloaded: its objects are nested deeper than Python's pickle supports",
            code="not_storable",
        ) from exc
