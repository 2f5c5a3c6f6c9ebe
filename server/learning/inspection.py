"""Looking at models: metrics, curves, hyperparameters, and the state as of any observation."""

import inspect
from collections.abc import Callable
from typing import Any, TypeVar

from server.learning import asking, pickles, registry, replay, snapshots
from server.learning.models import Model
from server.learning.replica import Replica, plain
from server.learning.replicaset import SETS
from server.streams.errors import Invalid, NotFound
from server.streams.validation import shown

T = TypeVar("T")


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
        return look(_as_of(name, place.head, at))
    replicas = SETS.of(place.stream_id)
    with replicas.lock:
        return look(asking.current(replicas, place))


def _as_of(name: Any, head: int, at: int) -> Replica:
    model = Model.objects.select_related("stream").get(name=name)
    if not model.since <= at <= head:
        raise Invalid(
            f"at is {at}: expected a number from {model.since} to {head}, what model {model.name} has learned",
            field="at",
        )
    replica = snapshots.load(model, model.stream.segment, at)
    replay.feed(replica, model, replay.left_out(model), at)
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
    if model.status in (Model.BACKFILLING, Model.FAILED) and at is None:
        return describe(model)
    return with_replica(name, lambda replica: describe(model, replica), at)


def download(name: Any, at: int | None = None) -> bytes:
    """The estimator as it is now (or was), as a pickle that loads where river is installed."""
    return with_replica(name, lambda replica: pickles.dumps(replica.estimator), at)


def hyperparameters(estimator: Any) -> Any:
    """Parameters by step, as nested plain data, in the shape that riverapi's users know."""
    get = getattr(estimator, "_get_params", None)
    return _unwrapped(get()) if get is not None else {"class": type(estimator).__name__}


def _unwrapped(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _unwrapped(item) for key, item in value.items()}
    if isinstance(value, tuple) and len(value) == 2 and inspect.isclass(value[0]) and isinstance(value[1], dict):
        return [value[0].__name__, _unwrapped(value[1])] if value[1] else [value[0].__name__]
    if isinstance(value, (list, tuple)):
        return [_unwrapped(item) for item in value]
    if inspect.isclass(value):
        return value.__name__
    try:
        value = plain(value)
    except (TypeError, OverflowError):
        return str(value)
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)
