"""How MLflow's protocol writes experiments, runs, models and their parts. As in MLflow, empty lists are left out."""

from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from server.tracking import locations, values
from server.tracking.models import (
    Experiment,
    LoggedModel,
    LoggedModelMetric,
    ModelVersion,
    RegisteredModel,
    Run,
    RunInput,
)

MODEL_STATUS = {status: f"LOGGED_MODEL_{status}" for status in (LoggedModel.PENDING, LoggedModel.READY)}
MODEL_STATUS[LoggedModel.FAILED] = "LOGGED_MODEL_UPLOAD_FAILED"


def pairs(found: Mapping[str, str]) -> list[dict[str, str]]:
    """Return keys and values as a list of objects."""
    return [{"key": key, "value": value} for key, value in found.items()]


def experiment(one: Experiment, tags: Mapping[str, str]) -> dict[str, Any]:
    """Return an experiment."""
    shown: dict[str, Any] = {
        "experiment_id": str(one.pk),
        "name": one.name,
        "artifact_location": f"{locations.SCHEME}{one.pk}",
        "lifecycle_stage": one.lifecycle,
        "last_update_time": one.changed_ms,
        "creation_time": one.created_ms,
    }
    if tags:
        shown["tags"] = pairs(tags)
    return shown


def run_info(run: Run) -> dict[str, Any]:
    """Return what a run is, without what it logged."""
    shown: dict[str, Any] = {
        "run_uuid": run.uid,
        "run_id": run.uid,
        "experiment_id": str(run.experiment_id),
        "run_name": run.name,
        "user_id": run.user_name,
        "status": run.status,
        "start_time": run.started_ms,
        "artifact_uri": locations.of_run(run),
        "lifecycle_stage": run.lifecycle,
    }
    if run.ended_ms is not None:
        shown["end_time"] = run.ended_ms
    return shown


def metric(key: str, step: int, time_ms: int, value: float, special: int) -> dict[str, Any]:
    """Return a point of a metric. NaN and infinities are texts, as JSON has no numbers for them."""
    return {"key": key, "value": values.shown(value, special), "timestamp": time_ms, "step": step}


def run_data(metrics: list[dict[str, Any]], params: Mapping[str, str], tags: Mapping[str, str]) -> dict[str, Any]:
    """Return what a run logged."""
    shown = {"metrics": metrics, "params": pairs(params), "tags": pairs(tags)}
    return {name: found for name, found in shown.items() if found}


def dataset_input(one: RunInput) -> dict[str, Any]:
    """Return a data set that a run used."""
    dataset = one.dataset
    assert dataset is not None
    shown = {
        "name": dataset.name,
        "digest": dataset.digest,
        "source_type": dataset.source_type,
        "source": dataset.source,
    }
    if dataset.schema:
        shown["schema"] = dataset.schema
    if dataset.profile:
        shown["profile"] = dataset.profile
    tags = orjson.loads(one.tags)
    return {"tags": pairs(tags), "dataset": shown} if tags else {"dataset": shown}


def registered_model(
    one: RegisteredModel,
    tags: Mapping[str, str],
    aliases: Mapping[str, int],
    latest: Iterable[tuple[ModelVersion, Mapping[str, str]]],
) -> dict[str, Any]:
    """Return a registered model, with the newest version of each stage."""
    shown: dict[str, Any] = {
        "name": one.name,
        "creation_timestamp": one.created_ms,
        "last_updated_timestamp": one.changed_ms,
    }
    if one.description:
        shown["description"] = one.description
    versions = [model_version(version, found) for version, found in latest]
    if versions:
        shown["latest_versions"] = versions
    if tags:
        shown["tags"] = pairs(tags)
    if aliases:
        shown["aliases"] = [{"alias": alias, "version": str(number)} for alias, number in aliases.items()]
    return shown


def model_version(
    one: ModelVersion, tags: Mapping[str, str], aliases: Mapping[str, int] | None = None
) -> dict[str, Any]:
    """Return a version of a registered model; with its aliases, if those of the model are given."""
    shown: dict[str, Any] = {
        "name": one.model.name,
        "version": str(one.version),
        "creation_timestamp": one.created_ms,
        "last_updated_timestamp": one.changed_ms,
        "current_stage": one.stage,
        "description": one.description,
        "source": one.source,
        "run_id": one.run,
        "run_link": one.run_link,
        "status": one.status,
    }
    if one.status_message:
        shown["status_message"] = one.status_message
    if tags:
        shown["tags"] = pairs(tags)
    own = [alias for alias, number in (aliases or {}).items() if number == one.version]
    if own:
        shown["aliases"] = own
    return shown


def logged_model(
    one: LoggedModel, tags: Mapping[str, str], params: Mapping[str, str], metrics: Iterable[LoggedModelMetric]
) -> dict[str, Any]:
    """Return a logged model."""
    info: dict[str, Any] = {
        "model_id": one.uid,
        "experiment_id": str(one.experiment_id),
        "name": one.name,
        "creation_timestamp_ms": one.created_ms,
        "last_updated_timestamp_ms": one.changed_ms,
        "artifact_uri": locations.of_logged_model(one),
        "status": MODEL_STATUS[one.status],
        "model_type": one.kind,
    }
    if one.source_run:
        info["source_run_id"] = one.source_run
    if one.status_message:
        info["status_message"] = one.status_message
    if tags:
        info["tags"] = pairs(tags)
    data: dict[str, Any] = {}
    if params:
        data["params"] = pairs(params)
    measured = [logged_model_metric(one, point) for point in metrics]
    if measured:
        data["metrics"] = measured
    return {"info": info, "data": data}


def logged_model_metric(model: LoggedModel, one: LoggedModelMetric) -> dict[str, Any]:
    """Return a point of a metric of a logged model."""
    shown = metric(one.key, one.step, one.time_ms, one.value, one.special)
    shown |= {"model_id": model.uid, "run_id": one.run.uid}
    if one.dataset_name:
        shown["dataset_name"] = one.dataset_name
    if one.dataset_digest:
        shown["dataset_digest"] = one.dataset_digest
    return shown
