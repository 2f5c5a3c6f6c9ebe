"""Learn, predict and label of the native API. These views are plain functions that check bodies by hand, for speed."""

import contextlib
import io
from collections.abc import Sequence
from time import perf_counter_ns
from typing import Any

import orjson
from django.conf import settings
from django.http import HttpRequest, HttpResponse

from server.api import caller, hot_views
from server.api.codec import answer, body, check_values, json_object, only
from server.core.errors import Conflict, Invalid, TooLarge
from server.core.metrics import declarations
from server.core.validation import Checker, check_text, format_value
from server.learning.fold.replica_set import SETS
from server.learning.metrics import call_stats
from server.learning.predictions import labels, predict_points
from server.learning.write_path import learn_points
from server.learning.write_path.receipts import Receipt
from server.streams import feature_warnings, registry
from server.streams.feature_warnings import Fault
from server.streams.points import Note, Points
from server.streams.text_values import ObservedKinds, apply_feature_texts, apply_texts, check_parts

POINT_FIELDS = frozenset(("x", "y", "key", "source", "written"))
LEVEL = 0.95
LARGEST_SOURCE = 10_000
LONGEST_DESCRIPTOR = LONGEST_MODEL = 200


@hot_views.post
def observe(request: HttpRequest, name: str) -> HttpResponse:
    """POST streams/<stream>/observations/: learn one point, ``{"observations": […]}`` or NDJSON. All are stored, or none."""
    started = perf_counter_ns()
    raw, single, descriptor = _raw_points(request)
    found = caller.position(request, name)
    kind, is_new = "", False
    if found is None:
        if descriptor is not None or not caller.may_create_by_posting(request):
            raise caller.no_stream_to_post_to(request, name)
        kind = _kind_for(raw[0])
        points = _points(raw, single, Checker(None, kind))
        with contextlib.suppress(Conflict):  # another request may be first
            registry.create(name, target_kind=kind, owner=caller.owner(request), **caller.made_by(request))
            is_new = True
        found = caller.position(request, name)
        if found is None:
            raise caller.no_stream(name)
    stream_id, head, epoch = found
    replicas = SETS.of(stream_id)
    check = hot_views.checker(replicas, predict_points.ModelLocation(0, stream_id, head, epoch))
    if not kind:
        points = _points(raw, single, check, replicas.seen)
    receipt = learn_points.learn(stream_id, points, descriptor=descriptor)
    late = request.META.get("HTTP_X_TAILRACE_SPOOLED")
    if late is not None:
        _count_late(late, len(points.xs))
    duration = perf_counter_ns() - started
    for model_id in list(replicas.models):
        call_stats.learned(model_id, duration)
    data = _receipt(receipt, single, told=caller.may(request, "predict"))
    if receipt.faults:
        data["warnings"] = _warnings(receipt.faults, single, may_read=caller.may(request, "read"))
    if is_new:
        data["new_stream"] = _new_stream_notice(request, name)
    response = answer(data, 201)
    return caller.warned(request, response) if kind else response


def _count_late(said: str, points: int) -> None:
    """Count points that a client says it kept on disk for so many seconds. A value that is not a number is ignored."""
    if said.isascii() and said.isdecimal() and len(said) <= 10:
        declarations.spooled.labels().add(points)
        declarations.spooled_seconds.labels().observe(float(said))


def checked_points(raw: list[Any], check: Checker) -> Points:
    """Return the points of a request, checked. Errors name each by its index."""
    return _points(raw, False, check)


def _points(raw: list[Any], single: bool, check: Checker, seen: ObservedKinds | None = None) -> Points:
    most = settings.TAILRACE.max_points
    if len(raw) > most:
        raise TooLarge(
            f"{len(raw)} observations in one request: the most allowed is {most} (TAILRACE_MAX_POINTS)",
            field="observations",
        )
    plain = _columns(raw)
    if plain is not None and check.pass_quick_check(*plain):
        return Points(*plain, {})
    points = Points([], [], {})
    keep_x, keep_y = points.xs.append, points.ys.append
    check_x, check_y = check.x, check.y
    for index, item in enumerate(raw):
        if type(item) is dict and len(item) == 2 and "x" in item and "y" in item:
            x, y = item["x"], item["y"]
            try:
                check_x(x)
                check_y(y)
            except Invalid:
                if not single:
                    check_x(x, f"observations[{index}].x")
                    check_y(y, f"observations[{index}].y")
                raise
        else:
            x, y, note = _checked(item, "" if single else f"observations[{index}].", check, seen)
            if note is not None:
                points.notes[index] = note
        keep_x(x)
        keep_y(y)
    return points


def _columns(raw: list[Any]) -> tuple[list[Any], list[Any]] | None:
    """Return features and targets if all points have x and y and nothing else; otherwise None."""
    try:
        if set(map(len, raw)) != {2}:
            return None
        return [item["x"] for item in raw], [item["y"] for item in raw]
    except (TypeError, KeyError):
        return None


def _kind_for(first: Any) -> str:
    """Return the kind of target of a stream that its first point creates."""
    y = first.get("y") if type(first) is dict else None
    return "number" if type(y) in (int, float) else "boolean" if type(y) is bool else "any"


def _raw_points(request: HttpRequest) -> tuple[list[Any], bool, str | None]:
    """Return the points of a request, whether it is a single one, and the name of the descriptor, if any."""
    if request.content_type in ("application/x-ndjson", "application/jsonl", "application/ndjson"):
        raw: list[Any] = []
        data = body(request)
        check_values(data)
        for number, line in enumerate(io.BytesIO(data), 1):
            if line.strip():
                if len(raw) == settings.TAILRACE.max_points:
                    raise TooLarge(
                        f"more than {len(raw)} observations in one request: the most allowed (TAILRACE_MAX_POINTS)",
                        field="observations",
                    )
                try:
                    raw.append(orjson.loads(line))
                except orjson.JSONDecodeError as exc:
                    raise Invalid(f"line {number} is not JSON: {exc.args[0]}", code="not_json") from exc
        if not raw:
            raise Invalid("the body has no observation: expected one JSON object per line", field="observations")
        return raw, False, None
    payload = json_object(request)
    descriptor = named_descriptor(payload) if "descriptor" in payload else None
    if "observations" not in payload:
        return [payload], True, descriptor
    only(payload, "observations", "descriptor")
    raw = payload["observations"]
    if type(raw) is not list or not raw:
        raise Invalid(f"observations is {format_value(raw)}: expected at least one", field="observations")
    return raw, False, descriptor


def named_descriptor(payload: dict[str, Any]) -> str | None:
    """Remove the name of the descriptor from a request's body, and return it."""
    name = payload.pop("descriptor", None)
    return None if name is None else check_text(name, "descriptor", LONGEST_DESCRIPTOR)


def _checked(
    item: Any, prefix: str, check: Checker, seen: ObservedKinds | None
) -> tuple[dict[str, Any], Any, Note | None]:
    where = prefix.rstrip(".") or "the observation"
    if type(item) is not dict:
        raise Invalid(
            f"{where} is {format_value(item)}: expected an object with x and y", field=prefix.rstrip(".") or None
        )
    for field in ("x", "y"):
        if field not in item:
            raise Invalid(
                f"{prefix}{field} is missing: expected x (features) and y (the target)",
                field=prefix + field,
                code="missing",
            )
    for field in item:
        if field not in POINT_FIELDS:
            raise Invalid(
                f"unknown field {prefix}{field}: expected x, y, key, source, written",
                field=prefix + field,
                code="unknown_field",
            )
    if item.get("written") is not None:
        apply_texts(item, item["written"], check, seen, prefix)
    check.x(item["x"], f"{prefix}x")
    check.y(item["y"], f"{prefix}y")
    key, source = item.get("key"), item.get("source")
    if key is not None:
        check_text(key, f"{prefix}key", settings.TAILRACE.max_name_length)
        if not key:
            raise Invalid(f'{prefix}key is "": expected at least one character', field=f"{prefix}key")
    _check_source(source, f"{prefix}source")
    note = None if key is None and not source else Note(key, source)
    return item["x"], item["y"], note


def _check_source(source: Any, field: str) -> None:
    if source is not None and (type(source) is not dict or not _is_small(source)):
        raise Invalid(
            f"{field} is {format_value(source)}: expected an object (job, cluster, user …) of at most {LARGEST_SOURCE} bytes",
            field=field,
        )


def _receipt(receipt: Receipt, single: bool, *, told: bool) -> dict[str, Any]:
    """Return the body of the response to a learn."""
    seqs = receipt.seqs
    return {
        "first": min(seqs),
        "last": max(seqs),
        "accepted": len(seqs) - receipt.duplicates,
        "duplicates": receipt.duplicates,
        "models": model_outcomes(receipt, single=single, told=told),
    }


def _new_stream_notice(request: HttpRequest, name: str) -> dict[str, Any]:
    """Return what the response says of a stream that the request created. Its name may be mistyped."""
    nearest = caller.nearest_stream(request, name)
    meant = "create one, or no model will learn the points" if nearest is None else f"did you mean {nearest}?"
    return {"name": name, "nearest": nearest, "message": f"new stream {name}: no model learns from it; {meant}"}


def _is_small(source: dict[str, Any]) -> bool:
    """Return whether a source is short enough, and not nested too deeply to be encoded inside of a note."""
    try:
        return len(orjson.dumps([[[[[[source]]]]]])) <= LARGEST_SOURCE + 12
    except orjson.JSONEncodeError:
        return False


def model_outcomes(receipt: Receipt, *, single: bool = False, told: bool) -> dict[str, Any]:
    """Return what the models predicted, or why they skipped points. Empty unless the caller may predict (``told``)."""
    models: dict[str, dict[str, Any]] = {}
    for name, predictions in receipt.predictions.items() if told else ():
        models[name] = {"prediction": predictions[0]} if single else {"predictions": predictions}
    for name, errors in receipt.errors.items() if told else ():
        if single:
            models.setdefault(name, {})["error"] = errors[0]
        else:
            own = models.setdefault(name, {})
            index = min(errors)
            own["error"] = f"observations[{index}]: {errors[index]}"
            own["errors"] = errors
    return models


@hot_views.post
def predict(request: HttpRequest, name: str) -> HttpResponse:
    """POST models/<model>/predict/: predict ``{"x": {…}}`` or ``{"xs": […]}``, with intervals if the model has them."""
    started = perf_counter_ns()
    payload = json_object(request)
    only(payload, "x", "xs", "identifier", "track", "level", "strict", "written")
    single = "x" in payload
    if single is ("xs" in payload):
        raise Invalid("expected either x (one point) or xs (a list of points)", field="x")
    track, strict, identifier = payload.get("track", False), payload.get("strict", False), payload.get("identifier")
    if type(track) is not bool:
        raise Invalid(f"track is {format_value(track)}: expected true or false", field="track")
    if type(strict) is not bool:
        raise Invalid(f"strict is {format_value(strict)}: expected true or false", field="strict")
    if single:
        xs, fields = [payload["x"]], ["x"]
    else:
        xs = payload["xs"]
        if type(xs) is not list or not xs:
            raise Invalid(f"xs is {format_value(xs)}: expected a list of at least one point", field="xs")
        if len(xs) > settings.TAILRACE.max_points:
            raise TooLarge(f"xs has {len(xs)} points: the most allowed is {settings.TAILRACE.max_points}", field="xs")
        if track or identifier is not None:
            raise Invalid("only the prediction of one point can be kept for its label: send x, not xs", field="xs")
        fields = [f"xs[{index}]" for index in range(len(xs))]
    place = caller.place(request, name)
    if payload.get("written") is not None:
        _take_written(payload["written"], xs, fields, place)
    keep = track or identifier is not None
    found = predict_points.predict(
        name,
        xs,
        place=place,
        level=_level(payload),
        identifier=identifier,
        keep=keep,
        owner=caller.owner(request) if keep else None,
        fields=fields,
        strict=strict,
        may_read=lambda: caller.may(request, "read"),
    )
    data: dict[str, Any] = {"at": found.at}
    if single:
        data["prediction"] = found.predictions[0]
        if found.intervals is not None:
            data["interval"] = found.intervals[0]
    else:
        data["predictions"] = found.predictions
        if found.intervals is not None:
            data["intervals"] = found.intervals
    if found.identifier is not None:
        data["identifier"] = found.identifier
    if found.faults:
        data["warnings"] = _warnings(found.faults, single, may_read=caller.may(request, "read"))
    call_stats.predicted(found.model_id, perf_counter_ns() - started)
    return caller.warned(request, answer(data)) if keep else answer(data)


def _warnings(faults: Sequence[Fault], single: bool, *, may_read: bool) -> list[dict[str, Any]]:
    """Return how points differ from those that the stream has seen, as the response has it."""
    found: list[dict[str, Any]] = []
    for fault in feature_warnings.shortened(faults):
        message = fault.of_point(may_read=may_read) if single else fault.of_points(may_read=may_read)
        one: dict[str, Any] = {"code": fault.code, "message": message}
        if fault.field is not None:
            one |= {"field": fault.field, "feature": fault.name}
        if not single and fault.points:
            one["points"] = fault.points
        found.append(one)
    return found


def _take_written(written: Any, xs: list[Any], fields: list[str], place: predict_points.ModelLocation) -> None:
    """Replace values of the points by those that their texts stand for on the stream."""
    part = fields[0].partition("[")[0]
    check_parts(written, (part,))
    texts = written.get(part, [])
    if part == "x" and "x" in written:
        texts = [texts]
    if type(texts) is not list:
        raise Invalid(
            f"written.xs is {format_value(texts)}: expected a list of the texts of each point", field="written.xs"
        )
    replicas = SETS.of(place.stream_id)
    check = hot_views.checker(replicas, place)
    for x, of_x, field in zip(xs, texts, fields, strict=False):
        if of_x is not None or part == "x":
            apply_feature_texts(x, of_x, check, replicas.seen, f"written.{field}")


def _level(payload: dict[str, Any]) -> float:
    level = payload.get("level", LEVEL)
    if type(level) not in (int, float) or not 0 < level < 1:
        raise Invalid(f"level is {format_value(level)}: expected a number between 0 and 1", field="level")
    return float(level)


@hot_views.post
def label(request: HttpRequest, identifier: str) -> HttpResponse:
    """POST predictions/<identifier>/label/: learn the label of a kept prediction."""
    payload = json_object(request)
    only(payload, "y", "model", "source", "descriptor", "written", required=("y",))
    descriptor, model = named_descriptor(payload), payload.get("model")
    _check_source(payload.get("source"), "source")
    if model is not None:
        check_text(model, "model", LONGEST_MODEL)
    found = labels.find_kept_prediction(identifier, model, streams=caller.only_streams(request))
    receipt = labels.learn_label(
        found, payload["y"], source=payload.get("source"), descriptor=descriptor, written=payload.get("written")
    )
    return answer(_receipt(receipt, True, told=caller.may(request, "predict")))
