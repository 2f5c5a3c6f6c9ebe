"""Prequential metrics that note their values after every Nth observation, while a replica is advanced."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

from server.learning.fold.flavors import Flavor
from server.learning.fold.replica import Replica
from server.learning.metrics.prequential import ClassificationMetrics, Metrics, NoMetrics, RegressionMetrics


class Notes:
    """Values of a replica's metrics, by the number of the observation after which they were these.

    Parameters
    ----------
    replica
        The replica. From now on, its metrics note their values.
    every
        Observations from one note to the next. Numbers that are multiples of it are noted.
    """

    def __init__(self, replica: Replica, every: int) -> None:
        self.replica = replica
        self.every = every
        self.values: dict[int, dict[str, float]] = {}
        own = {field.name: getattr(replica.flavor, field.name) for field in fields(Flavor)}
        replica.flavor = _NotingFlavor(**own, notes=self)
        replica.metrics = self.watched(replica.metrics)

    def watched(self, metrics: Metrics) -> Metrics:
        """Have metrics note their values here."""
        metrics.__class__ = _NOTING[type(metrics)]
        metrics.notes = self  # type: ignore[attr-defined]
        return metrics

    def take(self) -> dict[int, dict[str, float]]:
        """Return what was noted, and forget it."""
        found, self.values = self.values, {}
        return found


def values_of(metrics: Metrics) -> dict[str, float]:
    """Return the values of metrics as they are mirrored: overall, over the rolling window, and how many were scored."""
    rolling = {f"rolling {name}": value for name, value in metrics.rolling().items()}
    return {"scored": float(metrics.n), **metrics.values(), **rolling}


@dataclass(frozen=True)
class _NotingFlavor(Flavor):
    """A flavor whose replicas note their metrics, also after they were restored."""

    notes: Notes | None = None

    def new_metrics(self, window: int, *, with_history: bool) -> Metrics:
        made = super().new_metrics(window, with_history=with_history)
        return self.notes.watched(made) if with_history and self.notes is not None else made


class _Noting:
    notes: Notes

    def extend(self, ys: Sequence[Any], predictions: Sequence[Any]) -> None:
        """Score observations, of which the first is the one after the replica's last, and note values."""
        first, every, low = self.notes.replica.n + 1, self.notes.every, 0
        for high in range((-first) % every + 1, len(ys) + 1, every):
            super().extend(ys[low:high], predictions[low:high])  # type: ignore[misc]
            self.notes.values[first + high - 1] = values_of(self)  # type: ignore[arg-type]
            low = high
        super().extend(ys[low:], predictions[low:])  # type: ignore[misc]


class _NotingRegression(_Noting, RegressionMetrics):
    pass


class _NotingClassification(_Noting, ClassificationMetrics):
    pass


class _NotingNone(_Noting, NoMetrics):
    pass


_NOTING: dict[type, type] = {
    RegressionMetrics: _NotingRegression,
    ClassificationMetrics: _NotingClassification,
    NoMetrics: _NotingNone,
}
