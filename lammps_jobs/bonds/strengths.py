"""Asking an estimator for many bonds at once, in the quickest way that it has."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from lammps_jobs.bonds.cell import features
from lammps_jobs.bonds.errors import Refused

__all__ = ["BATCH", "strengths"]

BATCH = 4096
"""Bonds that an estimator is asked for at once: some hundred numbers are made of each."""


def strengths(
    estimator: Any, types: np.ndarray, distance: np.ndarray, soap: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """-ICOHP of each bond and its standard deviation, in eV, each of shape (n,).

    A `tailrace.estimators.ByBondType` of Gaussian processes, as the recipe ``bond-gpr`` makes it, or one `BondGPR`, is
    asked by columns. Any other regressor of river's is asked for one bond after the other, which takes ten to
    a hundred times as long; its standard deviation is that of its ``predict_std_one`` or ``predict_one(x, with_dist=True)``.

    Parameters
    ----------
    estimator
        A regressor that learned bonds.
    types, distance, soap
        ``Zr-Cu`` …, shape (n,); Å, shape (n,); the bonds' projected vectors, shape (n, P).

    Returns
    -------
    mean, deviation
        nan where the estimator has learned no bond of a type, or has no standard deviation.

    Raises
    ------
    Refused
        If the estimator can't be asked this, as when it has learned the features of another descriptor.
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
            f"the model ({type(estimator).__name__}) can't be asked for bonds of {soap.shape[1]} SOAP numbers: "
            f"{type(error).__name__}: {error}. Was it learned with another descriptor definition, or with another "
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
    """The types of bonds that it has learned; None if it does not tell them apart."""
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
