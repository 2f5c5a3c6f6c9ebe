"""Predictions for pages: several models at one point, and over a range of one feature."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from time import perf_counter_ns
from typing import Any

from server.core.errors import Invalid, TailraceError
from server.dashboard.charts import Chart, Series
from server.dashboard.feature_form import Feature, numeric
from server.dashboard.formatting import number
from server.learning.metrics import call_stats
from server.learning.models import Model
from server.learning.predictions import predict_points
from server.streams import feature_warnings

MOST_MODELS = 6
POINTS, MOST_POINTS = 41, 200


@dataclass
class Answer:
    """What one model says of a point.

    Attributes
    ----------
    model
        Name of the model.
    prediction, low, high
        The prediction and its interval; None where there is none.
    at
        The last observation that the model had learned.
    error
        Why there is no prediction.
    warnings
        How the point differs from those that the stream has seen.
    """

    model: str
    prediction: Any = None
    low: float | None = None
    high: float | None = None
    at: int | None = None
    error: str = ""
    warnings: list[str] = field(default_factory=list)

    @property
    def is_plain(self) -> bool:
        """Whether the prediction is one number or text."""
        return not isinstance(self.prediction, (dict, list))


def at_point(models: Sequence[Model], x: dict[str, Any], level: float, may_read: Callable[[], bool]) -> list[Answer]:
    """Return what each model predicts for a point. A model that can't has the reason as ``error``."""
    answers = []
    for model in models:
        answer = Answer(model.name)
        answers.append(answer)
        try:
            found = _predict(model, [x], level, may_read)
        except TailraceError as exc:
            answer.error = exc.message
            continue
        answer.prediction, answer.at = found.predictions[0], found.at
        interval = found.intervals[0] if found.intervals is not None else None
        if interval is not None:
            answer.low, answer.high = interval
        answer.warnings = [fault.of_point(may_read=may_read()) for fault in feature_warnings.shortened(found.faults)]
    return answers


def _predict(
    model: Model, xs: list[dict[str, Any]], level: float, may_read: Callable[[], bool]
) -> predict_points.PredictionResult:
    began = perf_counter_ns()
    fields = ["x"] if len(xs) == 1 else [f"point {index + 1}" for index in range(len(xs))]
    found = predict_points.predict(model.name, xs, level=level, fields=fields, may_read=may_read)
    call_stats.predicted(found.model_id, perf_counter_ns() - began)
    return found


@dataclass(frozen=True)
class Sweep:
    """A range of one feature.

    Attributes
    ----------
    feature
        Its name.
    low, high
        The range.
    values
        The values in it at which models predict.
    """

    feature: str
    low: float
    high: float
    values: list[float]


def sweep(feature: Feature, x: dict[str, Any], low: float | None, high: float | None, points: int) -> Sweep:
    """Return the values to predict at: in the range given, or else that was seen, or else around the feature's value.

    Raises
    ------
    Invalid
        If the range is empty.
    """
    own = numeric(x, feature.name)
    if low is None:
        low = feature.low if feature.low is not None else min(0.5 * (own or 0), 1.5 * (own or 0))
    if high is None:
        high = feature.high if feature.high is not None else max(0.5 * (own or 0), 1.5 * (own or 0))
        high = high if high > low else low + 1
    if not low < high:
        raise Invalid(
            f"the range of {feature.name} is from {low:g} to {high:g}: expected the first to be less", field="from"
        )
    step = (high - low) / (points - 1)
    values: list[float] = [low + step * index for index in range(points - 1)] + [high]
    seen = [value for value in (own, feature.low, feature.high) if value is not None]
    if seen and all(isinstance(value, int) for value in seen) and float(low).is_integer() and float(high).is_integer():
        values = sorted({round(value) for value in values})  # a number of nodes is whole
    return Sweep(feature.name, low, high, values)


def curves(
    models: Sequence[Model], x: dict[str, Any], over: Sweep, level: float, may_read: Callable[[], bool]
) -> Chart:
    """Return the predictions of each model over a range of a feature, with their intervals."""
    stream = models[0].stream
    unit = f" ({stream.target_unit})" if stream.target_unit else ""
    series: list[Series] = []
    said: list[str] = []
    xs = [{**x, over.feature: value} for value in over.values]
    for tone, model in enumerate(models):
        try:
            found = _predict(model, xs, level, may_read)
        except TailraceError as exc:
            said.append(f"{model.name} has no curve: {exc.message}.")
            continue
        values = [_as_number(value) for value in found.predictions]
        if all(value is None for value in values):
            said.append(f"{model.name} predicts no number.")
            continue
        if found.intervals is not None:
            bounds = [(None, None) if one is None else one for one in found.intervals]
            series.append(
                Series(f"{model.name}: {level:.4g} from", [_as_number(low) for low, _ in bounds], "low", tone)
            )
            series.append(
                Series(f"{model.name}: {level:.4g} to", [_as_number(high) for _, high in bounds], "high", tone)
            )
        series.append(Series(model.name, values, tone=tone))
        said.append(_sentence(model.name, over, values, stream.target_unit))
    return Chart(
        "sweep",
        f"Over {over.feature}",
        " ".join(said),
        over.feature,
        f"predicted {stream.target_name}{unit}",
        over.values,
        series,
    )


def _as_number(value: Any) -> float | None:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _sentence(name: str, over: Sweep, values: list[float | None], unit: str) -> str:
    known = [(x, value) for x, value in zip(over.values, values, strict=True) if value is not None]
    unit = f" {unit}" if unit else ""
    (first, begins), (last, ends) = known[0], known[-1]
    low = min(known, key=lambda pair: pair[1])
    said = f"{name}: {number(begins)}{unit} at {number(first)}, {number(ends)}{unit} at {number(last)}"
    if low[0] not in (first, last):
        said += f"; least, {number(low[1])}{unit}, at {number(low[0])}"
    return f"{said}."
