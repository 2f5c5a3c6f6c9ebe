"""Prequential metrics: metrics of predictions that were made before their observations were learned.

The regression metrics repeat river's arithmetic bit for bit (a test compares them), in one loop over a group of observations.
River's own objects would cost as much as the predictions.
"""

from collections import deque
from collections.abc import Sequence
from typing import Any, Protocol

from river import metrics

from server.learning.metrics.curves import History

OTHER = "(other)"


class Metrics(Protocol):
    """The metrics of one model over a stream or over one segment of it."""

    n: int

    def extend(self, ys: Sequence[Any], predictions: Sequence[Any]) -> None: ...
    def values(self) -> dict[str, float]: ...
    def rolling(self) -> dict[str, float]: ...
    def state(self) -> dict[str, Any]: ...
    def restore(self, state: dict[str, Any]) -> None: ...


def _square(error: float) -> float:
    try:
        return error**2
    except OverflowError:
        return float("inf")


class RegressionMetrics:
    """MAE, RMSE, SMAPE, R² and bias (the mean of prediction minus target), overall and over a rolling window."""

    COLUMNS = ("MAE", "RMSE", "R2", "Bias", "rolling MAE", "rolling RMSE", "rolling Bias")
    STATE = ("n", "mae", "mse", "smape", "bias", "mean", "spread", "residual")

    def __init__(self, window: int, history: History | None = None) -> None:
        self.n = 0
        self.mae = self.mse = self.smape = self.bias = self.mean = self.spread = self.residual = 0.0
        self.recent: deque[tuple[float, float]] = deque(maxlen=window)
        self.history = history

    def extend(self, ys: Sequence[float], predictions: Sequence[float]) -> None:
        """Score predictions against targets, in order. Pairs without a prediction are skipped."""
        n, mae, mse, smape = self.n, self.mae, self.mse, self.smape
        bias, mean, spread, residual = self.bias, self.mean, self.spread, self.residual
        recent = self.recent.append
        history = self.history
        mark = history.next_mark if history is not None else 0
        for y, p in zip(ys, predictions, strict=True):
            if p is None:
                continue
            n += 1
            w = 1.0 / n
            e = y - p
            a = abs(e)
            mae += w * (a - mae)
            try:
                mse += w * (e**2 - mse)
            except OverflowError:
                mse = float("inf")
            den = abs(y) + abs(p)
            smape += w * ((2.0 * a / den if den else 0.0) - smape)
            bias -= w * (e + bias)
            d = y - mean
            mean += w * d
            spread += d * (y - mean)
            residual += e * e
            recent((y, p))
            if n == mark:
                assert history is not None
                self.n, self.mae, self.mse, self.smape = n, mae, mse, smape
                self.bias, self.mean, self.spread, self.residual = bias, mean, spread, residual
                mark = history.record(n, self.point())
        self.n, self.mae, self.mse, self.smape = n, mae, mse, smape
        self.bias, self.mean, self.spread, self.residual = bias, mean, spread, residual

    def values(self) -> dict[str, float]:
        return {
            "MAE": self.mae,
            "RMSE": self.mse**0.5,
            "SMAPE": 100 * self.smape,
            "R2": 1 - self.residual / self._total() if self.n > 1 and self._total() else 0.0,
            "Bias": self.bias,
        }

    def _total(self) -> float:
        # In the same steps as river's Var and R2.
        return (self.n - 1) * (self.spread / (self.n - 1))

    def rolling(self) -> dict[str, float]:
        if not self.recent:
            return {"MAE": 0.0, "RMSE": 0.0, "SMAPE": 0.0, "Bias": 0.0}
        size = len(self.recent)
        mae = mse = smape = bias = 0.0
        for y, p in self.recent:
            e = y - p
            den = abs(y) + abs(p)
            mae += abs(e)
            mse += _square(e)
            smape += 2.0 * abs(e) / den if den else 0.0
            bias -= e
        return {"MAE": mae / size, "RMSE": (mse / size) ** 0.5, "SMAPE": 100 * smape / size, "Bias": bias / size}

    def point(self) -> tuple[float, ...]:
        values, rolling = self.values(), self.rolling()
        return (
            *(values[name] for name in ("MAE", "RMSE", "R2", "Bias")),
            *(rolling[name] for name in ("MAE", "RMSE", "Bias")),
        )

    def state(self) -> dict[str, Any]:
        state: dict[str, Any] = {name: getattr(self, name) for name in self.STATE}
        state["recent"] = list(self.recent)
        return state

    def restore(self, state: dict[str, Any]) -> None:
        for name in self.STATE:
            setattr(self, name, state[name])
        self.recent.extend(state["recent"])


class ClassificationMetrics:
    """River's classification metrics, and the accuracy over a rolling window."""

    COLUMNS = ("Accuracy", "rolling Accuracy")

    def __init__(self, kinds: Sequence[type], window: int, history: History | None = None) -> None:
        self.n = 0
        self.metrics = [kind() for kind in kinds]
        self.recent: deque[bool] = deque(maxlen=window)
        self.history = history

    def extend(self, ys: Sequence[Any], predictions: Sequence[Any]) -> None:
        """Score labels, ``{label: probability}``, or pairs of both. Each metric uses what it needs."""
        for y, prediction in zip(ys, predictions, strict=True):
            if prediction is None:
                continue
            label, probabilities = prediction if isinstance(prediction, tuple) else (prediction, None)
            if isinstance(label, dict):
                probabilities = label
                label = max(label, key=label.__getitem__)
            self.n += 1
            for metric in self.metrics:
                if metric.requires_labels:
                    metric.update(y, label)
                elif probabilities:
                    metric.update(y, probabilities)
            self.recent.append(label == y)
            if self.history is not None and self.n == self.history.next_mark:
                self.history.record(self.n, self.point())

    def values(self) -> dict[str, float]:
        """Return each metric. Metrics of probabilities are omitted if the model predicts labels only."""
        scored = [metric for metric in self.metrics if metric.requires_labels or not self.n or metric._mean.n]
        return {type(metric).__name__: metric.get() for metric in scored}

    def rolling(self) -> dict[str, float]:
        return {"Accuracy": sum(self.recent) / len(self.recent) if self.recent else 0.0}

    def point(self) -> tuple[float, ...]:
        return (self.values()["Accuracy"], self.rolling()["Accuracy"])

    def state(self) -> dict[str, Any]:
        return {"n": self.n, "metrics": self.metrics, "recent": list(self.recent)}

    def restore(self, state: dict[str, Any]) -> None:
        self.n, self.metrics = state["n"], state["metrics"]
        self.recent.extend(state["recent"])


class NoMetrics:
    """Metrics of flavors without a target: only the number of predictions."""

    COLUMNS: tuple[str, ...] = ()

    def __init__(self, window: int, history: History | None = None) -> None:
        self.n = 0

    def extend(self, ys: Sequence[Any], predictions: Sequence[Any]) -> None:
        self.n += sum(prediction is not None for prediction in predictions)

    def values(self) -> dict[str, float]:
        return {}

    def rolling(self) -> dict[str, float]:
        return {}

    def state(self) -> dict[str, Any]:
        return {"n": self.n}

    def restore(self, state: dict[str, Any]) -> None:
        self.n = state["n"]


BINARY = (metrics.Accuracy, metrics.LogLoss, metrics.Precision, metrics.Recall, metrics.F1)
MULTICLASS = (
    metrics.Accuracy,
    metrics.CrossEntropy,
    metrics.MacroPrecision,
    metrics.MacroRecall,
    metrics.MacroF1,
    metrics.MicroPrecision,
    metrics.MicroRecall,
    metrics.MicroF1,
)
