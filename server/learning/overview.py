"""All streams and models at a glance: one row for each model, and one for each stream without a model."""

from collections.abc import Collection, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from django.db.models import OuterRef, Subquery

from server.learning.models import Model, ModelStatus
from server.streams import silence
from server.streams.models import Batch, Stream

RATE_COMMITS = 20
"""Number of the latest commits over which a stream's rate is the mean."""

IDLE = timedelta(minutes=1)
"""A stream has no rate once it has been silent for this long, and for three times as long as those commits took."""

SKIPPING, DRIFT, NO_MODEL = "skipping", "drift", "no-model"

_STREAM = ("pk", "name", "target_unit", "head", "created_at", "created_by", "expected_every", "grace")
_MODEL = ("stream_id", "generation", "pk", "name", "flavor", "recipe", "status", "progress", "since", "window")
_STATUS = ("generation", "n", "scored", "skipped", "metric", "value", "rolling", "drift_at", "last_skip")


class Row(NamedTuple):
    """A model on its stream; a stream without a model has None for everything of a model.

    Attributes
    ----------
    last_at
        Time of the stream's last observation; None if there is none.
    states
        What there is to know of it, the worst first: statuses of a model (but ``ready``), :data:`SKIPPING`, :data:`DRIFT`,
        ``late`` and ``silent`` (:mod:`server.streams.silence`), :data:`NO_MODEL`.
    n, scored, skipped, metric, value, rolling, drift_at
        As in :class:`server.learning.models.ModelStatus`; None until that is written.
    """

    stream_id: int
    stream: str
    unit: str
    head: int
    created_at: datetime
    created_by: str
    last_at: datetime | None
    states: tuple[str, ...]
    model_id: int | None = None
    model: str | None = None
    flavor: str = ""
    recipe: str = ""
    status: str = ""
    progress: int = 0
    since: int = 0
    window: int = 0
    n: int | None = None
    scored: int | None = None
    skipped: int | None = None
    metric: str = ""
    value: float | None = None
    rolling: float | None = None
    drift_at: int | None = None

    @property
    def share(self) -> float | None:
        """How much of its history a model has learned that is backfilled or rebuilt, from 0 to 1; None for others."""
        if self.status not in (Model.BACKFILLING, Model.REBUILDING) or self.head <= self.since:
            return None
        return min(1.0, max(0.0, (self.progress - self.since) / (self.head - self.since)))


def rows(only: Collection[str] | None = None, now: datetime | None = None) -> list[Row]:
    """Return the rows of all models by name, then those of streams without one, with two queries that read no observations.

    Parameters
    ----------
    only
        Names of the only streams to return; None for all.
    """
    now = now or datetime.now(UTC)
    streams, models = Stream.objects.all(), Model.objects.all()
    if only is not None:
        streams, models = streams.filter(name__in=only), models.filter(stream__name__in=only)
    latest = Batch.objects.filter(stream=OuterRef("pk")).order_by("-last").values("at")[:1]
    of_stream: dict[int, tuple[Any, ...]] = {}
    states_of: dict[int, tuple[str, ...]] = {}
    for *values, every, grace, last_at in streams.order_by("name").values_list(*_STREAM, Subquery(latest)):
        state = silence.state_of(every, grace, last_at, now)
        of_stream[values[0]] = (*values, last_at)
        states_of[values[0]] = (state,) if state in (silence.LATE, silence.SILENT) else ()
    found: list[Row] = []
    learned: set[int] = set()
    fields = (*_MODEL, *(f"modelstatus__{name}" for name in _STATUS))
    for stream_id, generation, *values in models.order_by("name").values_list(*fields).iterator():
        if stream_id not in of_stream:
            continue  # it was created meanwhile
        learned.add(stream_id)
        model, (of_generation, *status, last_skip) = values[:8], values[8:]
        if of_generation != generation:
            status, last_skip = [], None
        states = (*_states(model, status, last_skip), *states_of[stream_id])
        row: list[Any] = [*of_stream[stream_id], states, *model, *status]
        found.append(Row(*row))
    for stream_id, stream in of_stream.items():
        if stream_id not in learned:
            row = [*stream, (NO_MODEL, *states_of[stream_id])]
            found.append(Row(*row))
    return found


def _states(model: list[Any], status: list[Any], last_skip: int | None) -> list[str]:
    """Return the states of a model, from its columns and those of its status, which are empty if there is none."""
    kind, window = model[4], model[7]
    states = [] if kind == Model.READY else [kind]
    if status:
        n, scored, *_, drift_at = status
        if last_skip is not None and n - last_skip < window:
            states.append(SKIPPING)
        if drift_at is not None and scored - drift_at < window:
            states.append(DRIFT)
    return states


def rates(stream_ids: Iterable[int], now: datetime | None = None) -> dict[int, float | None]:
    """Return the observations per second of streams over their latest commits; None where nothing comes any more."""
    now = now or datetime.now(UTC)
    commits = Batch.objects.filter(stream=OuterRef("pk"))
    latest, before = commits.order_by("-last"), commits.order_by("-last")[RATE_COMMITS : RATE_COMMITS + 1]
    first = commits.order_by("last")[:1]
    found = Stream.objects.filter(pk__in=set(stream_ids)).annotate(
        last_at=Subquery(latest.values("at")[:1]),
        from_at=Subquery(before.values("at")),
        from_n=Subquery(before.values("last")),
        first_at=Subquery(first.values("at")),
        first_n=Subquery(first.values("last")),
    )
    made: dict[int, float | None] = {}
    for pk, head, last_at, *parts in found.values_list(
        "pk", "head", "last_at", "from_at", "from_n", "first_at", "first_n"
    ):
        from_at, from_n, first_at, first_n = parts
        begin, n = (first_at, first_n) if from_at is None else (from_at, from_n)
        span = (last_at - begin).total_seconds() if last_at is not None else 0.0
        idle = last_at is None or (now - last_at) > max(IDLE, 3 * timedelta(seconds=span))
        made[pk] = None if idle or span <= 0 else (head - n) / span
    return made


class Details(NamedTuple):
    """What a page shows of a model beside its row.

    Attributes
    ----------
    curve
        The rolling metric, from old to new, with at most 40 values.
    error
        Why it failed; empty if it did not.
    """

    curve: list[float | None]
    error: str


def details(model_ids: Collection[int]) -> dict[int, Details]:
    """Return the details of models, with two queries."""
    curves = dict(ModelStatus.objects.filter(model__in=model_ids).values_list("model", "curve"))
    errors = dict(Model.objects.filter(pk__in=model_ids).exclude(error="").values_list("pk", "error"))
    return {pk: Details(curves.get(pk, []), errors.get(pk, "")) for pk in model_ids}
