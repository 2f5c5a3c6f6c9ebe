"""Logged models, as MLflow 3 knows them: create, find, finish, tag, delete; their params and metrics."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple
from uuid import uuid4

from server.core.db.locks import transaction_for_writing
from server.core.errors import Conflict, Invalid, NotFound
from server.core.validation import check_text, format_value
from server.tracking import checks, experiments, random_names, runs
from server.tracking.clock import now_ms
from server.tracking.models import (
    Experiment,
    LoggedModel,
    LoggedModelMetric,
    LoggedModelParam,
    LoggedModelTag,
    Run,
    RunInput,
    RunOutput,
)
from server.tracking.models.names import ACTIVE, DELETED, LONGEST_NAME
from server.tracking.statements import Point

LONGEST_TAG = 100_000
NOT_IN_NAMES = "/:.%\"'"
MOST_AT_ONCE = 1_000


class Measured(NamedTuple):
    """A point of a metric of a logged model, perhaps on a data set."""

    model: str
    point: Point
    dataset_name: str = ""
    dataset_digest: str = ""


def find(uid: Any) -> LoggedModel:
    """Return a logged model that isn't deleted.

    Raises
    ------
    NotFound
        If there is none of this identifier.
    """
    known = isinstance(uid, str) and len(uid) <= 40 and "\x00" not in uid
    found = LoggedModel.objects.filter(uid=uid, lifecycle=ACTIVE).first() if known else None
    if found is None:
        raise NotFound(f"Logged model with ID {format_value(uid)} not found.", field="model_id")
    return found


def create(
    experiment: Experiment,
    *,
    name: str = "",
    kind: str = "",
    source_run: str = "",
    tags: Mapping[str, str] | None = None,
    params: Mapping[str, str] | None = None,
    created_by: str = "",
    owner_id: int | None = None,
) -> LoggedModel:
    """Create a logged model, whose files follow.

    Parameters
    ----------
    name
        "": a random one.
    kind
        MLflow's ``model_type``.
    source_run
        Identifier of the run that logs it; "": none.

    Raises
    ------
    Invalid
        If a value is not valid.
    NotFound
        If there is no such run.
    Conflict
        If the experiment is deleted.
    """
    experiments.check_active(experiment)
    check_text(name, "name", LONGEST_NAME)
    if any(sign in name for sign in NOT_IN_NAMES):
        raise Invalid(f"name is {format_value(name)}: it can't have any of {' '.join(NOT_IN_NAMES)}", field="name")
    check_text(kind, "model_type", LONGEST_NAME)
    if source_run:
        runs.find(source_run)
    own_tags = check_tags(tags or {})
    own_params = checks.pairs(dict(params or {}), "params")
    now = now_ms()
    with transaction_for_writing():
        made = LoggedModel.objects.create(
            uid=f"m-{uuid4().hex}", experiment=experiment, name=name or random_names.random_name(), kind=kind,
            source_run=source_run, created_ms=now, changed_ms=now, created_by=created_by, owner_id=owner_id,
        )  # fmt: skip
        LoggedModelTag.objects.bulk_create(LoggedModelTag(model=made, key=k, value=v) for k, v in own_tags.items())
        LoggedModelParam.objects.bulk_create(
            LoggedModelParam(model=made, key=k, value=v) for k, v in own_params.items()
        )
    return made


def check_tags(tags: Mapping[str, Any]) -> dict[str, str]:
    """Return tags of a logged model.

    Raises
    ------
    Invalid
        If a key or a value is not valid.
    """
    for key, value in tags.items():
        checks.key(key, f"key {format_value(key)} of tags")
        check_text(value, f"tags.{key}", LONGEST_TAG)
    return dict(tags)


def finish(model: LoggedModel, status: str) -> LoggedModel:
    """Set the status of a logged model: its files are there, or never will be."""
    with transaction_for_writing():
        LoggedModel.objects.filter(pk=model.pk).update(status=status, changed_ms=now_ms())
    return find(model.uid)


def delete(model: LoggedModel) -> None:
    """Delete a logged model. It is removed for good with its files ``TAILRACE_RUN_RETENTION_DAYS`` later."""
    now = now_ms()
    with transaction_for_writing():
        LoggedModel.objects.filter(pk=model.pk).update(lifecycle=DELETED, deleted_ms=now, changed_ms=now)


def set_tags(model: LoggedModel, tags: Mapping[str, str]) -> None:
    """Set tags, in place of earlier ones of the same keys.

    Raises
    ------
    Invalid
        If a key or a value is not valid.
    """
    given = check_tags(tags)
    with transaction_for_writing():
        LoggedModelTag.objects.bulk_create(
            [LoggedModelTag(model=model, key=key, value=value) for key, value in sorted(given.items())],
            update_conflicts=True, unique_fields=["model", "key"], update_fields=["value"],
        )  # fmt: skip


def delete_tag(model: LoggedModel, key: str) -> None:
    """Delete a tag.

    Raises
    ------
    NotFound
        If there is none of this key.
    """
    with transaction_for_writing():
        if not LoggedModelTag.objects.filter(model=model, key=key).delete()[0]:
            raise NotFound(f"No tag with key {format_value(key)} found for model with ID {model.uid}.", field="tag_key")


def log_params(model: LoggedModel, params: Mapping[str, str]) -> None:
    """Store params. Those that are there may be sent again with the same value.

    Raises
    ------
    Invalid
        If a key or a value is not valid.
    Conflict
        If the model has one of them with another value. None is stored then.
    """
    given = checks.pairs(dict(params), "params")
    with transaction_for_writing():
        LoggedModel.objects.select_for_update(no_key=True).get(pk=model.pk)
        held = dict(LoggedModelParam.objects.filter(model=model).values_list("key", "value"))
        for key, value in given.items():
            if held.get(key, value) != value:
                raise Conflict(
                    f"param {format_value(key)} of logged model {model.uid} is {format_value(held[key])} already",
                    field="params",
                    code="changed_param",
                )
        new = [LoggedModelParam(model=model, key=k, value=v) for k, v in given.items() if k not in held]
        LoggedModelParam.objects.bulk_create(new)


def log_metrics(run_pk: int, measured: Sequence[Measured]) -> None:
    """Store points of metrics of logged models, which a run measured. The caller has opened a transaction.

    The same point is stored once.

    Raises
    ------
    NotFound
        If there is no such logged model.
    """
    uids = {one.model for one in measured}
    numbers = dict(LoggedModel.objects.filter(uid__in=uids, lifecycle=ACTIVE).values_list("uid", "pk"))
    for uid in sorted(uids - numbers.keys()):
        raise NotFound(f"Logged model with ID {format_value(uid)} not found.", field="model_id")
    rows = [
        LoggedModelMetric(
            model_id=numbers[one.model], run_id=run_pk, key=one.point.key, step=one.point.step, time_ms=one.point.time_ms,
            value=one.point.value, special=one.point.special, dataset_name=one.dataset_name,
            dataset_digest=one.dataset_digest, digest=_digest(run_pk, one),
        )
        for one in measured
    ]  # fmt: skip
    LoggedModelMetric.objects.bulk_create(rows, ignore_conflicts=True)


def _digest(run_pk: int, one: Measured) -> str:
    return hashlib.sha256(repr((run_pk, tuple(one.point), one.dataset_name, one.dataset_digest)).encode()).hexdigest()


def metrics_of(numbers: Sequence[int]) -> dict[int, list[LoggedModelMetric]]:
    """Return the newest point of each metric, run and data set of logged models, by their ``pk``."""
    newest: dict[int, dict[tuple[Any, ...], LoggedModelMetric]] = {number: {} for number in numbers}
    rows = LoggedModelMetric.objects.select_related("run").filter(model__in=list(numbers))
    for row in rows.order_by("step", "time_ms", "value", "id"):
        newest[row.model_id][(row.key, row.run_id, row.dataset_name, row.dataset_digest)] = row
    return {number: list(points.values()) for number, points in newest.items()}


def record_outputs(run: Run, given: Iterable[tuple[str, int]]) -> None:
    """Record logged models that a run made, with the step at which it did.

    Raises
    ------
    NotFound
        If there is no such logged model.
    """
    with transaction_for_writing():
        for uid, step in given:
            RunOutput.objects.get_or_create(run_id=run.pk, model=find(uid), defaults={"step": step})


def record_inputs(run_pk: int, uids: Iterable[str]) -> None:
    """Record logged models that a run used. The caller has opened a transaction.

    Raises
    ------
    NotFound
        If there is no such logged model.
    """
    for uid in uids:
        RunInput.objects.get_or_create(run_id=run_pk, dataset=None, model=find(uid))
