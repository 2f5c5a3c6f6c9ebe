"""The charts of one model, made from its record."""

from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import quote

from django.http import HttpRequest

from server.core.errors import Invalid
from server.dashboard import parameters
from server.dashboard.charts import Chart, Series, url
from server.dashboard.formatting import number, share
from server.learning.models import Model
from server.learning.records import calibration, reading
from server.learning.records.columns import Columns, Unreadable
from server.streams import log

BUCKETS = 400
LATEST = 20_000
"""Most observations, the latest of the range, behind a chart that needs each of them."""

RANGE = ("first", "last", "segment")
CLASSES = ("binary", "multiclass")
NOTHING: dict[str, Any] = {"n": [], "y": [], "prediction": [], "error": [], "segment": [], "of": 0}


def unit(model: Model) -> str:
    """The target's unit behind the name of an axis."""
    return f" ({model.stream.target_unit})" if model.stream.target_unit else ""


def _series(request: HttpRequest, model: Model) -> dict[str, Any]:
    """The record in buckets: of the page's range, or what came after a position, in the same buckets."""
    after = parameters.whole(request, "after", least=0)
    first = parameters.whole(request, "first")
    if after is not None:
        first = max(first or 1, after + 1)
    last = parameters.whole(request, "last")
    if after is not None and last is not None and last <= after:
        last = first  # the range is complete
    width = parameters.whole(request, "stands_for")
    segment = request.GET.get("segment") or None
    return reading.series(model, first, last, BUCKETS, segment, width)


def error(request: HttpRequest, model: Model) -> Chart:
    """Error over observations: RMSE and mean magnitude of each bucket, and the extremes."""
    found = _series(request, model)
    is_class = model.flavor in CLASSES
    if is_class:
        series = [Series("share of wrong labels", found["error"]["mean"], tone=0)]
    else:
        series = [
            Series("lowest error", found["error"]["min"], "low", tone=1),
            Series("highest error", found["error"]["max"], "high", tone=1),
            Series("RMSE", found["RMSE"], tone=0),
            Series("mean error", found["error"]["mean"], tone=2),
        ]
    return Chart(
        "error",
        "Error as it learned",
        _error_sentence(model, found, is_class),
        "observation",
        "share of wrong labels" if is_class else f"prediction minus {model.stream.target_name}{unit(model)}",
        found["n"],
        series,
        stands_for=found["per_bucket"],
        live="last" not in request.GET,
    )


def _error_sentence(model: Model, found: dict[str, Any], is_class: bool) -> str:
    values = found["error"]["mean"] if is_class else found["RMSE"]
    known = [(n, value) for n, value in zip(found["n"], values, strict=True) if value is not None]
    if not known:
        if found["behind"]:
            return f"The record is {number(found['behind'])} observations behind: it is written in the background."
        return "Nothing was scored yet: the chart begins with the second observation."
    what = "share of wrong labels" if is_class else "RMSE"
    name = share if is_class else number
    least = min(known, key=lambda pair: pair[1])
    own = f" {model.stream.target_unit}" if model.stream.target_unit and not is_class else ""
    said = f"The {what} is {name(known[-1][1])}{own} at observation {number(known[-1][0])}"
    if len(known) > 1:
        said += f"; it was lowest, {name(least[1])}, at {number(least[0])}"
    if found["behind"] > 1000:
        said += f". The record is {number(found['behind'])} observations behind"
    return said + "."


def values(request: HttpRequest, model: Model) -> Chart:
    """Target and prediction over observations, with the interval."""
    found = _series(request, model)
    target = model.stream.target_name
    series = [
        Series(f"lowest {target}", found["y"]["min"], "low", tone=1),
        Series(f"highest {target}", found["y"]["max"], "high", tone=1),
        Series(f"mean {target}", found["y"]["mean"], tone=1),
        Series("mean prediction", found["prediction"]["mean"], tone=0),
    ]
    if any(value is not None for value in found["lower"]["mean"]):
        series += [
            Series("interval from", found["lower"]["mean"], "low", tone=0),
            Series("interval to", found["upper"]["mean"], "high", tone=0),
        ]
    inside = [(c, s) for c, s in zip(found["covered"], found["scored"], strict=True) if c is not None]
    sentence = f"What the model predicted, and the {target} that came."
    if inside:
        held = sum(c * s for c, s in inside) / max(1, sum(s for _, s in inside))
        sentence = f"{share(held)} of the targets were within their 95 % interval."
    return Chart(
        "values",
        "Predicted and actual",
        sentence,
        "observation",
        f"{target}{unit(model)}",
        found["n"],
        series,
        stands_for=found["per_bucket"],
        live="last" not in request.GET,
        # The first intervals are so wide that nothing else would be seen.
        y_range=_spread(found["y"]["min"] + found["y"]["max"] + found["prediction"]["mean"]),
    )


def _spread(values: list[float | None]) -> tuple[float, float] | None:
    known = [value for value in values if value is not None]
    if not known:
        return None
    low, high = min(known), max(known)
    margin = 0.1 * (high - low) or 1.0
    return low - margin, high + margin


def columns(request: HttpRequest, model: Model) -> Columns | None:
    """Return the latest observations of the page's range; where it names a segment, the others are not scored."""
    found = calibration.read(model, parameters.whole(request, "first"), parameters.whole(request, "last"), LATEST)
    segment = request.GET.get("segment")
    if found is None or not segment:
        return found
    if segment not in found.segments:
        raise Invalid(f"segment is {segment[:80]!r}: it does not occur in this range", field="segment")
    own = found.values["segment"] == found.segments.index(segment)
    state = found.values["state"].copy()
    state[~own] = 0
    found.values["state"] = state
    return found


def scatter(request: HttpRequest, model: Model) -> Chart:
    """Predicted against actual."""
    read = columns(request, model)
    found: dict[str, Any] = dict(NOTHING) if read is None else calibration.scatter(read)
    target = model.stream.target_name
    sentence = f"{number(found['of'])} scored observations"
    if found["of"] > len(found["n"]):
        sentence += f"; {number(len(found['n']))} are shown, among them those with the largest errors"
    return Chart(
        "scatter",
        "Predicted against actual",
        f"{sentence}. On the dashed line, the prediction is right.",
        f"{target}{unit(model)}",
        f"prediction{unit(model)}",
        found["y"],
        [Series("prediction", found["prediction"], "points")],
        kind="scatter",
        diagonal=True,
        texts=_texts(found),
    )


def _texts(found: dict[str, Any]) -> dict[str, Any]:
    texts = {"observation": [str(n) for n in found["n"]]}
    if found["segment"]:
        texts["segment"] = found["segment"]
    return texts


def residuals(request: HttpRequest, model: Model) -> Chart:
    """Errors by a feature, or by observation."""
    feature = request.GET.get("feature", "")
    read = columns(request, model)
    found: dict[str, Any] = dict(NOTHING) if read is None else calibration.scatter(read)
    xs: list[float] = list(found["n"])
    kept = list(range(len(xs)))
    label = "observation"
    if feature and found["n"]:
        by_number = feature_values(model, feature, found["n"])
        kept = [index for index, n in enumerate(found["n"]) if n in by_number]
        kept.sort(key=lambda index: by_number[found["n"][index]])  # so that the keyboard goes from left to right
        xs = [by_number[found["n"][index]] for index in kept]
        label = feature
        if not kept:
            raise Invalid(
                f"feature is {feature[:80]!r}: it has no number in these observations; choose another", field="feature"
            )
    texts: dict[str, Sequence[str]] = {
        name: [column[index] for index in kept] for name, column in _texts(found).items()
    }
    errors = [found["error"][index] for index in kept]
    mean = sum(errors) / len(errors) if errors else None
    return Chart(
        "residuals",
        f"Error by {label}",
        _residual_sentence(model, found, len(kept), mean),
        label,
        f"prediction minus {model.stream.target_name}{unit(model)}",
        xs,
        [Series("error", errors, "points", tone=1)],
        kind="scatter",
        texts=texts,
    )


def _residual_sentence(model: Model, found: dict[str, Any], shown: int, mean: float | None) -> str:
    if mean is None:
        return "Nothing was scored yet."
    own = f" {model.stream.target_unit}" if model.stream.target_unit else ""
    said = f"Each point is a scored observation; above zero, the prediction was too high. Their mean is {number(mean)}{own}."
    if found["of"] > len(found["n"]):
        said += f" {number(shown)} of {number(found['of'])} are drawn, among them those with the largest errors."
    return said


def feature_values(model: Model, feature: str, numbers: list[int]) -> dict[int, float]:
    """Return the values of a feature at those observations, ascending numbers, that have a number there."""
    wanted = set(numbers)
    found: dict[int, float] = {}
    for first, xs in log.features(model.stream_id, numbers[0] - 1, numbers[-1]):
        for offset, x in enumerate(xs):
            value = (x or {}).get(feature)
            if first + offset in wanted and isinstance(value, (int, float)):
                found[first + offset] = float(value)
    return found


def reliability(request: HttpRequest, model: Model) -> Chart:
    """Observed against nominal coverage of each bound."""
    read = columns(request, model)
    levels = [] if read is None else calibration.levels(read)
    upper = [level for level in levels if level["bound"] != "interval"] or levels
    worst = max(upper, key=lambda level: abs(level["observed"] - level["nominal"]), default=None)
    sentence = "This model gives no intervals."
    if worst is not None:
        sentence = (
            f"Of {number(worst['count'])} targets, {share(worst['observed'])} were within the bound that promises "
            f"{share(worst['nominal'])}: the largest difference of {len(upper)} bounds."
        )
    return Chart(
        "reliability",
        "Do its bounds hold?",
        sentence,
        "promised share",
        "observed share",
        [level["nominal"] for level in upper],
        [
            Series("from (95 % sure)", [level["low"] for level in upper], "low", tone=2),
            Series("to (95 % sure)", [level["high"] for level in upper], "high", tone=2),
            Series("observed", [level["observed"] for level in upper], "points", tone=0),
        ],
        diagonal=True,
        texts={
            "bound": [level["bound"] for level in upper],
            f"mean width{unit(model)}": [number(level["width"]) for level in upper],
        },
    )


CHARTS: dict[str, tuple[Callable[[HttpRequest, Model], Chart], tuple[str, ...]]] = {
    "error": (error, RANGE),
    "values": (values, RANGE),
    "scatter": (scatter, RANGE),
    "residuals": (residuals, (*RANGE, "feature")),
    "reliability": (reliability, RANGE),
}
"""By name: the function that makes the chart, and the parameters of the page that it uses."""


def make(name: str, request: HttpRequest, model: Model) -> Chart:
    """Return one chart of the page."""
    build, used = CHARTS[name]
    try:
        chart = build(request, model)
    except Unreadable as exc:
        said = f"A part of the record can't be read: {exc}. The server makes it again from the log."
        chart = Chart(name, name.capitalize(), said, "observation", "", [], [])
    chart.url = url(f"/models/{quote(model.name)}/charts/{name}/", request, used)
    return chart


def has_numbers(model: Model) -> bool:
    """Whether the model predicts numbers or labels, which charts can show."""
    return model.flavor in ("regression", *CLASSES)
