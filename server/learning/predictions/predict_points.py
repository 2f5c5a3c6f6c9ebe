"""The predict call: predictions that reflect every acknowledged observation."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from django.conf import settings
from django.db import DatabaseError, IntegrityError, InterfaceError

from server.core.db import locks
from server.core.db.single_row import SingleRowQuery
from server.core.errors import Conflict, Invalid, NotFound, TailraceError, TooLarge, Unavailable
from server.core.json_codec import dumps_exact, loads
from server.core.tracing import Steps, Tracing
from server.core.validation import Checker, check_text, format_value
from server.learning import quarantine
from server.learning.concurrency.time_limit import TimeLimit
from server.learning.concurrency.waiting_threads import NoLoadingSlot, slot_for
from server.learning.fold.estimator_errors import FATAL, reason
from server.learning.fold.replay import Unstorable
from server.learning.fold.replica import Replica
from server.learning.fold.replica_set import SETS, ReplicaSet
from server.learning.models import Model, Prediction
from server.learning.predictions.kept_predictions import keep as keep_prediction
from server.learning.write_path.refusals import is_fault_of_point
from server.learning.write_path.transaction import MAX_PREDICTIONS_BYTES
from server.streams import feature_warnings
from server.streams.feature_warnings import Fault
from server.streams.quotas.limits import Owner

_find = SingleRowQuery(
    "SELECT m.id, m.status, m.progress, s.id, s.head, s.epoch, s.name, (SELECT value FROM streams_generation)"
    " FROM learning_model m JOIN streams_stream s ON s.id = m.stream_id WHERE m.name = %s"
)


MAX_POINTS_AT_ONCE = 500
"""Most points in one call of an estimator that predicts many at once: such a call has the budget of one call."""
MAX_FEATURES_AT_ONCE = 20_000
"""Most features of all points in such a call."""


@dataclass(frozen=True)
class ModelLocation:
    """A model's id and stream, the head and epoch of the stream's log, and the generation of the permissions."""

    model_id: int
    stream_id: int
    head: int
    epoch: int
    stream: str = ""
    generation: int | None = None


@dataclass(frozen=True)
class PredictionResult:
    """Predictions of one model.

    Attributes
    ----------
    predictions
        One for each point.
    intervals
        ``(low, high)`` for each point, or None if the estimator gives none.
    at
        The last observation that the model had learned.
    identifier
        Identifier for the label, if the prediction is kept.
    faults
        How the points differ from those that the stream has seen. Empty if the stream declares its features.
    """

    model_id: int
    predictions: list[Any]
    intervals: list[tuple[float, float] | None] | None
    at: int
    identifier: str | None = None
    faults: Sequence[Fault] = ()


def find(name: Any) -> ModelLocation:
    """Look a model up by name, with one indexed read.

    Raises
    ------
    NotFound
        If there is no such model.
    Conflict
        If it is still learning the stream's history, its backfill failed, or it is in quarantine.
    Unavailable
        If the database can't be reached.
    """
    if not isinstance(name, str) or not name:
        raise Invalid(f"model is {format_value(name)}: expected the name of a model", field="model")
    try:
        row = _find(name)
    except (DatabaseError, InterfaceError) as exc:
        raise locks.to_unavailable(exc) from exc
    except ValueError:
        row = None  # a name that no database can hold
    if row is None:
        raise NotFound(f"no model named {format_value(name)}", field="model")
    model_id, status, progress, stream_id, head, epoch, stream, generation = row
    if status == Model.BACKFILLING:
        raise Conflict(
            f"model {name} is still learning the stream's history ({progress} of {head} observations): ask again soon",
            code="backfilling",
        )
    if status == Model.QUARANTINED:
        raise Conflict(
            f"model {name} is in quarantine, because a call of its estimator exceeded a budget or ended the server's process: "
            f"GET /api/v1/models/{name}/ shows the reason, and its owner can release it",
            code="quarantined",
        )
    if status == Model.FAILED:
        raise Conflict(
            f"model {name} could not learn the stream's history: delete it and create it again", code="failed"
        )
    return ModelLocation(model_id, stream_id, head, epoch, stream, generation)


def caught_up_replica(replicas: ReplicaSet, place: ModelLocation, features: int = 0) -> Replica:
    """Return the model's replica, caught up with the log. The caller holds the replica set's lock.

    ``features`` is the most features of a point that is to be predicted.
    """
    try:
        replicas.catch_up(place.head, place.epoch, features)
    except (DatabaseError, InterfaceError) as exc:
        replicas.drop()
        raise locks.to_unavailable(exc) from exc
    except Unstorable as exc:
        replicas.drop()
        quarantine.stop(exc)
        raise Unavailable("a model of the stream is being taken out of service; try again") from exc
    except NoLoadingSlot:
        raise
    except BaseException:
        replicas.drop()
        raise
    replica = replicas.replicas.get(place.model_id)
    if replica is None:
        raise replicas.load_errors.get(place.model_id) or NotFound("the model was deleted")
    return replica


class _RequestLimits:
    """Limits of one request: the time that the model may take, and the total size of its predictions."""

    def __init__(self, name: str, points: int) -> None:
        self._name, self._points = name, points
        self._done = self._bytes = 0
        self._limit = TimeLimit()

    def add(self, prediction: Any) -> None:
        """Count a prediction.

        Raises
        ------
        TooLarge, Busy
            If a limit is exceeded and points remain.
        """
        self._done += 1
        if type(prediction) in (dict, list, str):
            self._bytes += len(dumps_exact(prediction))
        if self._bytes > MAX_PREDICTIONS_BYTES and self._done < self._points:
            raise TooLarge(
                f"model {self._name}'s predictions take more than {MAX_PREDICTIONS_BYTES // 2**20} MB: {self._fewer()}"
            )
        self._check_time()

    def add_plain(self, count: int) -> None:
        """Count predictions that are numbers; raises as :meth:`add` does."""
        self._done += count
        self._check_time()

    def _check_time(self) -> None:
        if self._done < self._points and self._limit.is_over:
            raise self._limit.error(self._name, f"{self._points} points", f": {self._fewer()}")

    def _fewer(self) -> str:
        return f"send at most {max(1, self._done // 2)} points in one request"


def predict(
    name: Any,
    xs: Sequence[Any],
    *,
    place: ModelLocation | None = None,
    level: float | None = None,
    identifier: str | None = None,
    keep: bool = False,
    of_model: bool = False,
    owner: Owner | None = None,
    fields: Sequence[str] = ("x",),
    strict: bool = False,
    may_read: Callable[[], bool] = lambda: True,
) -> PredictionResult:
    """Predict one point or many.

    Parameters
    ----------
    name
        The model.
    xs
        Feature mappings, unchecked.
    place
        The result of :func:`find` for the model; looked up if it isn't given.
    level
        The level of the prediction interval, in (0, 1); None for no interval.
    identifier, keep
        Keep the (only) prediction until its label arrives, under this identifier or a new one.
    of_model
        Whether the identifier is unique within the model only; else within its stream.
    owner
        The owner whose quota a kept prediction counts for; None for no quota.
    fields
        The name of each point in error messages.
    strict
        Whether to refuse points that differ from those that the stream has seen.
    may_read
        Returns whether the caller may see the values that the stream has seen.

    Raises
    ------
    NotFound, Conflict, Invalid, Unavailable
        As :func:`find` does. Invalid also for features that aren't allowed, and if the estimator raises an error. With
        ``strict``, Invalid also for points that differ, and Unavailable while the stream's summary isn't read completely.
    QuotaExceeded
        If the prediction is to be kept, and the owner's quota for kept predictions is used up.
    """
    steps = None if Tracing.tracer is None else Steps()
    place = place or find(name)
    replicas = SETS.of(place.stream_id)
    if quarantine.awaits(replicas.models):
        quarantine.settle()
        place = find(name)
    if identifier is not None:
        check_text(identifier, "identifier", settings.TAILRACE.max_name_length)
        if not identifier:
            raise Invalid('identifier is "": expected at least one character', field="identifier")
    with slot_for(len(xs), replicas.waiting), replicas.lock_to_predict():
        if steps is not None:
            steps.end("wait")
        replica = caught_up_replica(replicas, place, max((len(x) for x in xs if isinstance(x, dict)), default=0))
        if steps is not None:
            steps.end("catch_up")
        faults: Sequence[Fault] = ()
        known = replicas.familiarity
        if known is None or not known.passes(xs, replica.n):
            check: Checker = replicas.checker
            for x, field in zip(xs, fields, strict=True):
                check.x(x, field)
            if known is not None:
                faults = known.faults(xs, fields, replica.n)
                if faults and strict and not _is_kept(identifier, place):
                    raise _refusal(faults, may_read())
        predictions, intervals = estimate(replica, name, xs, level, fields, faults, may_read)
        at = replica.n
    if steps is not None and Tracing.tracer is not None:
        steps.end("estimate")
        Tracing.tracer.note("predict", steps.began, steps.all, {"tailrace.model": name, "tailrace.points": len(xs)})
    has_intervals = any(interval is not None for interval in intervals)
    if keep or identifier is not None:
        interval = intervals[0] if has_intervals else None
        kept = _keep(place, at, identifier, of_model, xs[0], predictions[0], interval, owner)
        return replace(kept, faults=faults) if faults else kept
    return PredictionResult(place.model_id, predictions, intervals if has_intervals else None, at, None, faults)


def estimate(
    replica: Replica,
    name: Any,
    xs: Sequence[dict[str, Any]],
    level: float | None,
    fields: Sequence[str],
    faults: Sequence[Fault] = (),
    may_read: Callable[[], bool] = lambda: True,
) -> tuple[list[Any], list[tuple[float, float] | None]]:
    """Return a replica's predictions and intervals for checked points, within the limits of one request. See :func:`predict`."""
    predictions: list[Any] = []
    intervals: list[tuple[float, float] | None] = []
    limits = _RequestLimits(name, len(xs)) if len(xs) > 1 else None
    done = 0
    if limits is not None and replica.predicts_many:
        done = _predict_many(replica, xs, level, predictions, intervals, limits)
    for x, field in zip(xs[done:], fields[done:], strict=True):
        try:
            predictions.append(replica.predict(x))
            if level is not None:
                intervals.append(replica.interval(x, level))
        except FATAL:
            raise
        except BaseException as exc:  # whatever an estimator may raise
            why, own = reason(exc), feature_warnings.shortened(faults)
            code = "refused" if is_fault_of_point(why) else "model_failed"
            told = f" ({'; '.join(fault.of_point(may_read=may_read()) for fault in own)})" if own else ""
            raise Invalid(f"model {name} can't predict {field}: {why}{told}", field=field, code=code) from exc
        if limits is not None:
            limits.add(predictions[-1])
    return predictions, intervals


def _is_kept(identifier: str | None, place: ModelLocation) -> bool:
    """Return whether the identifier names a kept prediction. It is answered again, whatever the stream has seen since."""
    return identifier is not None and Prediction.objects.filter(identifier=identifier, model=place.model_id).exists()


def _refusal(faults: Sequence[Fault], may_read: bool) -> TailraceError:
    if faults[0].code == feature_warnings.UNCHECKED:
        return Unavailable(f"{faults[0].statement}: try again, or send the request without strict")
    return feature_warnings.refusal(faults, may_read=may_read)


def _predict_many(
    replica: Replica,
    xs: Sequence[dict[str, Any]],
    level: float | None,
    predictions: list[Any],
    intervals: list[tuple[float, float] | None],
    limits: _RequestLimits,
) -> int:
    """Predict points in chunks, up to the first chunk for which the estimator raises an error. Return how many were predicted."""
    size = max(1, min(MAX_POINTS_AT_ONCE, MAX_FEATURES_AT_ONCE // max(map(len, xs))))
    for low in range(0, len(xs), size):
        some = xs[low : low + size]
        try:
            found, bands = replica.predict_many(some, level)
        except FATAL:
            raise
        except BaseException:  # whatever an estimator may raise; the caller finds the point one by one
            return low
        predictions += found
        if bands is not None:
            intervals += bands
        limits.add_plain(len(some))
    return len(xs)


def _keep(
    place: ModelLocation,
    at: int,
    identifier: str | None,
    of_model: bool,
    x: dict[str, Any],
    prediction: Any,
    interval: Any,
    owner: Owner | None,
) -> PredictionResult:
    """Store a prediction with its features until its label arrives. If the identifier is in use, return the stored one."""
    try:
        own, is_new = keep_prediction(
            identifier=identifier, model_id=place.model_id, stream_id=place.stream_id, of_model=of_model, x=x,
            prediction=prediction, at=at, owner=owner,
        )  # fmt: skip
    except IntegrityError as exc:
        raise NotFound("the model was deleted") from exc
    intervals = None if interval is None else [interval]
    if is_new:
        return PredictionResult(place.model_id, [prediction], intervals, at, own)
    known = Prediction.objects.filter(identifier=own, model=place.model_id).first()
    if known is None and not Prediction.objects.filter(identifier=own, stream=place.stream_id).exists():
        raise NotFound("the model was deleted")
    if known is None or loads(known.x) != x:
        raise Conflict(
            f"identifier {format_value(own)} already names another prediction: choose another one, or leave it out to get a new one",
            field="identifier",
        )
    return PredictionResult(place.model_id, [loads(known.prediction)], intervals, known.at, own)
