"""`BondGPR`: an estimator of bond strengths, with their uncertainty."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import numpy as np
from river import base

from ._bond_features import bonds_of, checked_arrays, count_numbers, read_bond
from ._bond_map import BondMap
from ._posterior import Posterior

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["BondGPR"]

_REFERENCE, _NEAREST = 2.8, 0.5
_NORMAL = NormalDist()
_MOST_COLUMNS = 2048


class BondGPR(base.Regressor):
    """Estimates the strength of bonds of one type, with its uncertainty. It learns one bond at a time, or many.

    This is the Gaussian process of Phys. Rev. Materials 4, 113603. Its kernel is
    ``exp(-(d-d')²/2θ²) · (½(sA+sB)·½(s'A+s'B))^ζ`` for bonds of length ``d`` between atoms with unit SOAP vectors
    ``sA`` and ``sB``. It is computed as Bayesian linear regression on an explicit feature map of the kernel (reference
    2): a radial basis of the distance times the projected ``½(sA+sB)``. Learning a bond takes O((centres ·
    components)²), is exact in any order, and stores no bonds.

    Strengths fall exponentially with the distance. So does their spread and, more slowly, the noise. Therefore the
    prior's standard deviation has the factor ``exp(-(d - 2.8 Å)/decay)``, and the noise's standard deviation the factor
    ``exp(-(d - 2.8 Å)/noise_decay)``. With these factors, the process extrapolates to shorter bonds than those learned,
    and its predictive standard deviation falls with the distance like the errors. The paper has neither factor (None).

    The features are ``distance`` (Å) and the numbers ``s0, s1, …`` of the projected ``½(sA+sB)``. Others are ignored.
    The first bond that is learned determines the number of components; all later bonds must have as many.

    Parameters
    ----------
    theta
        Width θ of the radial kernel, Å.
    zeta
        Exponent ζ, 1 or 2. For 2, the feature map is truncated to as many products as there are components.
    noise
        Variance of the noise at 2.8 Å in units of the prior variance, at least 1e-8. γ·std(y) in the paper.
    prior
        Expected standard deviation of strengths at 2.8 Å, eV. It only sets the initial uncertainty; the size of the
        errors is learned.
    decay
        Distance over which the prior's standard deviation falls to 1/e, Å. None: it is the same at all distances.
    noise_decay
        Distance over which the noise's standard deviation falls to 1/e, Å. None: it is the same at all distances.
    centres
        Number of radial functions, 2 to 64. They should be at most θ apart.
    components
        Largest number of projected SOAP numbers to use. 0: use only the distance. ``centres * components`` is at most
        2048, because a model with D columns takes 16 D² bytes for each type of bond.
    shortest, longest
        Distances of the first and the last centre, Å.

    Raises
    ------
    ValueError
        If a parameter is out of its range. By the methods: if a feature is missing or not a finite number, the distance
        is not positive, or a strength is not finite. Nothing is learned then.

    Examples
    --------
    >>> from tailrace.estimators import BondGPR

    >>> model = BondGPR(theta=0.5, centres=8)
    >>> for i in range(200):
    ...     d = 2.2 + 0.01 * i
    ...     model.learn_one({"distance": d, "s0": 0.9, "s1": 0.1 * (i % 3)}, 2.718 ** ((2.5 - d) / 0.5))

    >>> bond = {"distance": 2.505, "s0": 0.9, "s1": 0.1}
    >>> round(model.predict_one(bond), 2)
    0.99
    >>> low, high = model.predict_interval_one(bond, level=0.95)
    >>> low < model.predict_one(bond) < high
    True

    References
    ----------
    .. [1] *Chemical bonding in metallic glasses from machine learning and crystal orbital Hamilton population*, Phys.
       Rev. Materials 4, 113603 (2020).
    .. [2] Rasmussen and Williams, *Gaussian Processes for Machine Learning*, section 2.1 (the weight-space view).
    """

    def __init__(
        self,
        theta: float = 1.0,
        zeta: int = 1,
        noise: float = 0.003,
        prior: float = 1.0,
        decay: float | None = 0.8,
        noise_decay: float | None = 1.6,
        centres: int = 6,
        components: int = 64,
        shortest: float = 1.8,
        longest: float = 4.2,
    ) -> None:
        _check("theta", theta, 0.01, 100.0)
        _check("noise", noise, 1e-8, 1e6)
        _check("prior", prior, 1e-9, 1e9)
        for name, length in (("decay", decay), ("noise_decay", noise_decay)):
            if length is not None:
                _check(name, length, 0.05, 1e6)
        _check("shortest", shortest, 0.0, 100.0)
        _check("longest", longest, 0.0, 100.0)
        if zeta not in (1, 2):
            raise ValueError(f"zeta is 1 or 2, got {zeta!r}")
        if not 2 <= centres <= 64 or components < 0 or centres * components > _MOST_COLUMNS:
            raise ValueError(
                f"expected 2 to 64 centres, 0 or more components and at most {_MOST_COLUMNS} products of both, got "
                f"centres={centres!r}, components={components!r}"
            )
        if not shortest < longest:
            raise ValueError(f"expected shortest < longest, got {shortest!r} and {longest!r} Å")
        self.theta = theta
        self.zeta = zeta
        self.noise = noise
        self.prior = prior
        self.decay = decay
        self.noise_decay = noise_decay
        self.centres = centres
        self.components = components
        self.shortest = shortest
        self.longest = longest
        self._map: BondMap | None = None
        self._posterior: Posterior | None = None

    # One bond

    def learn_one(self, x: dict[Any, Any], y: float) -> None:
        """Learn a bond with the features ``x`` and the strength ``y``, -ICOHP in eV."""
        y = float(y)
        if not math.isfinite(y):
            raise ValueError(f"a bond's strength is a finite number of eV; got {y!r}")
        columns = self._map
        if columns is None or self._posterior is None:
            columns = self._new_map(count_numbers(x))
        distance, soap = read_bond(x, columns.components)
        phi, scale = self._columns(columns, distance, soap)
        self._get_posterior(columns).learn(phi, y / scale)

    def predict_one(self, x: dict[Any, Any]) -> float:
        """Return the expected strength, -ICOHP in eV. It is 0 before anything is learned."""
        if self._map is None or self._posterior is None:
            return 0.0
        phi, scale = self._columns(self._map, *read_bond(x, self._map.components))
        return scale * self._posterior.predict(phi)

    def predict_std_one(self, x: dict[Any, Any]) -> float:
        """Return the standard deviation of the strength in eV, including the noise."""
        columns = self._new_map(count_numbers(x)) if self._map is None else self._map
        phi, scale = self._columns(columns, *read_bond(x, columns.components))
        if self._posterior is None:
            return scale * self.prior * math.sqrt(self.noise + float(phi.dot(phi)))
        return scale * self._posterior.spread(phi)

    def predict_interval_one(self, x: dict[Any, Any], level: float = 0.95) -> tuple[float, float]:
        """Return the central interval, in eV, that contains the strength with probability ``level``.

        Raises
        ------
        ValueError
            If ``level`` is not between 0 and 1.
        """
        half = _half_width(level) * self.predict_std_one(x)
        middle = self.predict_one(x)
        return middle - half, middle + half

    # Many bonds

    def predict_points(
        self, xs: Sequence[dict[Any, Any]], level: float | None = None
    ) -> tuple[list[float], list[tuple[float, float]] | None]:
        """Predict many bonds at once.

        The results differ from those of `predict_one` and `predict_interval_one` by at most 1e-9 times the largest
        strength, because the order of additions differs.

        Parameters
        ----------
        xs
            Features of each bond.
        level
            Probability of the intervals. None: no intervals.

        Returns
        -------
        tuple
            The expected strengths in eV, and the intervals ``(low, high)`` in eV, or None.

        Raises
        ------
        ValueError
            If ``level`` is not between 0 and 1.
        """
        width = None if level is None else _half_width(level)
        if self._map is None or self._posterior is None or not xs:
            bands = None if level is None else [self.predict_interval_one(x, level) for x in xs]
            return [self.predict_one(x) for x in xs], bands
        bonds = [read_bond(x, self._map.components) for x in xs]
        distance, soap = np.array([distance for distance, _ in bonds]), np.array([numbers for _, numbers in bonds])
        mean, spread = self._predict(distance, soap, with_spread=width is not None)
        if width is None:
            return mean.tolist(), None
        return mean.tolist(), list(zip((mean - width * spread).tolist(), (mean + width * spread).tolist()))  # noqa: B905 - Python 3.9

    def learn_many(self, X: pd.DataFrame, y: pd.Series) -> None:
        """Learn one bond for each row. The result is the same as learning one by one, except for rounding errors."""
        self.learn_arrays(*bonds_of(X, self.components), np.asarray(y, dtype=float))

    def predict_many(self, X: pd.DataFrame) -> pd.Series:
        """Return the expected strength of the bond in each row, eV."""
        return self._series(X, 0)

    def predict_std_many(self, X: pd.DataFrame) -> pd.Series:
        """Return the standard deviation of the strength of the bond in each row, eV."""
        return self._series(X, 1)

    def learn_arrays(self, distance: np.ndarray, soap: np.ndarray, strength: np.ndarray) -> None:
        """Learn n bonds.

        Parameters
        ----------
        distance
            Distances in Å, shape (n,).
        soap
            ``s0, s1, …`` of each bond, shape (n, P).
        strength
            Strengths, -ICOHP in eV, shape (n,).
        """
        distance, soap, strength = checked_arrays(distance, soap, strength)
        if not len(distance):
            return
        columns = self._map
        if columns is None or self._posterior is None:
            columns = self._new_map(soap.shape[1])
        phi, scales = self._rows(columns, distance, self._used_components(columns, soap))
        self._get_posterior(columns).learn_many(phi, strength / scales)

    def predict_arrays(self, distance: np.ndarray, soap: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the expected strengths and their standard deviations in eV, shape (n,) each.

        Parameters
        ----------
        distance
            Distances in Å, shape (n,).
        soap
            ``s0, s1, …`` of each bond, shape (n, P).
        """
        distance, soap, _ = checked_arrays(distance, soap, np.zeros(len(distance)))
        return self._predict(distance, soap)

    # Internal methods

    def _predict(
        self, distance: np.ndarray, soap: np.ndarray, *, with_spread: bool = True
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the expected strengths and the standard deviations (0 without `with_spread`), for checked arrays."""
        columns = self._new_map(soap.shape[1]) if self._map is None else self._map
        soap = self._used_components(columns, soap)
        mean, spread = np.zeros(len(distance)), np.zeros(len(distance))
        for first in range(0, len(distance), 2048):
            part = slice(first, first + 2048)
            phi, scales = self._rows(columns, distance[part], soap[part])
            if self._posterior is not None:
                mean[part] = scales * self._posterior.predict_many(phi)
            if with_spread and self._posterior is not None:
                spread[part] = scales * self._posterior.spread_many(phi)
            elif with_spread:
                spread[part] = scales * self.prior * np.sqrt(self.noise + np.einsum("ij,ij->i", phi, phi))
        return mean, spread

    def _series(self, X: pd.DataFrame, which: int) -> pd.Series:
        import pandas as pd

        return pd.Series(self.predict_arrays(*bonds_of(X, self.components))[which], index=X.index)

    def _new_map(self, found: int) -> BondMap:
        components = min(self.components, found)
        if self.components and not components:
            raise ValueError("a bond has a distance and the numbers s0, s1, … of its SOAP vectors; there is no s0")
        return BondMap(self.theta, self.zeta, self.centres, self.shortest, self.longest, components)

    def _get_posterior(self, columns: BondMap) -> Posterior:
        if self._posterior is None:
            self._posterior = Posterior(columns.size, self.noise, self.noise * self.prior**2)
            self._map = columns
        return self._posterior

    def _used_components(self, columns: BondMap, soap: np.ndarray) -> np.ndarray:
        if soap.shape[1] < columns.components:
            raise ValueError(
                f"a bond has the numbers s0 to s{columns.components - 1} here; got {soap.shape[1]} of them"
            )
        return soap[:, : columns.components]

    def _columns(self, columns: BondMap, distance: float, soap: np.ndarray) -> tuple[np.ndarray, float]:
        """Return the columns of one bond divided by the noise's factor, and that factor.

        The strength must be divided by the factor, too, so that all observations have the same noise.
        """
        excess = max(distance, _NEAREST) - _REFERENCE
        amplitude, noise = self._rates()
        return columns.one(distance, soap) * math.exp(excess * (noise - amplitude)), math.exp(-excess * noise)

    def _rows(self, columns: BondMap, distance: np.ndarray, soap: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the same as `_columns` for n bonds, with shapes (n, D) and (n,)."""
        excess = np.maximum(distance, _NEAREST) - _REFERENCE
        amplitude, noise = self._rates()
        factors = np.exp(excess * (noise - amplitude))
        return columns.many(distance, soap) * factors[:, None], np.exp(-excess * noise)

    def _rates(self) -> tuple[float, float]:
        return (
            0.0 if self.decay is None else 1.0 / self.decay,
            0.0 if self.noise_decay is None else 1.0 / self.noise_decay,
        )


def _half_width(level: float) -> float:
    """Return half of the width of a central interval, in standard deviations."""
    if not 0.0 < level < 1.0:
        raise ValueError(f"level is a probability between 0 and 1, such as 0.95; got {level!r}")
    return _NORMAL.inv_cdf(0.5 + 0.5 * level)


def _check(name: str, value: float, least: float, most: float) -> None:
    if not least <= value <= most:
        raise ValueError(f"{name} is from {least:g} to {most:g}, got {value!r}")
