"""Strengths of many bonds from an estimator, by the fastest method that the estimator has."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from lammps_jobs.bonds.errors import Refused
from lammps_jobs.bonds.learning.cell_observations import features

__all__ = ["BATCH", "strengths"]

BATCH = 4096
"""Bonds that are predicted at once. Each takes several hundred numbers."""


def strengths(
    estimator: Any, types: np.ndarray, distance: np.ndarray, soap: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return -ICOHP of each bond and its standard deviation, in eV, each of shape (n,).

    A `tailrace.estimators.ByBondType` of Gaussian processes, as in the recipe ``bond-gpr``, or a single `BondGPR`,
    predicts all bonds at once. Any other regressor of river predicts one bond after the other, which takes 10 to 100
    times as long. Its standard deviation is from ``predict_std_one`` or ``predict_one(x, with_dist=True)``.

    Parameters
    ----------
    estimator
        A regressor that learned bonds.
    types, distance, soap
        Types such as ``Zr-Cu``, shape (n,); lengths in Å, shape (n,); projected vectors of the bonds, shape (n, P).

    Returns
    -------
    mean, deviation
        nan if the estimator has learned no bond of a type, or has no standard deviation.

    Raises
    ------
    Refused
        If the estimator can't predict these bonds, for example because it has learned features of another descriptor.
    """
    try:
        ask = _asker(estimator)
        answers = np.empty((2, len(types)))
        for first in range(0, len(types), BATCH):
            some = slice(first, first + BATCH)
            answers[:, some] = ask(types[some], distance[some], soap[some])
        return answers[0], answers[1]
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise Refused(
            f"the model ({type(estimator).__name__}) can't predict bonds with {soap.shape[1]} SOAP numbers: "
            f"{type(error).__name__}: {error}. Was it trained with another descriptor definition, or with another "
            "version of tailrace?"
        ) from error


def _asker(estimator: Any) -> Callable[[np.ndarray, np.ndarray, np.ndarray], Any]:
    columns = getattr(estimator, "predict_arrays", None)
    if columns is None or any(not hasattr(estimator[kind], "predict_arrays") for kind in _learned(estimator) or ()):
        return partial(_one_by_one, estimator)
    if len(inspect.signature(columns).parameters) == 2:
        return lambda types, distance, soap: columns(distance, soap)
    return columns


def _learned(estimator: Any) -> list[str] | None:
    """Return the types of bonds that the estimator has learned; None if it doesn't distinguish types."""
    return getattr(estimator, "types", None)


def _one_by_one(
    estimator: Any, types: np.ndarray, distance: np.ndarray, soap: np.ndarray
) -> tuple[list[float], list[float]]:
    learned = _learned(estimator)
    means, deviations = [], []
    for x in features(types, distance, soap):
        known = learned is None or x["bond"] in learned
        mean, deviation = _one(estimator, x) if known else (np.nan, np.nan)
        means.append(mean)
        deviations.append(deviation)
    return means, deviations


def _one(estimator: Any, x: dict[str, Any]) -> tuple[float, float]:
    if "with_dist" in inspect.signature(estimator.predict_one).parameters:
        answer = estimator.predict_one(x, with_dist=True)
        return answer.mu, answer.sigma
    try:
        deviation = estimator.predict_std_one(x)
    except AttributeError:
        deviation = np.nan
    return estimator.predict_one(x), deviation
