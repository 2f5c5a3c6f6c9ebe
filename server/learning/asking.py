"""The read path: predictions that reflect everything acknowledged, and labels that come late."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from django.conf import settings
from django.db import DatabaseError, IntegrityError, InterfaceError, connection

from server.learning import quarantine, usage, writing
from server.learning.keeping import keep as keep_prediction
from server.learning.models import Model, Prediction
from server.learning.receipts import Receipt
from server.learning.refusals import blames_the_point
from server.learning.replay import Unstorable
from server.learning.replica import FATAL, Replica, reason
from server.learning.replicaset import SETS, ReplicaSet
from server.learning.time_limit import TimeLimit
from server.learning.turn import MOST_PREDICTED
from server.learning.waiters import NoRoom, room_for
from server.streams import locks, log, unfamiliar
from server.streams.codec import exact, loads
from server.streams.errors import Conflict, Gone, Invalid, NotFound, TailraceError, TooLarge, Unavailable
from server.streams.log import Note, Point
from server.streams.quotas import Owner
from server.streams.reading import OneRow
from server.streams.tracing import Steps, Tracing
from server.streams.unfamiliar import Fault
from server.streams.validation import Checker, check_text, shown
from server.streams.written import take

_find = OneRow(
    "SELECT m.id, m.status, m.progress, s.id, s.head, s.epoch, s.name, (SELECT value FROM streams_generation)"
    " FROM learning_model m JOIN streams_stream s ON s.id = m.stream_id WHERE m.name = %s"
)


AT_ONCE = 500
"""Points of one call of an estimator that predicts many at once, which has the budget of one call ..."""
FEATURES_AT_ONCE = 20_000
"""... and their features."""


@dataclass(frozen=True)
class Place:
    """Where a model's replica is to be found, how far the log goes, and whether what callers may do has changed."""

    model_id: int
    stream_id: int
    head: int
    epoch: int
    stream: str = ""
    generation: int | None = None


@dataclass(frozen=True)
class Answer:
    """Predictions of one model.

    Attributes
    ----------
    predictions
        One for each point asked for.
    intervals
        ``(low, high)`` for each, or None where the estimator gives none.
    at
        The last observation that the model had learned.
    identifier
        What a label will name, if the prediction is kept.
    faults
        How the points differ from those that the stream has seen; empty where it declares its features.
    """

    model_id: int
    predictions: list[Any]
    intervals: list[tuple[float, float] | None] | None
    at: int
    identifier: str | None = None
    faults: Sequence[Fault] = ()


def find(name: Any) -> Place:
    """Look a model up by name: one indexed read.

    Raises
    ------
    NotFound
        If there is no such model.
    Conflict
        If it is still learning the stream's history, or its backfill failed.
    Unavailable
        If the database can't be reached.
    """
    if not isinstance(name, str) or not name:
        raise Invalid(f"model is {shown(name)}: expected the name of a model", field="model")
    try:
        row = _find(name)
    except (DatabaseError, InterfaceError) as exc:
        raise locks.give_up(exc) from exc
    except ValueError:
        row = None  # a name that no database can hold
    if row is None:
        raise NotFound(f"no model named {shown(name)}", field="model")
    model_id, status, progress, stream_id, head, epoch, stream, generation = row
    if status == Model.BACKFILLING:
        raise Conflict(
            f"model {name} is still learning the stream's history ({progress} of {head} observations): ask again soon",
            code="backfilling",
        )
    if status == Model.QUARANTINED:
        raise Conflict(
            f"model {name} is in quarantine, since a call of its estimator went over a budget or ended the server's process: GET "
            f"/api/v1/models/{name}/ says why, and its owner can release it",
            code="quarantined",
        )
    if status == Model.FAILED:
        raise Conflict(f"model {name} could not learn the stream's history: delete it and make it anew", code="failed")
    return Place(model_id, stream_id, head, epoch, stream, generation)


def current(replicas: ReplicaSet, place: Place) -> Replica:
    """The model's replica, caught up. The caller holds the set's lock."""
    try:
        replicas.follow(place.head, place.epoch)
    except (DatabaseError, InterfaceError) as exc:
        replicas.drop()
        raise locks.give_up(exc) from exc
    except Unstorable as exc:
        replicas.drop()
        quarantine.stop(exc)
        raise Unavailable("a model of the stream is being taken out of service; try again") from exc
    except NoRoom:
        raise
    except BaseException:
        replicas.drop()
        raise
    replica = replicas.replicas.get(place.model_id)
    if replica is None:
        raise replicas.lost.get(place.model_id) or NotFound("the model was deleted")
    return replica


class _Bound:
    """How long a model may be asked in one request, and how large its predictions may be in all."""

    def __init__(self, name: str, points: int) -> None:
        self._name, self._points = name, points
        self._done = self._bytes = 0
        self._limit = TimeLimit()

    def add(self, prediction: Any) -> None:
        """Count a prediction.

        Raises
        ------
        TooLarge, Busy
            If that is too much, and there are more to come.
        """
        self._done += 1
        if type(prediction) in (dict, list, str):
            self._bytes += len(exact(prediction))
        if self._bytes > MOST_PREDICTED and self._done < self._points:
            raise TooLarge(
                f"model {self._name}'s predictions take more than {MOST_PREDICTED // 2**20} MB: {self._fewer()}"
            )
        self._check_time()

    def add_plain(self, count: int) -> None:
        """Count so many predictions that are numbers; raises as :meth:`add` does."""
        self._done += count
        self._check_time()

    def _check_time(self) -> None:
        if self._done < self._points and self._limit.is_over:
            raise self._limit.error(self._name, f"{self._points} points", f": {self._fewer()}")

    def _fewer(self) -> str:
        return f"ask for at most {max(1, self._done // 2)} at once"


def predict(
    name: Any,
    xs: Sequence[Any],
    *,
    place: Place | None = None,
    level: float | None = None,
    identifier: str | None = None,
    keep: bool = False,
    of_model: bool = False,
    owner: Owner | None = None,
    fields: Sequence[str] = ("x",),
    strict: bool = False,
    may_read: Callable[[], bool] = lambda: True,
) -> Answer:
    """Predict one point or many.

    Parameters
    ----------
    name
        The model.
    xs
        Feature mappings, unchecked.
    place
        What :func:`find` said of the model; looked up if it isn't given.
    level
        The level of the prediction interval, in (0, 1); None asks for none.
    identifier, keep
        Keep the (only) prediction until its label arrives, under this identifier or a new one.
    of_model
        Whether the identifier is to be unique among the model's own predictions alone; else it is in the stream.
    owner
        Whose quota it counts for if it is kept; None for nobody's.
    fields
        What an error calls each point.
    strict
        Whether to refuse points that differ from those that the stream has seen.
    may_read
        Asked whether the caller may hear what values the stream has seen.

    Raises
    ------
    NotFound, Conflict, Invalid, Unavailable
        As :func:`find` does; Invalid also for features that can't be, and for what the estimator raises; if ``strict``, Invalid for
        points that differ, and Unavailable while what the stream has seen isn't known.
    QuotaExceeded
        If it is to be kept, and the owner's kept predictions take as much as they may.
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
    predictions: list[Any] = []
    intervals: list[tuple[float, float] | None] = []
    with room_for(len(xs), replicas.waiters), replicas.to_ask():
        if steps is not None:
            steps.end("wait")
        replica = current(replicas, place)
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
        bound = _Bound(name, len(xs)) if len(xs) > 1 else None
        done = 0
        if bound is not None and replica.predicts_many:
            done = _predict_many(replica, xs, level, predictions, intervals, bound)
        for x, field in zip(xs[done:], fields[done:], strict=True):
            try:
                predictions.append(replica.predict(x))
                if level is not None:
                    intervals.append(replica.interval(x, level))
            except FATAL:
                raise
            except BaseException as exc:  # whatever an estimator may raise
                why, own = reason(exc), unfamiliar.shortened(faults)
                code = "refused" if blames_the_point(why) else "model_failed"
                told = f" ({'; '.join(fault.of_point(may_read=may_read()) for fault in own)})" if own else ""
                raise Invalid(f"model {name} can't predict {field}: {why}{told}", field=field, code=code) from exc
            if bound is not None:
                bound.add(predictions[-1])
        at = replica.n
    if steps is not None and Tracing.tracer is not None:
        steps.end("estimate")
        Tracing.tracer.note("predict", steps.began, steps.all, {"tailrace.model": name, "tailrace.points": len(xs)})
    has_intervals = any(interval is not None for interval in intervals)
    if keep or identifier is not None:
        interval = intervals[0] if has_intervals else None
        kept = _keep(place, at, identifier, of_model, xs[0], predictions[0], interval, owner)
        return replace(kept, faults=faults) if faults else kept
    return Answer(place.model_id, predictions, intervals if has_intervals else None, at, None, faults)


def _is_kept(identifier: str | None, place: Place) -> bool:
    """Whether it names a prediction that was made before, which is answered whatever was seen since."""
    return identifier is not None and Prediction.objects.filter(identifier=identifier, model=place.model_id).exists()


def _refusal(faults: Sequence[Fault], may_read: bool) -> TailraceError:
    if faults[0].code == unfamiliar.UNCHECKED:
        return Unavailable(f"{faults[0].statement}: try again, or ask without strict")
    return unfamiliar.refusal(faults, may_read=may_read)


def _predict_many(
    replica: Replica,
    xs: Sequence[dict[str, Any]],
    level: float | None,
    predictions: list[Any],
    intervals: list[tuple[float, float] | None],
    bound: _Bound,
) -> int:
    """Predict points some at a time; how many: all, or up to those among which is one that the estimator refuses."""
    size = max(1, min(AT_ONCE, FEATURES_AT_ONCE // max(map(len, xs))))
    for low in range(0, len(xs), size):
        some = xs[low : low + size]
        try:
            found, bands = replica.predict_many(some, level)
        except FATAL:
            raise
        except BaseException:  # whatever an estimator may raise; which point it was is found out one by one
            return low
        predictions += found
        if bands is not None:
            intervals += bands
        bound.add_plain(len(some))
    return len(xs)


def _keep(
    place: Place,
    at: int,
    identifier: str | None,
    of_model: bool,
    x: dict[str, Any],
    prediction: Any,
    interval: Any,
    owner: Owner | None,
) -> Answer:
    """Store a prediction with its features until its label arrives; one that is there already answers instead."""
    try:
        own, is_new = keep_prediction(
            identifier=identifier, model_id=place.model_id, stream_id=place.stream_id, of_model=of_model, x=x,
            prediction=prediction, at=at, owner=owner,
        )  # fmt: skip
    except IntegrityError as exc:
        raise NotFound("the model was deleted") from exc
    intervals = None if interval is None else [interval]
    if is_new:
        return Answer(place.model_id, [prediction], intervals, at, own)
    known = Prediction.objects.filter(identifier=own, model=place.model_id).first()
    if known is None and not Prediction.objects.filter(identifier=own, stream=place.stream_id).exists():
        raise NotFound("the model was deleted")
    if known is None or loads(known.x) != x:
        raise Conflict(
            f"identifier {shown(own)} already names another prediction: choose a new one, or leave it out and get one",
            field="identifier",
        )
    return Answer(place.model_id, [loads(known.prediction)], intervals, known.at, own)


class Waiting(NamedTuple):
    """A kept prediction, with what its label needs."""

    identifier: str
    model_id: int
    stream_id: int
    of_model: bool
    x: str
    prediction: str
    seq: int | None
    expires_at: datetime
    target_kind: str


# By hand: Django takes longer to make the query than the database to answer it.
_WAITING = (
    "SELECT p.identifier, p.model_id, p.stream_id, p.of_model, p.x, p.prediction, p.seq, p.expires_at, s.target_kind"
    " FROM learning_prediction p JOIN streams_stream s ON s.id = p.stream_id JOIN learning_model m ON m.id = p.model_id"
    " WHERE p.identifier = %s"
)


def _waiting(identifier: str, model: str | None, streams: Collection[str] | None) -> list[Waiting]:
    """Two at most."""
    sql, parameters = _WAITING, [identifier]
    if streams is not None:
        if not streams:
            return []
        sql += f" AND s.name IN ({', '.join(['%s'] * len(streams))})"
        parameters += streams
    if model is not None:
        sql += " AND m.name = %s"
        parameters.append(model)
    with connection.cursor() as cursor:
        cursor.execute(f"{sql} LIMIT 2", parameters)
        rows = cursor.fetchall()
    some = [Waiting(*row) for row in rows]  # as the database gives it
    return [one._replace(of_model=bool(one.of_model), expires_at=log.moment(one.expires_at)) for one in some]


def waiting(
    identifier: Any,
    model: str | None = None,
    field: str = "identifier",
    *,
    streams: Collection[str] | None = None,
) -> Waiting:
    """The prediction that an identifier names.

    Parameters
    ----------
    model
        The only model that it may be of; needed where several have a prediction of that identifier.
    streams
        Names of the only streams that are looked at; None for all.

    Raises
    ------
    NotFound
        If there is none.
    Conflict
        If there are several, and no model is given.
    Gone
        If it expired before its label came.
    Invalid
        If it was made by another model than ``model``. Which one isn't said: the caller may not be allowed to know.
    """
    if not isinstance(identifier, str) or not identifier:
        raise Invalid(f"{field} is {shown(identifier)}: expected the identifier of a prediction", field=field)
    check_text(identifier, field, settings.TAILRACE.max_name_length)
    try:
        some = _waiting(identifier, model, streams)
        is_of_another = not some and model is not None and bool(_waiting(identifier, None, streams))
    except (DatabaseError, InterfaceError) as exc:
        raise locks.give_up(exc) from exc
    if is_of_another:
        raise Invalid(f"identifier {shown(identifier)} is not of a prediction of model {shown(model)}", field="model")
    if not some:
        raise NotFound(f"no prediction is kept for identifier {shown(identifier)}", field=field)
    if len(some) > 1:
        raise Conflict(
            f"several models have a prediction of the identifier {shown(identifier)}: name the one that is meant, as model",
            field="model",
            code="ambiguous",
        )
    found = some[0]
    if found.seq is None and found.expires_at < datetime.now(UTC):
        raise Gone(
            f"the prediction {shown(identifier)} expired on {found.expires_at:%Y-%m-%d %H:%M} UTC: "
            "post the point with its features instead",
            field=field,
        )
    return found


def label(
    found: Waiting,
    y: Any,
    field: str = "y",
    source: dict[str, Any] | None = None,
    descriptor: str | None = None,
    written: Any = None,
) -> Receipt:
    """Learn the point of a kept prediction, scored on what was predicted then; a repeated label changes nothing.

    Raises
    ------
    Invalid
        If ``y`` is not the stream's kind of target.
    Conflict
        If the prediction has another label already, or its features are made by another descriptor than is said.
    """
    check = Checker(None, found.target_kind)
    if written is not None:
        point = {"y": y}
        take(point, written, check, SETS.of(found.stream_id).seen)
        y = point["y"]
    check.y(y, field)
    note = Note(
        source=source,
        identifier=found.identifier,
        given={found.model_id: loads(found.prediction)},
        of_model=found.model_id if found.of_model else None,
    )
    receipt = writing.learn(found.stream_id, [Point(loads(found.x), y, note)], descriptor=descriptor)
    if receipt.duplicates:
        for span in log.spans(found.stream_id, receipt.seqs[0] - 1, receipt.seqs[0]):
            if span.xs[0] is None:  # thinned out
                continue
            if span.ys[0] != y or isinstance(span.ys[0], bool) is not isinstance(y, bool):
                raise Conflict(
                    f"prediction {shown(found.identifier)} has the label {shown(span.ys[0])} already, "
                    f"so it can't be {shown(y)}",
                    field=field,
                )
    return receipt


def purge(now: datetime) -> int:
    """Delete kept predictions a full term after they expired (so that a late label still hears why it's refused)."""
    last = now - timedelta(days=settings.TAILRACE.identifier_days)
    return usage.delete_predictions_in_turns("expires_at < %s ORDER BY expires_at, id", _stored(last))


def _stored(moment: datetime) -> Any:
    """A time as the database compares it."""
    return connection.ops.adapt_datetimefield_value(moment)
