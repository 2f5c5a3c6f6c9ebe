"""Outputs of inference: the tensors prediction, low and high, as JSON or as bytes."""

import math
from typing import Any, NamedTuple

from server.api.open_inference import tensors
from server.api.open_inference.inference_requests import OUTPUTS, InferenceRequest, Wanted
from server.core.errors import Invalid
from server.core.json_codec import dumps
from server.learning.predictions.predict_points import PredictionResult

NUMBER, LABEL, TEXT = "FP64", "BOOL", tensors.BYTES


class Answer(NamedTuple):
    """A response: its content, and the length of its JSON if bytes follow it."""

    content: bytes
    json_length: int | None


def datatype(flavor: str, target_kind: str) -> str:
    """Return the data type of predictions: numbers of regression, true or false, or texts for everything else."""
    if flavor == "regression":
        return NUMBER
    return LABEL if target_kind == "boolean" and flavor == "binary" else TEXT


def described(flavor: str, target_kind: str, *, intervals: bool) -> list[dict[str, Any]]:
    """Return the outputs of a model, as its metadata lists them."""
    found = [{"name": "prediction", "datatype": datatype(flavor, target_kind), "shape": [-1]}]
    if intervals:
        found += [{"name": name, "datatype": NUMBER, "shape": [-1]} for name in OUTPUTS[1:]]
    return found


def written(name: str, asked: InferenceRequest, found: PredictionResult, kind: str) -> Answer:
    """Return the response.

    Raises
    ------
    Invalid
        If the request asks for bounds, and the model gives none.
    """
    columns: dict[str, tuple[str, list[Any]]] = {
        "prediction": (kind, [_plain(prediction, kind) for prediction in found.predictions])
    }
    if found.intervals is not None:
        columns["low"] = NUMBER, [None if pair is None else pair[0] for pair in found.intervals]
        columns["high"] = NUMBER, [None if pair is None else pair[1] for pair in found.intervals]
    wanted = asked.outputs or [Wanted(column, asked.binary) for column in columns]
    parts: list[bytes] = []
    outputs = []
    for one in wanted:
        if one.name not in columns:
            raise Invalid(
                f"model {name} gives no interval for these points: {one.name} is not an output of it", field="outputs"
            )
        datatype, values = columns[one.name]
        output: dict[str, Any] = {"name": one.name, "datatype": datatype, "shape": [len(values)]}
        if one.binary and not (datatype == LABEL and None in values):
            parts.append(tensors.binary(values, datatype))
            output["parameters"] = {tensors.BINARY_SIZE: len(parts[-1])}
        else:
            output["data"] = values
        outputs.append(output)
    data: dict[str, Any] = {"model_name": name, "model_version": str(found.at)}
    if asked.id is not None:
        data["id"] = asked.id
    head = dumps({**data, "outputs": outputs})
    return Answer(b"".join((head, *parts)), len(head) if parts else None)


def _plain(prediction: Any, kind: str) -> Any:
    """Return one prediction as the output has it: the most likely label, if it has probabilities."""
    if isinstance(prediction, dict):
        prediction = max(prediction, key=lambda label: prediction[label], default=None)
    if kind == TEXT:
        return "" if prediction is None else prediction if isinstance(prediction, str) else dumps(prediction).decode()
    if kind == LABEL:
        return None if prediction is None else prediction in (True, "True", "true", "1")
    is_number = isinstance(prediction, (int, float)) and math.isfinite(prediction)
    return float(prediction) if is_number else None
