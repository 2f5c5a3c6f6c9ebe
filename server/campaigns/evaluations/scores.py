"""Errors by bond type, with intervals by a bootstrap over families."""

from dataclasses import dataclass
from typing import Any

import numpy as np

RESAMPLES = 1000
LOW, HIGH = 0.05, 0.95
"""Quantiles of the bootstrap that bound the 90 % interval."""

ONE_SIGMA, LEVEL_95, Z_95 = 0.682689, 0.95, 1.959964
DIGITS = 6
MOST_PAIRS = 200


@dataclass(frozen=True)
class Predicted:
    """Predictions of n bonds by estimators that have learned nothing of their families. Arrays have the shape (n,).

    Attributes
    ----------
    kinds, families
        Bond type and family of each.
    error
        Prediction minus label, eV; NaN where the estimator refused the bond.
    std
        Predictive standard deviation, eV; NaN where there is none.
    label
        What was measured, eV.
    """

    kinds: np.ndarray
    families: np.ndarray
    error: np.ndarray
    std: np.ndarray
    label: np.ndarray

    def of(self, rows: np.ndarray) -> "Predicted":
        """Return some of them."""
        return Predicted(self.kinds[rows], self.families[rows], self.error[rows], self.std[rows], self.label[rows])


def by_type(tested: Predicted, seed: int) -> dict[str, dict[str, Any]]:
    """Return the errors of each bond type; ``""`` has all of them together."""
    found = {"": row(tested, seed)}
    for kind in sorted(set(tested.kinds.tolist())):
        found[kind] = row(tested.of(tested.kinds == kind), seed)
    return found


def parity(tested: Predicted) -> dict[str, list[list[float]]]:
    """Return for each bond type pairs of label and prediction, eV: at most :data:`MOST_PAIRS`, evenly chosen by label."""
    found = {}
    for kind in sorted(set(tested.kinds.tolist())):
        own = tested.of((tested.kinds == kind) & ~np.isnan(tested.error))
        order = np.argsort(own.label, kind="stable")
        if len(order) > MOST_PAIRS:
            order = order[np.linspace(0, len(order) - 1, MOST_PAIRS).astype(int)]
        found[kind] = [[rounded(own.label[n]), rounded(own.label[n] + own.error[n])] for n in order]
    return found


def row(tested: Predicted, seed: int) -> dict[str, Any]:
    """Return bonds, refused ones, families, RMSE with the bounds of its 90 % interval, and bias, in eV.

    There is no interval with a single family.
    """
    known = ~np.isnan(tested.error)
    error, families = tested.error[known], tested.families[known]
    names, of = np.unique(families.astype(str), return_inverse=True)
    squares, counts = np.bincount(of, error**2, len(names)), np.bincount(of, minlength=len(names))
    low, high = bounds(squares, counts, seed)
    return {
        "bonds": len(error),
        "refused": int((~known).sum()),
        "families": len(names),
        "rmse": rounded(np.sqrt(squares.sum() / counts.sum())) if len(error) else None,
        "low": low,
        "high": high,
        "bias": rounded(error.mean()) if len(error) else None,
    }


def bounds(squares: np.ndarray, counts: np.ndarray, seed: int) -> tuple[float | None, float | None]:
    """Return the 5 % and the 95 % quantile of the RMSE over families drawn with replacement; None for fewer than two.

    Parameters
    ----------
    squares, counts
        Sum of squared errors, and number of bonds, of each family.
    """
    if len(counts) < 2:
        return None, None
    drawn = np.random.RandomState(seed % 2**32).randint(len(counts), size=(RESAMPLES, len(counts)))
    values = np.sqrt(squares[drawn].sum(axis=1) / counts[drawn].sum(axis=1))
    low, high = np.quantile(values, [LOW, HIGH])
    return rounded(low), rounded(high)


def calibration(tested: Predicted) -> dict[str, dict[str, Any]]:
    """Return by type how well standard deviations hold.

    Each row has ``bonds``; ``scale``, the factor that makes a standard deviation hold 68.27 % of the errors (the quantile of
    |error|/σ); and ``covered``, the share of labels within the 95 % interval, as it is and ``covered_scaled``.
    """
    found: dict[str, dict[str, Any]] = {}
    for kind in ["", *sorted(set(tested.kinds.tolist()))]:
        own = tested if not kind else tested.of(tested.kinds == kind)
        known = ~np.isnan(own.error) & (own.std > 0)
        if not known.any():
            found[kind] = {"bonds": 0, "scale": None, "covered": None, "covered_scaled": None}
            continue
        ratio = np.abs(own.error[known]) / own.std[known]
        scale = float(np.quantile(ratio, ONE_SIGMA, method="inverted_cdf"))
        found[kind] = {
            "bonds": int(known.sum()),
            "scale": rounded(scale),
            "covered": rounded((ratio <= Z_95).mean()),
            "covered_scaled": rounded((ratio <= Z_95 * scale).mean()),
        }
    return found


def rounded(value: float) -> float:
    """Return a number with six significant digits: the same on every processor."""
    return float(f"{value:.{DIGITS}g}")
