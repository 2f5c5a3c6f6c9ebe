"""`ByBondType`: a model for all bonds, with a separate estimator for each type."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from river import base

from ._bond_features import bonds_of
from .bond_gpr import BondGPR

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["ByBondType"]


class ByBondType(base.Regressor):
    """A separate estimator for each type of bond, or for each value of another feature.

    The estimator of a type is a copy of its prototype, made when the first bond of the type is learned. It learns bonds
    of its type only. A type without its own prototype has the default one.

    Parameters
    ----------
    default
        Prototype of the types without their own. None: `BondGPR` with its default parameters. Prototypes never learn.
    models
        Prototypes by type, such as ``{"Zr-Cu": BondGPR(theta=1.0)}``.
    feature
        Name of the feature with the type. The estimators do not get this feature.
    most
        Largest number of types, 1 to 10,000. Bonds of further types are refused, so that a feature with many different
        values does not fill the memory.

    Raises
    ------
    ValueError
        If `most` is out of range. By the methods: if a bond has no type, its type is not a string, or there are too
        many types.

    Examples
    --------
    >>> from tailrace.estimators import BondGPR, ByBondType

    >>> model = ByBondType(BondGPR(components=0), {"Zr-Cu": BondGPR(theta=0.5, components=0)})
    >>> for i in range(100):
    ...     model.learn_one({"bond": ("Zr-Cu", "Cu-Cu")[i % 2], "distance": 2.5 + i / 100}, 1.0 + i % 2)

    >>> round(model.predict_one({"bond": "Zr-Cu", "distance": 3.0}), 1)
    1.0
    >>> round(model.predict_one({"bond": "Cu-Cu", "distance": 3.0}), 1)
    2.0
    >>> model.types
    ['Cu-Cu', 'Zr-Cu']
    """

    def __init__(
        self,
        default: base.Regressor | None = None,
        models: dict[str, base.Regressor] | None = None,
        feature: str = "bond",
        most: int = 32,
    ) -> None:
        if not 1 <= most <= 10_000:
            raise ValueError(f"most is from 1 to 10000, got {most!r}")
        self.default = default
        self.models = models
        self.feature = feature
        self.most = most
        self._learners: dict[str, Any] = {}

    @property
    def types(self) -> list[str]:
        """The learned types, in alphabetical order."""
        return sorted(self._learners)

    def __getitem__(self, kind: str) -> Any:
        """Return the estimator of a learned type. Raises KeyError for any other type."""
        return self._learners[kind]

    # One bond

    def learn_one(self, x: dict[Any, Any], y: float) -> None:
        """Learn the strength ``y`` (eV) of a bond."""
        kind, rest = self._split(x)
        learner = self._learners.get(kind)
        if learner is not None:
            learner.learn_one(rest, y)
            return
        learner = self._new(kind)
        learner.learn_one(rest, y)  # if this raises, the type is not added
        self._learners[kind] = learner

    def predict_one(self, x: dict[Any, Any]) -> Any:
        """Return the expected strength in eV. For a type that is not learned yet, the prototype predicts it."""
        kind, rest = self._split(x)
        return self._ask(kind).predict_one(rest)

    @property
    def predict_std_one(self) -> Callable[[dict[Any, Any]], float]:
        """Function ``(x) -> standard deviation`` in eV. Exists only if the default prototype has this method."""
        self._require("predict_std_one")
        return self._predict_std_one

    @property
    def predict_interval_one(self) -> Callable[..., tuple[float, float]]:
        """Function ``(x, level=0.95) -> (low, high)`` in eV. Exists only if the default prototype has this method."""
        self._require("predict_interval_one")
        return self._predict_interval_one

    # Many bonds

    def learn_many(self, X: pd.DataFrame, y: pd.Series) -> None:
        """Learn one bond for each row, type by type, in the order of the types' first bonds.

        If an estimator raises an error, only the types before it are learned.
        """
        table = _Table(X, y, self.feature)
        for kind, rows in self._groups(X).items():
            learner = self._learners.get(kind)
            learner = self._new(kind) if learner is None else learner
            table.learn_rows(learner, rows)
            self._learners[kind] = learner

    def predict_points(
        self, xs: Sequence[dict[Any, Any]], level: float | None = None
    ) -> tuple[list[Any], list[tuple[float, float]] | None]:
        """Predict many bonds at once, with the estimators of their types.

        Parameters
        ----------
        xs
            Features of each bond.
        level
            Probability of the intervals. None: no intervals.

        Returns
        -------
        tuple
            The expected strengths in eV, and the intervals ``(low, high)`` in eV. The intervals are None if `level` is
            None or the default prototype has no intervals.
        """
        has_bands = level is not None and hasattr(self._prototype(None), "predict_interval_one")
        groups: dict[str, list[int]] = {}
        rests = []
        for row, x in enumerate(xs):
            kind, rest = self._split(x)
            groups.setdefault(kind, []).append(row)
            rests.append(rest)
        found: list[Any] = [None] * len(xs)
        bands: list[Any] = [None] * len(xs)
        for kind, rows in groups.items():
            own, own_bands = _points(self._ask(kind), [rests[row] for row in rows], level if has_bands else None)
            for row, value, band in zip(rows, own, own_bands or bands):  # noqa: B905 - Python 3.9
                found[row], bands[row] = value, band
        return found, bands if has_bands else None

    def predict_many(self, X: pd.DataFrame) -> pd.Series:
        """Return the expected strength of the bond in each row, eV."""
        return self._series(X, "predict_many")

    def predict_std_many(self, X: pd.DataFrame) -> pd.Series:
        """Return the standard deviation of the strength of the bond in each row, eV."""
        return self._series(X, "predict_std_many")

    def predict_arrays(
        self, kinds: list[str] | np.ndarray, distance: np.ndarray, soap: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Predict n bonds given as arrays. All estimators must be `BondGPR`.

        Parameters
        ----------
        kinds
            Type of each bond, shape (n,).
        distance
            Distances in Å, shape (n,).
        soap
            ``s0, s1, …`` of each bond, shape (n, P).

        Returns
        -------
        mean, spread
            Expected strengths and standard deviations in eV, shape (n,) each. NaN for types that are not learned.
        """
        names = np.asarray(kinds)
        mean, spread = np.full(len(names), np.nan), np.full(len(names), np.nan)
        for kind, learner in self._learners.items():
            rows = names == kind
            if rows.any():
                mean[rows], spread[rows] = learner.predict_arrays(np.asarray(distance)[rows], np.asarray(soap)[rows])
        return mean, spread

    # Internal methods

    def _require(self, method: str) -> None:
        if not hasattr(self._prototype(None), method):
            raise AttributeError(f"{type(self.default).__name__} has no {method}")

    def _predict_std_one(self, x: dict[Any, Any]) -> float:
        kind, rest = self._split(x)
        return self._ask(kind).predict_std_one(rest)

    def _predict_interval_one(self, x: dict[Any, Any], level: float = 0.95) -> tuple[float, float]:
        kind, rest = self._split(x)
        return self._ask(kind).predict_interval_one(rest, level)

    def _split(self, x: dict[Any, Any]) -> tuple[str, dict[Any, Any]]:
        kind = x.get(self.feature)
        if type(kind) is not str:
            raise ValueError(f"{self.feature} is a type of bond such as 'Zr-Cu'; got {kind!r}")
        rest = x.copy()
        del rest[self.feature]
        return kind, rest

    def _prototype(self, kind: str | None) -> Any:
        found = self.default if kind is None else (self.models or {}).get(kind, self.default)
        return BondGPR() if found is None else found

    def _new(self, kind: str) -> Any:
        if len(self._learners) >= self.most:
            raise ValueError(
                f"{self.feature} {kind!r} would be type number {self.most + 1}: at most {self.most} are kept"
            )
        return self._prototype(kind).clone()

    def _ask(self, kind: str) -> Any:
        learner = self._learners.get(kind)
        return self._prototype(kind) if learner is None else learner

    def _groups(self, X: pd.DataFrame) -> dict[str, np.ndarray]:
        if self.feature not in X.columns:
            raise ValueError(f"a bond has a type, but there is no column {self.feature}")
        groups: dict[str, list[int]] = {}
        for row, kind in enumerate(X[self.feature].tolist()):
            if type(kind) is not str:
                raise ValueError(f"{self.feature} is a type of bond such as 'Zr-Cu'; got {kind!r}")
            groups.setdefault(kind, []).append(row)
        return {kind: np.array(rows) for kind, rows in groups.items()}

    def _series(self, X: pd.DataFrame, method: str) -> pd.Series:
        import pandas as pd

        values, groups, rest = np.full(len(X), np.nan), self._groups(X), X.drop(columns=self.feature)
        for kind, rows in groups.items():
            values[rows] = getattr(self._ask(kind), method)(rest.iloc[rows]).to_numpy()
        return pd.Series(values, index=X.index)


def _points(learner: Any, xs: list[dict[Any, Any]], level: float | None) -> tuple[list[Any], list[Any] | None]:
    """Return an estimator's predictions and intervals for many points, computed at once if it can."""
    if hasattr(learner, "predict_points"):
        found: tuple[list[Any], list[Any] | None] = learner.predict_points(xs, level)
        return found
    bands = None if level is None else [learner.predict_interval_one(x, level) for x in xs]
    return [learner.predict_one(x) for x in xs], bands


class _Table:
    """Bonds with their strengths. It converts them to arrays only once for all `BondGPR` with the same components."""

    def __init__(self, X: pd.DataFrame, y: pd.Series, feature: str) -> None:
        self._frame, self._series, self._feature = X, y, feature
        self._arrays: dict[int, tuple[np.ndarray, np.ndarray, np.ndarray]] = {}

    def learn_rows(self, learner: Any, rows: np.ndarray) -> None:
        """Make an estimator learn some of the rows."""
        if not isinstance(learner, BondGPR):
            learner.learn_many(self._frame.iloc[rows].drop(columns=self._feature), self._series.iloc[rows])
            return
        most = learner.components
        if most not in self._arrays:
            self._arrays[most] = (*bonds_of(self._frame, most), np.asarray(self._series, dtype=float))
        learner.learn_arrays(*(column[rows] for column in self._arrays[most]))
