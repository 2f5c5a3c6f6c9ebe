"""Points and predictions in the formats of SageMaker's contract: JSON, JSON lines and CSV."""

import csv
import io
from collections.abc import Callable
from typing import Any, NamedTuple

import orjson
from django.conf import settings
from django.http import HttpRequest

from server.api.codec import body, check_values, only, parse
from server.core.errors import Invalid, TailraceError, TooLarge, Unsupported
from server.core.json_codec import dumps
from server.core.validation import format_value

JSON, LINES, CSV = "application/json", "application/jsonlines", "text/csv"
_KNOWN_AS = {
    "": JSON,
    "application/json": JSON,
    "application/jsonlines": LINES,
    "application/jsonl": LINES,
    "application/x-ndjson": LINES,
    "application/ndjson": LINES,
    "text/csv": CSV,
}
_WORDS = {"true": True, "false": False}


class NotAcceptable(TailraceError):
    """The Accept header names no supported format."""

    status = 406
    code = "not_acceptable"


class Instance(NamedTuple):
    """One point to predict, and its name in errors."""

    x: Any
    field: str


def form(request: HttpRequest) -> str:
    """Return the format of a request's body.

    Raises
    ------
    Unsupported
        If the format isn't supported.
    """
    kind = (request.content_type or "").lower()
    if kind not in _KNOWN_AS:
        raise Unsupported(f"content type {kind!r} is not supported: send {JSON}, {LINES} or {CSV}")
    return _KNOWN_AS[kind]


def wanted(request: HttpRequest, sent: str) -> str:
    """Return the format of the response: the first supported one in ``Accept``, or that of the request.

    Raises
    ------
    NotAcceptable
        If ``Accept`` has none.
    """
    accept = request.META.get("HTTP_ACCEPT", "")
    kinds = [part.partition(";")[0].strip().lower() for part in accept.split(",") if part.strip()]
    for kind in kinds:
        if kind in _KNOWN_AS:
            return _KNOWN_AS[kind]
        if kind in ("*/*", "text/*", "application/*"):
            return sent
    if kinds:
        raise NotAcceptable(f"Accept is {format_value(accept)}: expected {JSON}, {LINES}, {CSV} or */*")
    return sent


def read(request: HttpRequest, kind: str, features: list[str] | None) -> list[Instance]:
    """Return the points of a request.

    Parameters
    ----------
    kind
        The result of :func:`form`.
    features
        The stream's declared features in their order, for points without names; None if it declares none.

    Raises
    ------
    Invalid
        If a point is invalid. The message names the line or the instance.
    """
    data = body(request)
    found = _READERS[kind](data, features)
    if not found:
        raise Invalid("the body contains no instance: expected at least one", field="instances")
    return found


def check_count(count: int) -> None:
    """Check the number of instances in a request.

    Raises
    ------
    TooLarge
        If it exceeds the limit.
    """
    most = settings.TAILRACE.max_points
    if count > most:
        raise TooLarge(f"at least {count} instances in one request: the most allowed is {most} (TAILRACE_MAX_POINTS)")


def _from_json(data: bytes, features: list[str] | None) -> list[Instance]:
    payload = parse(data)
    if type(payload) is dict and "instances" in payload:
        only(payload, "instances")
        payload = payload["instances"]
        if type(payload) is not list:
            raise Invalid(f"instances is {format_value(payload)}: expected a list", field="instances")
    elif type(payload) is not list or not any(type(item) in (dict, list) for item in payload):
        payload = [payload]  # one point, with or without names
    return [_named(item, features, f"instances[{index}]") for index, item in enumerate(payload)]


def _from_lines(data: bytes, features: list[str] | None) -> list[Instance]:
    found: list[Instance] = []
    check_values(data)
    for number, line in enumerate(io.BytesIO(data), 1):
        if line.strip():
            check_count(len(found) + 1)
            try:
                item = orjson.loads(line)
            except orjson.JSONDecodeError as exc:
                raise Invalid(f"line {number} is not JSON: {exc.args[0]}", code="not_json") from exc
            found.append(_named(item, features, f"line {number}"))
    return found


def _named(item: Any, features: list[str] | None, field: str) -> Instance:
    """Return a point with the names of its features. It may be an object, a list of values, or one of these as ``features``."""
    if type(item) is dict and len(item) == 1 and type(item.get("features")) in (list, dict):
        item = item["features"]
    if type(item) is list:
        item = dict(zip(_order(item, features, field), item, strict=True))
    return Instance(item, field)


def _order(values: list[Any], features: list[str] | None, field: str) -> list[str]:
    if features is None:
        raise Invalid(
            f"{field} has values without names, and the model's stream declares no features, so their order is unknown: "
            "send names, or declare the stream's features",
            field=field,
            code="no_names",
        )
    if len(values) != len(features):
        raise Invalid(
            f"{field} has {len(values)} value(s): expected {len(features)}, {', '.join(features)}", field=field
        )
    return features


def _from_csv(data: bytes, features: list[str] | None) -> list[Instance]:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        raise Invalid(f"the CSV is not UTF-8 at byte {exc.start}", code="not_csv") from exc
    reader = csv.reader(io.StringIO(text), strict=True)
    found: list[Instance] = []
    names = features
    is_first = True
    try:
        for cells in reader:
            if not cells:
                continue
            if is_first:
                is_first = False
                if _is_header(cells, features):
                    names = [cell.strip() for cell in cells]
                    continue
            check_count(len(found) + 1)
            field = f"line {reader.line_num}"
            pairs = zip(_order(cells, names, field), cells, strict=True)
            found.append(Instance({name: _value(cell) for name, cell in pairs if cell.strip()}, field))
    except csv.Error as exc:
        raise Invalid(f"line {reader.line_num} is not CSV: {exc}", code="not_csv") from exc
    return found


def _is_header(cells: list[str], features: list[str] | None) -> bool:
    """Whether the first line has names of columns: the declared names or, if none are declared, only texts."""
    names = [cell.strip() for cell in cells]
    if features is not None:
        return set(names) == set(features)
    return all(name and type(_value(name)) is str for name in names) and len(set(names)) == len(names)


def _value(cell: str) -> Any:
    """Return the value of a cell: a number, true or false, or text."""
    cell = cell.strip()
    for read_as in (int, float):
        try:
            return read_as(cell)
        except ValueError:
            continue
    return _WORDS.get(cell.lower(), cell)


_READERS: dict[str, Callable[[bytes, list[str] | None], list[Instance]]] = {
    JSON: _from_json,
    LINES: _from_lines,
    CSV: _from_csv,
}


def written(predictions: list[Any], kind: str, **more: Any) -> bytes:
    """Return predictions in a format, in the order of the points. JSON also has the fields of ``more``."""
    if kind == LINES:
        return b"".join(dumps({"prediction": prediction}) + b"\n" for prediction in predictions)
    if kind == CSV:
        file = io.StringIO()
        csv.writer(file, lineterminator="\n").writerows([_cell(prediction)] for prediction in predictions)
        return file.getvalue().encode(errors="backslashreplace")  # as in JSON
    return dumps({"predictions": predictions, **more})


def _cell(prediction: Any) -> Any:
    """Return one value; the most likely label if the prediction has probabilities."""
    if isinstance(prediction, dict):
        return max(prediction, key=lambda label: prediction[label], default="")
    return "" if prediction is None else prediction
