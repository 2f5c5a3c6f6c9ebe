"""Feeds of experiments to streams: create, find, list, describe, backfill, delete."""

from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.db import IntegrityError

from server.accounts import roles
from server.core import audit_signals
from server.core.db.batched_deletion import delete_in_batches
from server.core.db.locks import transaction_for_writing
from server.core.errors import Conflict, Invalid, NotFound
from server.core.json_codec import dumps_text
from server.core.validation import format_value
from server.learning.models import Model
from server.streams.models import Stream
from server.tracking import checks, experiments, feed_points, feed_queue
from server.tracking.clock import now_ms
from server.tracking.models import Experiment, Feed, FeedPoint
from server.tracking.models.names import DELETED

MOST_FEEDS, MOST_PARAMS = 20, 200
"""Most feeds of an experiment, and most params of a feed."""

MOST_SHOWN = 1_000
"""Most runs of a feed in one answer."""


def find(experiment: Experiment, stream: Any) -> Feed:
    """Return the feed of an experiment to the stream of this name.

    Raises
    ------
    NotFound
        If there is none.
    """
    rows = Feed.objects.select_related("stream", "experiment").filter(experiment=experiment)
    found = rows.filter(stream_name=stream).first() if isinstance(stream, str) and "\x00" not in stream else None
    if found is None:
        raise NotFound(
            f"experiment {format_value(experiment.name)} has no feed to a stream named {format_value(stream)}",
            field="stream",
        )
    return found


def create(
    experiment: Experiment,
    stream: Stream,
    params: Mapping[str, Any],
    *,
    metric: str | None = None,
    value: str = Feed.LAST,
    backfill: bool = True,
    created_by: str = "",
    owner_id: int | None = None,
) -> Feed:
    """Have the finished runs of an experiment posted to a stream, each once, from now on.

    Parameters
    ----------
    params
        Param to its kind, ``number`` or ``category``. Each becomes a feature of its name.
    metric, value
        The target: the last, least (``min``) or largest (``max``) value of this metric. None: the wall time, s.
    backfill
        Whether runs that have finished already are posted, too.

    Raises
    ------
    Invalid
        If a param, the metric or the value is not valid, or the stream is not one for such points.
    Conflict
        If the experiment is deleted, has too many feeds, or has one to this stream.
    """
    experiments.check_active(experiment)
    wanted = _checked_params(params)
    metric = "" if metric is None else checks.key(metric, "metric")
    if value not in Feed.VALUES:
        raise Invalid(f"value is {format_value(value)}: expected one of {', '.join(Feed.VALUES)}", field="value")
    if not metric and value != Feed.LAST:
        raise Invalid(f"value is {value}, but the target is the wall time, which a run has one of", field="value")
    _check_stream(stream, wanted)
    exists = Conflict(
        f"experiment {format_value(experiment.name)} has a feed to stream {stream.name} already: delete it first; what was posted "
        "is not posted again",
        field="stream",
        code="exists",
    )
    try:
        with transaction_for_writing():
            others = Feed.objects.filter(experiment=experiment)
            if others.filter(stream_name=stream.name).exists():
                raise exists
            if others.count() >= MOST_FEEDS:
                raise Conflict(
                    f"experiment {format_value(experiment.name)} has {MOST_FEEDS} feeds, the most allowed: delete one",
                    field="stream",
                    code="too_many",
                )
            made = Feed.objects.create(
                experiment=experiment, stream=stream, stream_name=stream.name, params=dumps_text(wanted), metric=metric, value=value,
                created_ms=now_ms(), created_by=created_by, owner_id=owner_id,
            )  # fmt: skip
            if backfill:
                feed_queue.add_earlier(made)
            audit_signals.send("feed.create", str(made), after=_audited(made))
    except IntegrityError as exc:
        raise exists from exc
    return made


def _checked_params(params: Any) -> dict[str, str]:
    if type(params) is not dict or not 1 <= len(params) <= MOST_PARAMS:
        what = f"an object of {len(params)}" if type(params) is dict else format_value(params)
        raise Invalid(f"params is {what}: expected 1 to {MOST_PARAMS} params with their kinds", field="params")
    most: int = settings.TAILRACE.max_name_length
    for name, kind in params.items():
        checks.key(name, f"key {format_value(name)} of params")
        if len(name) > most:
            raise Invalid(
                f"param {format_value(name)} has {len(name)} characters: a feature has at most {most}", field="params"
            )
        if kind not in Feed.KINDS:
            raise Invalid(
                f"params.{name} is {format_value(kind)}: expected one of {', '.join(Feed.KINDS)}",
                field=f"params.{name}"[:200],
            )
    return dict(params)


def _check_stream(stream: Stream, params: Mapping[str, str]) -> None:
    """Check that such points can go to the stream, before the first run ends."""
    if stream.target_kind not in ("number", "any"):
        raise Invalid(
            f"stream {stream.name} has targets of kind {stream.target_kind}: a feed posts numbers", field="stream"
        )
    if stream.descriptor is not None:
        raise Invalid(
            f"the features of stream {stream.name} are computed with descriptor {stream.descriptor}: a feed posts params",
            field="stream",
        )
    declared: dict[str, str] | None = stream.features
    if declared is not None and declared != params:
        told = ", ".join(f"{name} ({kind})" for name, kind in declared.items())
        raise Invalid(
            f"params differ from the features that stream {stream.name} declares: expected {told[:500]}", field="params"
        )


def backfill(feed: Feed) -> int:
    """Queue the runs that have finished and were not posted: those from before the feed was made, and those left out.

    Return how many. A run that was posted is not posted again.
    """
    with transaction_for_writing():
        found = feed_queue.add_earlier(feed)
        if found:
            audit_signals.send("feed.backfill", str(feed), after={"runs": found})
    return found


def delete(feed: Feed) -> None:
    """Delete a feed. What was posted stays in the stream."""
    # The feed's row is locked for a moment only, since trainings that end wait for it.
    delete_in_batches("SELECT id, 48 FROM tracking_feedpoint WHERE feed_id = %s", (feed.pk,), _delete_points)
    with transaction_for_writing():
        found = Feed.objects.select_for_update().filter(pk=feed.pk).first()
        if found is not None:
            audit_signals.send("feed.delete", str(found), before=_audited(found))
            found.delete()


def _delete_points(numbers: list[int]) -> int:
    with transaction_for_writing():
        return FeedPoint.objects.filter(pk__in=numbers).delete()[0]


def _audited(feed: Feed) -> dict[str, Any]:
    return {"params": feed_points.kinds(feed), "target": feed_points.shown_target(feed)}


def trouble(feed: Feed) -> str:
    """Return why the feed posts nothing now; empty if nothing is in its way."""
    if feed.stream is None:
        return f"stream {feed.stream_name} was deleted: delete the feed"
    if feed.experiment.lifecycle == DELETED:
        return "the experiment is deleted"
    if feed.owner_id is not None:
        owner = User.objects.filter(pk=feed.owner_id, is_active=True).first()
        if owner is None or "learn" not in roles.permissions_of(owner.pk, is_superuser=owner.is_superuser):
            return f"{feed.created_by or 'its owner'} may not post observations any more: somebody who may has to make the feed anew"
    return ""


def listing(experiment: Experiment) -> list[dict[str, Any]]:
    """Return the feeds of an experiment, by the stream's name."""
    rows = Feed.objects.filter(experiment=experiment).select_related("stream", "experiment")
    return described(list(rows.order_by("stream_name")))


def described(found: list[Feed]) -> list[dict[str, Any]]:
    """Return feeds as the API shows them."""
    counts = feed_queue.counts([one.pk for one in found])
    models: dict[int | None, list[str]] = {}
    streams = [one.stream_id for one in found if one.stream_id is not None]
    for stream, name in Model.objects.filter(stream__in=streams).order_by("name").values_list("stream", "name"):
        models.setdefault(stream, []).append(name)
    return [
        {
            "stream": one.stream_name,
            "params": feed_points.kinds(one),
            "metric": one.metric or None,
            "value": one.value,
            "target": feed_points.shown_target(one),
            "runs": counts[one.pk],
            "models": models.get(one.stream_id, []),
            "trouble": trouble(one),
            "created_ms": one.created_ms,
            "created_by": one.created_by,
        }
        for one in found
    ]


def runs_of(feed: Feed, state: str | None, limit: int, after: int) -> list[dict[str, Any]]:
    """Return runs of a feed after a number, in the order in which they were queued, with what became of them.

    Parameters
    ----------
    state
        Only those in it; None: in any.
    """
    rows = FeedPoint.objects.filter(feed=feed, pk__gt=after).select_related("run").order_by("pk")
    if state is not None:
        rows = rows.filter(state=state)
    return [
        {
            "number": row.pk,
            "run": row.run.uid,
            "name": row.run.name,
            "state": row.state,
            "seq": row.seq,
            "reason": row.reason,
        }
        for row in rows[:limit]
    ]
