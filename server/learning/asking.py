"""The read path: predictions that reflect everything acknowledged, and labels that come late."""

import time
import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import DatabaseError, IntegrityError, InterfaceError, connection
from orjson import JSONEncodeError

from server.learning import quarantine, usage, writing
from server.learning.models import Model, Prediction
from server.learning.receipts import Receipt
from server.learning.replay import Unstorable
from server.learning.replica import FATAL, Replica, reason
from server.learning.replicaset import SETS, ReplicaSet
from server.learning.turn import MOST_PREDICTED
from server.learning.waiters import room_for
from server.streams import locks, log, quota_usage
from server.streams.codec import exact, loads, text
from server.streams.errors import Conflict, Gone, Invalid, NotFound, TooLarge, Unavailable
from server.streams.log import Note, Point
from server.streams.quotas import Owner
from server.streams.reading import OneRow
from server.streams.tracing import Steps, Tracing
from server.streams.validation import Checker, check_text, shown
from server.streams.written import take

_find = OneRow(
    "SELECT m.id, m.status, m.progress, s.id, s.head, s.epoch, s.name, (SELECT value FROM streams_generation)"
    " FROM learning_model m JOIN streams_stream s ON s.id = m.stream_id WHERE m.name = %s"
)


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
    """

    model_id: int
    predictions: list[Any]
    intervals: list[tuple[float, float] | None] | None
    at: int
    identifier: str | None = None


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
        self._deadline = time.monotonic() + settings.TAILRACE.block_seconds

    def add(self, prediction: Any) -> None:
        """Count a prediction.

        Raises
        ------
        TooLarge
            If that is too much, and there are more to come.
        """
        self._done += 1
        if type(prediction) in (dict, list, str):
            self._bytes += len(exact(prediction))
        if self._done == self._points:
            return
        if self._bytes > MOST_PREDICTED:
            raise TooLarge(
                f"model {self._name}'s predictions take more than {MOST_PREDICTED // 2**20} MB: {self._fewer()}"
            )
        if time.monotonic() > self._deadline:
            raise TooLarge(
                f"model {self._name} takes more than {settings.TAILRACE.block_seconds:g} s to predict {self._points} points: "
                f"{self._fewer()}",
                code="too_slow",
            )

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

    Raises
    ------
    NotFound, Conflict, Invalid, Unavailable
        As :func:`find` does; Invalid also for features that can't be, and for what the estimator raises.
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
    with room_for(len(xs)), replicas.to_ask():
        if steps is not None:
            steps.end("wait")
        replica = current(replicas, place)
        if steps is not None:
            steps.end("catch_up")
        check: Checker = replicas.checker
        for x, field in zip(xs, fields, strict=True):
            check.x(x, field)
        bound = _Bound(name, len(xs)) if len(xs) > 1 else None
        for x, field in zip(xs, fields, strict=True):
            try:
                predictions.append(replica.predict(x))
                if level is not None:
                    intervals.append(replica.interval(x, level))
            except FATAL:
                raise
            except BaseException as exc:  # whatever an estimator may raise
                raise Invalid(
                    f"model {name} can't predict {field}: {reason(exc)}", field=field, code="refused"
                ) from exc
            if bound is not None:
                bound.add(predictions[-1])
        at = replica.n
    if steps is not None and Tracing.tracer is not None:
        steps.end("estimate")
        Tracing.tracer.note("predict", steps.began, steps.all, {"tailrace.model": name, "tailrace.points": len(xs)})
    has_intervals = any(interval is not None for interval in intervals)
    if keep or identifier is not None:
        interval = intervals[0] if has_intervals else None
        return _keep(place, at, identifier, of_model, xs[0], predictions[0], interval, owner)
    return Answer(place.model_id, predictions, intervals if has_intervals else None, at)


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
    now = datetime.now(UTC)
    own = identifier or str(uuid.uuid4())
    try:
        x_text, prediction_text = text(x), text(prediction)
    except JSONEncodeError as exc:
        raise Invalid(f"the model's prediction can't be kept: {exc}", field="identifier", code="refused") from exc
    row = (
        own, place.model_id, place.stream_id, of_model, x_text, prediction_text, at, now,
        now + timedelta(days=settings.TAILRACE.identifier_days),
        *((None, None) if owner is None else (owner.user_id, owner.token_id or None)),
    )  # fmt: skip
    size = 0 if owner is None else usage.prediction_bytes(own, x_text, prediction_text)
    try:
        inserted = _insert(row, owner, size)
    except IntegrityError as exc:
        raise NotFound("the model was deleted") from exc
    intervals = None if interval is None else [interval]
    if inserted:
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


def _insert(row: tuple[Any, ...], owner: Owner | None, size: int) -> bool:
    """Store a row if nothing is stored under its identifier, and count it: nearly always of what the process has in reserve."""
    held = owner is None or usage.PREDICTIONS.take(owner, size)
    inserted, left, back = False, 0, 0
    try:
        with locks.transaction_for_writing(), connection.cursor() as cursor:
            cursor.execute(_INSERT[connection.vendor], row)
            inserted = bool(cursor.rowcount)
            if inserted and not held and owner is not None:
                charged, left = usage.PREDICTIONS.charge(owner, size)
                charged.tell()
        back = size if held and not inserted else left
    except IntegrityError:
        back = size if held else 0
        raise
    finally:  # what was taken for a commit that failed otherwise stays taken: it may be stored all the same
        if owner is not None and (back or not held):
            usage.PREDICTIONS.put_back(owner, back)
    return inserted


_COLUMNS = "identifier, model_id, stream_id, of_model, x, prediction, at, made_at, expires_at, owner_id, token_id, xid"
_INSERT = {
    # The transaction's number orders events; on SQLite, which has one writer, the last batch before it does.
    vendor: f"INSERT INTO learning_prediction ({_COLUMNS}) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, {xid})"
    " ON CONFLICT DO NOTHING"
    for vendor, xid in (
        ("sqlite", "(SELECT COALESCE(MAX(id), 0) FROM streams_batch)"),
        ("postgresql", "pg_current_xact_id()::text::bigint"),
    )
}


def waiting(
    identifier: Any,
    model: str | None = None,
    field: str = "identifier",
    *,
    streams: Collection[str] | None = None,
) -> Prediction:
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
        seen = Prediction.objects.select_related("model__stream").defer("model__initial").filter(identifier=identifier)
        if streams is not None:
            seen = seen.filter(stream__name__in=streams)
        some = list((seen if model is None else seen.filter(model__name=model))[:2])
        is_of_another = not some and model is not None and seen.exists()
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
    found: Prediction,
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
    stream = found.model.stream
    check = Checker(None, stream.target_kind)
    if written is not None:
        point = {"y": y}
        take(point, written, check, SETS.of(stream.pk).seen)
        y = point["y"]
    check.y(y, field)
    note = Note(
        source=source,
        identifier=found.identifier,
        given={found.model_id: loads(found.prediction)},
        of_model=found.model_id if found.of_model else None,
    )
    receipt = writing.learn(stream.pk, [Point(loads(found.x), y, note)], descriptor=descriptor)
    if receipt.duplicates:
        for span in log.spans(stream.pk, receipt.seqs[0] - 1, receipt.seqs[0]):
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
    term = timedelta(days=settings.TAILRACE.identifier_days)
    with locks.transaction_for_writing():
        deleted, freed = usage.delete_predictions("expires_at < %s", (_stored(now - term),))
        quota_usage.release(freed)
    return deleted


def _stored(moment: datetime) -> Any:
    """A time as the database compares it."""
    return connection.ops.adapt_datetimefield_value(moment)
