"""The columns of :mod:`._runtime_terms` for many jobs at once, computed with arrays, but with the same bits.

Python computes the logarithms and powers, because NumPy's results differ in the last bits.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from . import _runtime_terms as terms
from ._runtime_terms import MULTIPLIERS, SIZES, WORKERS, RuntimeTerms

__all__ = ["columns"]

_PLAIN = frozenset((int, float))


def columns(own: RuntimeTerms, xs: Sequence[Mapping[Any, Any]]) -> tuple[np.ndarray, np.ndarray]:
    """Return the columns of many jobs: the same values as `RuntimeTerms.rows` for each.

    Parameters
    ----------
    own
        The terms, with N additive and M power-law columns.
    xs
        Features of n jobs.

    Returns
    -------
    tuple
        Additive and power-law columns, of shape (n, N) and (n, M).
    """
    with np.errstate(all="ignore"):
        return _Columns(own, xs).all()


class _Columns:
    """The columns of many jobs, and intermediate values that several columns use."""

    def __init__(self, own: RuntimeTerms, xs: Sequence[Mapping[Any, Any]]) -> None:
        self.own = own
        self.n = len(xs)
        if not all(type(name) is str for name in set().union(*xs)):
            xs = [{str(name): value for name, value in x.items()} for x in xs]
        self.ratios = {name: _ratio(xs, name, reference) for name, reference in own.references.items()}
        self.labels = [terms.split(dict(x))[1] for x in xs] if own.labels else []
        self.logs: dict[str, np.ndarray] = {}

    def all(self) -> tuple[np.ndarray, np.ndarray]:
        own, ratios, one = self.own, self.ratios, np.ones(self.n)
        steps, workers = self._resources() if own._has_resources else (one, one)
        rate = steps / workers
        values = [ratios[name] - own.origins[name] for name in own.sizes]
        work = rate
        for name in own.sizes:
            if name in SIZES:
                work = work * np.abs(ratios[name])
        work = np.minimum(work, 1e12)
        volume, extents = self._box()
        rows: list[np.ndarray] = []
        for kind, a, b in own.columns:
            if kind == terms._PRODUCT:
                rows.append(rate if a < 0 else rows[a] * values[b])
            elif kind == terms._LOG:
                rows.append(rate * self._log_of(own.sizes[a]))
            elif kind == terms._SERIAL:
                rows.append(1.0 - rate)
            elif kind == terms._STEPS:
                rows.append(steps - rate)
            elif kind == terms._STEPS_LOG_WORKERS:
                rows.append(steps * (1.0 + _logs(workers)) - rate)
            elif kind == terms._STEPS_WORKERS:
                rows.append(steps * workers - rate)
            elif kind == terms._SURFACE:
                rows.append(steps * _two_thirds(work / steps) - rate * _two_thirds(work / rate))
            elif kind == terms._EXTENT:
                rows.append(rate * extents[a])
            elif kind == terms._FACE:
                rows.append(rate * volume / extents[a])
            elif kind == terms._COMBINATION:
                combination = set(b)
                rows.append(np.where([labels == combination for labels in self.labels], work, 0.0))
            elif kind == terms._LABEL_WORK:
                rows.append(np.where(self._with(b), work, 0.0))
            else:
                rows.append(np.where(self._with(b), 1.0, 0.0))
        log_work = _logs(work)
        powers = [one, log_work * log_work]
        for name in own.log_names[2:]:
            if isinstance(name, tuple):
                powers.append(np.where(self._with(name), 1.0, 0.0))
            else:
                powers.append(self._log_of(name))
        return np.column_stack(rows), np.column_stack(powers)

    def _resources(self) -> tuple[np.ndarray, np.ndarray]:
        ratios, steps = self.ratios, np.ones(self.n)
        for name in MULTIPLIERS:
            if name in ratios:
                steps = steps * np.maximum(ratios[name], 1e-9)
        named = next((name for name in (*WORKERS, terms._NODES) if name in ratios), None)
        workers = np.ones(self.n) if named is None else ratios[named]
        for name in terms._THREADS:
            if name in ratios:
                workers = workers * np.maximum(ratios[name], 1e-9)
                break
        return steps, np.maximum(workers, 1e-9)

    def _box(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the volume of the box, shape (n,), and its sides in ascending order, shape (number of sides, n)."""
        own, volume = self.own, np.ones(self.n)
        if len(own.box) < 2:
            return volume, np.empty((0, self.n))
        sides = [np.maximum(np.abs(self.ratios[name] * own.references[name]), 1e-6) for name in own.box]
        extents = np.sort(sides, axis=0)
        for extent in extents:
            volume = volume * extent
        return volume, extents

    def _with(self, label: tuple[str, str]) -> list[bool]:
        return [label in labels for labels in self.labels]

    def _log_of(self, name: str) -> np.ndarray:
        if name not in self.logs:
            self.logs[name] = _logs(self.ratios[name])
        return self.logs[name]


def _ratio(xs: Sequence[Mapping[str, Any]], name: str, reference: float) -> np.ndarray:
    given = [x.get(name) for x in xs]
    if not set(map(type, given)) <= _PLAIN:
        given = [terms.split({name: value})[0].get(name, reference) for value in given]
    numbers = np.array(given, dtype=float)
    numbers = np.where(np.abs(numbers) < 1e300, numbers, reference)
    return np.clip(numbers / reference, -1e12, 1e12)


def _logs(values: np.ndarray) -> np.ndarray:
    within = np.clip(values, terms._LOG_FLOOR, terms._LOG_CEILING)
    return np.array(list(map(math.log, within.tolist())))


def _two_thirds(values: np.ndarray) -> np.ndarray:
    return np.array([value ** (2 / 3) for value in values.tolist()])
