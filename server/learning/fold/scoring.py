"""Scoring: predictions in the form that the metrics take, and the metrics of segments."""

from collections.abc import Callable, Sequence
from typing import Any

from server.learning.fold.flavors import Flavor
from server.learning.metrics.prequential import OTHER, Metrics

BOOLEAN_LABELS = {"true": True, "false": False, "True": True, "False": False}


def without_active_learning_flag(prediction: Any) -> Any:
    """Return a classifier's prediction without the flag of :mod:`river.active`: whether it wants the label."""
    if isinstance(prediction, (list, tuple)) and len(prediction) == 2 and isinstance(prediction[1], bool):
        return prediction[0]
    return prediction


def scorable(prediction: Any, flavor: Flavor, learned: int) -> Any:
    """Return a prediction in the form that the metrics take; None if there is nothing to score.

    Parameters
    ----------
    prediction
        Plain data.
    flavor
        The model's flavor.
    learned
        Number of observations that the model had learned. If it is 0, the prediction 0 means that the model knows
        nothing.
    """
    if type(prediction) is list and flavor.target in ("boolean", "category"):
        prediction = without_active_learning_flag(prediction)
    if prediction is None or (isinstance(prediction, dict) and not prediction) or (not learned and not prediction):
        return None
    if flavor.name == "binary" and isinstance(prediction, dict):
        return {BOOLEAN_LABELS.get(label, label): share for label, share in prediction.items()}
    return prediction


def with_probabilities(label: Any, proba: Callable[[dict[str, Any]], Any], x: dict[str, Any]) -> Any:
    """Return a label and its probabilities; the label alone if the classifier gives no probabilities."""
    try:
        return label, without_active_learning_flag(proba(x.copy()))
    except NotImplementedError:  # metrics of probabilities are not updated
        return label


def without_empty_first(predictions: list[Any], skipped: dict[int, str]) -> list[Any]:
    """Return the predictions of a model that has learned nothing before. A first prediction of 0 becomes None."""
    first = next((n for n in range(len(predictions)) if n not in skipped), None)
    if first is None or predictions[first]:
        return predictions
    return [*predictions[:first], None, *predictions[first + 1 :]]


def extend_segments(
    segments: dict[str, Metrics],
    feature: str,
    xs: Sequence[dict[str, Any]],
    ys: Sequence[Any],
    scored: Sequence[Any],
    *,
    most: int,
    new_metrics: Callable[[], Metrics],
) -> None:
    """Update the metrics of each segment. Points without a prediction don't count.

    Parameters
    ----------
    segments
        Metrics by segment. Segments that are missing are added.
    feature
        The feature whose value is the segment. A point without it belongs to the segment ``""``.
    xs, ys, scored
        Features, targets and predictions, of the same length.
    most
        Most segments with metrics of their own. Later segments share those of ``OTHER``.
    new_metrics
        Returns the metrics of a new segment.
    """
    by_segment: dict[str, tuple[list[Any], list[Any]]] = {}
    new = 0
    for x, y, prediction in zip(xs, ys, scored, strict=True):
        if prediction is None:
            continue
        name = str(x.get(feature, ""))
        if name not in segments and name not in by_segment:
            if len(segments) + new >= most:
                name = OTHER
            new += name not in segments and name not in by_segment
        targets, predictions = by_segment.setdefault(name, ([], []))
        targets.append(y)
        predictions.append(prediction)
    for name, (targets, predictions) in by_segment.items():
        if name not in segments:
            segments[name] = new_metrics()
        segments[name].extend(targets, predictions)
