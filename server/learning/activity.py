"""What happens on the server, as entries for people: learned and labeled observations, predictions that wait for their label,
retractions, quarantines and new models.

Observations and predictions come from :mod:`server.learning.event_log`, in its order. The others have a time and no place in
that order; they are merged by time.
"""

from collections.abc import Collection, Iterator
from datetime import datetime
from typing import Any, NamedTuple

from django.db import connection
from django.db.models import QuerySet

from server.core.json_codec import loads
from server.learning.event_log import BATCH, PREDICTION, Learned, Position, Predicted, Reader, now
from server.learning.models import Model, Prediction, Quarantine
from server.streams import log
from server.streams.models import Batch, Retraction

LEARN, LABEL, PREDICT, RETRACT, QUARANTINE, MODEL = KINDS = (
    "learn", "label", "predict", "retract", "quarantine", "model",
)  # fmt: skip
LOGGED = (LEARN, LABEL, PREDICT)
"""Kinds that have a position in the event log."""

MOST = 50
"""Largest number of entries of a page."""

MOST_MODELS = 5
"""Largest number of models whose predictions an entry has."""

MOST_TEXT = 2**21
"""Characters after which no further entries are read for a page."""

_READS = 20


class Entry(NamedTuple):
    """One thing that happened.

    Attributes
    ----------
    position
        The position in the event log before this entry; None for kinds that have none.
    first, last
        The observations that it is about; None if it is about none.
    y
        Target of the last of them.
    predictions
        What models predicted for that one before they learned it, by name; at most :data:`MOST_MODELS`.
    text
        What else there is to say: a reason, an identifier.
    """

    kind: str
    at: datetime
    stream: str
    position: Position | None = None
    first: int | None = None
    last: int | None = None
    y: Any = None
    predictions: dict[str, Any] = {}
    model: str = ""
    text: str = ""
    by: str = ""


class Activity(NamedTuple):
    """A page of entries, from old to new.

    Attributes
    ----------
    after
        The position after the last of them: where to go on.
    is_last
        Whether there is nothing after them yet.
    """

    entries: list[Entry]
    after: Position
    is_last: bool


def read(streams: dict[int, str], *, is_all: bool, kinds: Collection[str], after: Position | None = None) -> Activity:
    """Return at most :data:`MOST` logged entries after a position, and others of their time; the latest, without a position.

    Parameters
    ----------
    streams
        Names of the streams to tell of, by ID.
    is_all
        Whether those are all streams there are.
    """
    if after is None:
        end = now()
        logged = _latest(streams, is_all, kinds)
        since = logged[0].at if len(logged) == MOST else None
        entries = sorted([*_named(logged), *_others(streams, is_all, kinds, since, None)], key=lambda entry: entry.at)
        return Activity(entries[-MOST:], end, True)
    logged, end, is_last = _following(streams, is_all, kinds, after)
    if not logged:
        return Activity([], end, is_last)
    others = _others(streams, is_all, kinds, logged[0].at, None if is_last else logged[-1].at)
    return Activity(sorted([*_named(logged), *others], key=lambda entry: entry.at), end, is_last)


def _following(
    streams: dict[int, str], is_all: bool, kinds: Collection[str], after: Position
) -> tuple[list[Entry], Position, bool]:
    """Return logged entries after a position, the position after them, and whether they are the last."""
    tables = [BATCH] * (LEARN in kinds or LABEL in kinds) + [PREDICTION] * (PREDICT in kinds)
    if not tables or not streams:
        return [], after, True
    one = next(iter(streams)) if len(streams) == 1 and not is_all else None
    reader = Reader(after, one, tuple(tables))
    entries: list[Entry] = []
    for _ in range(_READS):
        before = start = reader.position
        for row in reader.read():
            if row.stream_id in streams:
                entries += [entry for entry in _entries(row, streams, before) if entry.kind in kinds]
            before = row.position
            if len(entries) >= MOST:
                return entries, before, False
        if reader.position == start:
            return entries, reader.position, True
    return entries, reader.position, False


def _latest(streams: dict[int, str], is_all: bool, kinds: Collection[str]) -> list[Entry]:
    """Return the latest logged entries, from old to new."""
    found: list[Entry] = []
    if LEARN in kinds or LABEL in kinds:
        found += _latest_observations(streams, is_all)
    if PREDICT in kinds:
        found += _latest_predictions(streams, is_all)
    return sorted((entry for entry in found if entry.kind in kinds), key=lambda entry: entry.at)[-MOST:]


def _latest_observations(streams: dict[int, str], is_all: bool) -> Iterator[Entry]:
    """Yield the latest observations. It reads up to :data:`MOST_TEXT` characters, and no features."""
    batches = Batch.objects.all() if is_all else Batch.objects.filter(stream__in=streams)
    order = "-last" if len(streams) == 1 and not is_all else "-pk"
    rows = batches.order_by(order).values_list(
        "pk", "xid", "stream_id", "last", "count", "at", "ys", "notes", "predictions", "skipped"
    )[:MOST]
    characters = 0
    for pk, xid, stream_id, last, count, at, ys, *texts in rows.iterator(chunk_size=5):
        before, characters = characters, characters + sum(len(text) for text in (ys, *texts) if text is not None)
        if characters > MOST_TEXT and before:
            return
        if stream_id in streams:
            position = Position((xid or 0) if connection.vendor == "postgresql" else pk, BATCH, pk)
            row = Learned(position, stream_id, log.decoded(last - count + 1, at, "[]", ys, *texts))
            yield from _entries(row, streams, position._replace(row=pk - 1))


def _latest_predictions(streams: dict[int, str], is_all: bool) -> Iterator[Entry]:
    predictions = Prediction.objects.all() if is_all else Prediction.objects.filter(stream__in=streams)
    rows = predictions.order_by("-pk").values_list(
        "pk", "xid", "stream_id", "model_id", "identifier", "prediction", "at", "made_at"
    )[:MOST]
    for pk, xid, stream_id, model_id, identifier, prediction, learned, at in rows:
        if stream_id in streams:
            position = Position(xid or 0, PREDICTION, pk)
            row = Predicted(position, stream_id, model_id, identifier, {}, loads(prediction), learned, at)
            yield from _entries(row, streams, position._replace(row=pk - 1))


def _entries(row: Learned | Predicted, streams: dict[int, str], before: Position) -> Iterator[Entry]:
    stream = streams[row.stream_id]
    if isinstance(row, Predicted):
        yield Entry(
            PREDICT, row.at, stream, before, last=row.after, predictions={str(row.model_id): row.prediction},
            text=row.identifier,
        )  # fmt: skip
        return
    span = row.span
    for kind in (LEARN, LABEL):
        offsets = [n for n in range(len(span.ys)) if (kind == LABEL) is ("identifier" in span.notes.get(n, {}))]
        if offsets:
            at = offsets[-1]
            predictions = {str(pk): values[at] for pk, values in span.predictions.items() if values[at] is not None}
            yield Entry(
                kind, span.at, stream, before, span.first + offsets[0], span.first + at, span.ys[at], predictions,
                text=_skipped(span.skipped, offsets),
            )  # fmt: skip


def _skipped(skipped: dict[int, dict[int, str]], offsets: list[int]) -> str:
    models = sum(any(n in reasons for n in offsets) for reasons in skipped.values())
    return "" if not models else f"{models} model{'' if models == 1 else 's'} skipped observations"


def _named(entries: list[Entry]) -> list[Entry]:
    """Return the entries with names of models in place of their IDs, without models that are gone."""
    wanted = {int(pk) for entry in entries for pk in entry.predictions}
    names = dict(Model.objects.filter(pk__in=wanted).values_list("pk", "name"))
    return [
        entry._replace(
            predictions=dict(
                sorted((names[int(pk)], value) for pk, value in entry.predictions.items() if int(pk) in names)[
                    :MOST_MODELS
                ]
            )
        )
        for entry in entries
    ]


def _others(
    streams: dict[int, str], is_all: bool, kinds: Collection[str], since: datetime | None, until: datetime | None
) -> Iterator[Entry]:
    """Yield the latest entries of kinds that the event log doesn't have, between two times."""
    retractions, quarantines, models = Retraction.objects.all(), Quarantine.objects.all(), Model.objects.all()
    if not is_all:
        retractions, models = retractions.filter(stream__in=streams), models.filter(stream__in=streams)
        quarantines = quarantines.filter(model__stream__in=streams)
    if RETRACT in kinds:
        for row in _between(retractions, "at", since, until):
            stream = streams.get(row.stream_id, "")
            yield Entry(RETRACT, row.at, stream, first=row.seq, last=row.seq, text=row.reason, by=row.by)
    if QUARANTINE in kinds:
        for row in _between(quarantines.select_related("model").defer("model__initial"), "at", since, until):
            stream, n = streams.get(row.model.stream_id, ""), row.observation
            yield Entry(QUARANTINE, row.at, stream, first=n, last=n, model=row.model.name, text=row.reason)
    if MODEL in kinds:
        for row in _between(models.defer("initial"), "created_at", since, until):
            stream, what = streams.get(row.stream_id, ""), row.recipe or row.flavor
            yield Entry(MODEL, row.created_at, stream, model=row.name, text=what, by=row.created_by)


def _between(rows: QuerySet[Any], field: str, since: datetime | None, until: datetime | None) -> QuerySet[Any]:
    bounds = {f"{field}__gte": since, f"{field}__lte": until}
    return rows.filter(**{name: bound for name, bound in bounds.items() if bound is not None}).order_by("-pk")[:MOST]
