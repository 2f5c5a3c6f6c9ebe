"""Requests for inference: from a body of JSON, or JSON and bytes, to points with the names of their features."""

from typing import Any, NamedTuple

from django.conf import settings
from django.http import HttpRequest

from server.api.codec import body, only, parse
from server.api.open_inference import tensors
from server.api.open_inference.tensors import BINARY_SIZE, Tensor
from server.core.errors import Invalid, TooLarge, Unsupported
from server.core.validation import check_text, format_value

JSON_LENGTH = "Inference-Header-Content-Length"
"""Header with the length of the JSON, bytes, if tensors follow it (Triton's extension for binary tensor data)."""
OUTPUTS = ("prediction", "low", "high")
LEVEL = 0.95
_IGNORED = ("priority", "timeout", "content_type", "headers")
"""Parameters that clients add and that change nothing here."""
_LONGEST_ID = 1_000


class Wanted(NamedTuple):
    """An output that the request asks for, and whether as bytes."""

    name: str
    binary: bool


class InferenceRequest(NamedTuple):
    """A checked request."""

    id: str | None
    xs: list[dict[str, Any]]
    fields: list[str]
    """The name of each point in errors."""
    level: float
    outputs: list[Wanted] | None
    """None: all that there are."""
    binary: bool
    """Whether outputs come as bytes that don't say otherwise."""


def read(request: HttpRequest, features: list[str] | None) -> InferenceRequest:
    """Return the request.

    Parameters
    ----------
    features
        The stream's declared features in their order, for a tensor without names; None if it declares none.

    Raises
    ------
    Invalid, TooLarge, Unsupported
        If it isn't valid. The message names the tensor.
    """
    payload, rest = _payload(request)
    only(payload, "id", "parameters", "inputs", "outputs", required=("inputs",))
    identifier = payload.get("id")
    if identifier is not None:
        check_text(identifier, "id", _LONGEST_ID)
    parameters = _parameters(payload, "parameters", "level", "binary_data_output", *_IGNORED)
    binary = _flag(parameters, "binary_data_output", "parameters")
    given = _inputs(payload["inputs"], rest)
    xs = _points(given, features)
    fields = [f"row[{index}]" for index in range(len(xs))]
    return InferenceRequest(
        identifier, xs, fields, _level(parameters), _outputs(payload.get("outputs"), binary), binary
    )


def _payload(request: HttpRequest) -> tuple[dict[str, Any], memoryview]:
    """Return the JSON of a request, and the bytes after it."""
    encoding = request.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in ("", "identity"):
        raise Unsupported(f"content encoding {encoding!r} is not supported: send the body without compression")
    data = body(request)
    said = request.headers.get(JSON_LENGTH)
    length = len(data)
    if said is not None:
        if not (said.isascii() and said.isdecimal() and len(said) <= 12 and int(said) <= len(data)):
            raise Invalid(
                f"{JSON_LENGTH} is {format_value(said)}: expected a number of bytes up to the body's, {len(data)}",
                field=JSON_LENGTH,
            )
        length = int(said)
    payload = parse(data[:length])
    if type(payload) is not dict:
        raise Invalid("the JSON is not an object: expected an object with inputs", code="not_an_object")
    return payload, memoryview(data)[length:]


def _parameters(of: dict[str, Any], field: str, *known: str) -> dict[str, Any]:
    given = of.get("parameters")
    if given is None:
        return {}
    if type(given) is not dict:
        raise Invalid(f"{field} is {format_value(given)}: expected an object", field=field)
    for name in given:
        if name not in known:
            raise Invalid(f"{field} has {name!r}: expected {', '.join(known)}", field=field, code="unknown_field")
    return given


def _flag(parameters: dict[str, Any], name: str, field: str, default: bool = False) -> bool:
    value = parameters.get(name, default)
    if type(value) is not bool:
        raise Invalid(f"{field}.{name} is {format_value(value)}: expected true or false", field=f"{field}.{name}")
    return value


def _level(parameters: dict[str, Any]) -> float:
    level = parameters.get("level", LEVEL)
    if type(level) not in (int, float) or not 0 < level < 1:
        raise Invalid(
            f"parameters.level is {format_value(level)}: expected a number between 0 and 1", field="parameters.level"
        )
    return float(level)


def _objects(given: Any, name: str, most: int) -> list[dict[str, Any]]:
    if type(given) is not list or not given:
        raise Invalid(f"{name} is {format_value(given)}: expected a list of at least one tensor", field=name)
    if len(given) > most:
        raise TooLarge(f"{name} has {len(given)} tensors: the most allowed is {most}", field=name)
    for index, item in enumerate(given):
        if type(item) is not dict:
            raise Invalid(
                f"{name}[{index}] is {format_value(item)}: expected an object with name, shape and datatype",
                field=f"{name}[{index}]",
            )
    return given


def _inputs(given: Any, rest: memoryview) -> list[Tensor]:
    found: list[Tensor] = []
    for index, item in enumerate(_objects(given, "inputs", settings.TAILRACE.max_features)):
        field = f"inputs[{index}]"
        only(item, "name", "shape", "datatype", "parameters", "data", required=("name", "shape", "datatype"))
        parameters = _parameters(item, f"{field}.parameters", BINARY_SIZE, "content_type")
        part = None
        if BINARY_SIZE in parameters:
            if "data" in item:
                raise Invalid(f"{field} has data and {BINARY_SIZE}: expected one of them", field=field)
            size = parameters[BINARY_SIZE]
            if type(size) is not int or not 0 <= size <= len(rest):
                raise Invalid(
                    f"{field}.parameters.{BINARY_SIZE} is {format_value(size)}: expected a number of bytes, up to the "
                    f"{len(rest)} that follow the JSON and the tensors before",
                    field=f"{field}.parameters.{BINARY_SIZE}",
                )
            part, rest = rest[:size], rest[size:]
        elif "data" not in item:
            raise Invalid(f"{field} has no data", field=field, code="missing")
        tensor = tensors.read(item, field, part)
        if any(one.name == tensor.name for one in found):
            raise Invalid(f"{field}.name is {format_value(tensor.name)}, as of another tensor", field=f"{field}.name")
        found.append(tensor)
    if len(rest):
        raise Invalid(f"{len(rest)} bytes follow the last tensor: expected none", code="bad_request")
    return found


def _points(given: list[Tensor], features: list[str] | None) -> list[dict[str, Any]]:
    """Return the points: of one tensor with a column for each feature, or of one tensor for each feature."""
    first = given[0]
    is_named = features is not None and first.name in features
    if len(given) == 1 and len(first.shape) == 2 and not (first.shape[1] == 1 and (is_named or features is None)):
        return _rows(first, features)
    count = first.shape[0]
    for index, tensor in enumerate(given):
        if tensor.shape not in ((count,), (count, 1)):
            raise Invalid(
                f"inputs[{index}].shape is {list(tensor.shape)}: expected [{count}] or [{count}, 1], one value for each "
                "point, or one tensor of shape [points, features]",
                field=f"inputs[{index}].shape",
            )
    _check_count(count)
    names = [tensor.name for tensor in given]
    return [dict(zip(names, row, strict=True)) for row in zip(*(tensor.values for tensor in given), strict=True)]


def _rows(tensor: Tensor, features: list[str] | None) -> list[dict[str, Any]]:
    count, width = tensor.shape
    if features is None:
        raise Invalid(
            f"inputs[0] has {width} columns without names, and the model's stream declares no features, so their order is "
            "unknown: send one tensor for each feature, or declare the stream's features",
            field="inputs[0]",
            code="no_names",
        )
    if width != len(features):
        raise Invalid(
            f"inputs[0].shape has {width} column(s): expected {len(features)}, {', '.join(features)}",
            field="inputs[0].shape",
        )
    _check_count(count)
    values = tensor.values
    return [dict(zip(features, values[start : start + width], strict=True)) for start in range(0, len(values), width)]


def _check_count(count: int) -> None:
    if not count:
        raise Invalid("the tensors have no points: expected at least one", field="inputs[0].shape")
    most = settings.TAILRACE.max_points
    if count > most:
        raise TooLarge(
            f"the tensors have {count} points: the most allowed is {most} (TAILRACE_MAX_POINTS)",
            field="inputs[0].shape",
        )


def _outputs(given: Any, binary: bool) -> list[Wanted] | None:
    if given is None or given == []:
        return None
    found: list[Wanted] = []
    for index, item in enumerate(_objects(given, "outputs", len(OUTPUTS))):
        field = f"outputs[{index}]"
        only(item, "name", "parameters", required=("name",))
        parameters = _parameters(item, f"{field}.parameters", "binary_data", "content_type")
        name = item["name"]
        if name not in OUTPUTS or any(one.name == name for one in found):
            raise Invalid(
                f"{field}.name is {format_value(name)}: expected {', '.join(OUTPUTS)}, each at most once",
                field=f"{field}.name",
            )
        found.append(Wanted(name, _flag(parameters, "binary_data", f"{field}.parameters", binary)))
    return found
