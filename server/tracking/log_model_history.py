"""The tag in which runs list the models among their artifacts, as MLflow's clients before version 3 log them."""

from typing import Any

import orjson

from server.core.errors import Invalid
from server.core.validation import format_value
from server.tracking import writing
from server.tracking.models import RunTag
from server.tracking.writing import LockedRun

TAG = "mlflow.log-model.history"
FIELDS = ("run_id", "artifact_path", "utc_time_created", "flavors")
LONGEST = 100_000
"""Most characters of the list. The oldest models are left out of it."""


def append(run: LockedRun, model_json: str) -> None:
    """Add a model to the list. The caller holds the run.

    Raises
    ------
    Invalid
        If it is not JSON with the fields of a model, or too long or too deep to be a tag.
    """
    model = _read(model_json)
    held = RunTag.objects.filter(run_id=run.pk, key=TAG).values_list("value", flat=True).first()
    history = [*_held(held or "[]"), model]
    try:
        text = orjson.dumps(history).decode()
    except orjson.JSONEncodeError as exc:  # it writes fewer levels than it reads
        raise Invalid("Malformed model info: model_json is nested too deep", field="model_json") from exc
    while len(text) > LONGEST and len(history) > 1:
        del history[0]
        text = orjson.dumps(history).decode()
    if len(text) > LONGEST:
        raise Invalid(
            f"Malformed model info: model_json takes {len(text)} characters: the most allowed is {LONGEST}",
            field="model_json",
        )
    writing.log_tags(run, {TAG: text})


def _held(text: str) -> list[Any]:
    """Return the list in the tag; empty if somebody has set the tag to something else."""
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError:
        return []
    return found if type(found) is list else []


def _read(model_json: str) -> dict[str, Any]:
    try:
        model = orjson.loads(model_json)
    except orjson.JSONDecodeError as exc:
        raise Invalid(
            f"Malformed model info: model_json is {format_value(model_json)}, which is not JSON", field="model_json"
        ) from exc
    missing = [name for name in FIELDS if type(model) is not dict or name not in model]
    if missing:
        raise Invalid(f"Model json is missing mandatory fields: {', '.join(missing)}", field="model_json")
    return model
