"""`RuntimeTerms`: the columns of the linear models of a run time, computed from a job's features.

Every number is divided by the first value of its feature, so that units do not matter. A feature that is missing counts
as its first value. If a feature appears later, its columns are zero at the first value, and so in all earlier
observations. What was learned from these therefore stays valid.
"""

from __future__ import annotations

import math
from numbers import Real
from typing import Any

__all__ = ["MULTIPLIERS", "SIZES", "WORKERS", "RuntimeTerms"]

_BOX = frozenset({"x", "y", "z", "nx", "ny", "nz"})
SIZES = frozenset({"x", "y", "z", "nx", "ny", "nz", "atoms", "natoms", "n_atoms", "cells", "particles"})
"""Features that a run time is expected to grow with."""

MULTIPLIERS = ("steps", "nsteps", "n_steps", "timesteps", "iterations")
"""Features that the work is proportional to."""

WORKERS = ("processes", "nprocs", "procs", "ntasks", "ranks", "mpi_ranks", "np")
"""Features with the number of processes. The first one that is given is used."""

_NODES = "nodes"
_THREADS = ("threads", "omp_threads", "threads_per_process", "cpus_per_task")
_RESOURCES = frozenset({*WORKERS, *_THREADS, _NODES})
_CATEGORY_LIMIT = 16
_NUMBER_LIMIT = 48
_LOG_FLOOR, _LOG_CEILING = 1e-6, 1e9
_LOG_BOTTOM = math.log(_LOG_FLOOR)

# Kinds of columns. Saved models contain these numbers, so keep their order.
(
    _PRODUCT,  # a product of sizes
    _LOG,  # the logarithm of a size
    # Overheads that more processes do not reduce:
    _SERIAL,  # constant
    _STEPS,  # proportional to the steps
    _STEPS_LOG_WORKERS,  # proportional to the steps and the logarithm of the processes
    _STEPS_WORKERS,  # proportional to the steps and the processes
    _SURFACE,  # proportional to the steps and the surface of each process's part of the box
    # Labels:
    _LABEL,  # a label
    _LABEL_WORK,  # a label, times the work
    _COMBINATION,  # a combination of labels, times the work
    # The shape of the box:
    _EXTENT,  # the n-th shortest side
    _FACE,  # the face perpendicular to the n-th shortest side
) = range(12)

# Prior precisions, in units of the noise's precision and the column's magnitude.
_WEAK, _FIRM = 0.01, 0.1


class RuntimeTerms:
    """Adds and evaluates the columns of the additive models and of the power-law model.

    Parameters
    ----------
    degree
        Highest degree of the products of sizes.
    limit
        Largest number of additive columns. Products of low degree have priority.

    Attributes
    ----------
    columns
        Operations that compute the additive columns: ``(kind, a, b)``.
    compact, full
        Indices of the columns of the compact model (all without powers), and of the full model (all without the shape
        of the box).
    """

    def __init__(self, degree: int, limit: int) -> None:
        self.degree = degree
        self.limit = limit
        self.references: dict[str, float] = {}
        self.sizes: list[str] = []
        self.origins: dict[str, float] = {}
        self.log_names: list[str] = []
        self.labels: dict[tuple[str, str], int] = {}
        self.combinations: set[tuple[tuple[str, str], ...]] = set()
        self.columns: list[tuple[int, int, Any]] = []
        self.exponents: list[tuple[int, ...] | None] = []
        self.compact: list[int] = []
        self.full: list[int] = []
        self.penalties: list[float] = []
        self.log_penalties: list[float] = []
        self.log_means: list[float] = []
        self.box: list[str] = []
        self._has_resources = False

    def admit(self, x: dict[Any, Any]) -> bool:
        """Register the new features of ``x``, and return whether columns were added."""
        numbers, labels = split(x)
        new_numbers = sorted(name for name in numbers if name not in self.references)
        new_labels = sorted(label for label in labels if label not in self.labels)
        first = not self.columns
        if not (first or new_numbers or labels):
            return False
        before = len(self.columns), len(self.log_means)
        if first:
            self._add_column(_PRODUCT, -1, -1, exponents=(), penalty=_WEAK)
            self._add_log(None, 0.0, 0.1)
            self._add_log(None, 0.0, 4.0)
        for name in new_numbers:
            if len(self.references) >= _NUMBER_LIMIT:
                break
            value = numbers[name]
            self.references[name] = abs(value) if value != 0.0 else 1.0
            self._admit_number(name, emerged=not first)
        self._admit_products(plain=True)
        if first:
            self.box = [name for name in self.sizes if name in _BOX]
            if len(self.box) > 1:
                for rank in (0, -1):
                    self._add_column(_EXTENT, rank, -1, penalty=_WEAK)
                    self._add_column(_FACE, rank, -1, penalty=_WEAK)
        self._admit_products(plain=False)
        for label in new_labels:
            if len(self.labels) >= _CATEGORY_LIMIT:
                break
            self.labels[label] = len(self.labels)
            self._add_column(_LABEL_WORK, -1, label, penalty=_FIRM)
            self._add_column(_LABEL, -1, label, penalty=_FIRM)
            self._add_log(label, 0.0, 0.3)
        if len(labels) > 1:
            combination = tuple(sorted(labels))
            if combination not in self.combinations and len(self.combinations) < _CATEGORY_LIMIT:
                self.combinations.add(combination)
                self._add_column(_COMBINATION, -1, combination, penalty=_FIRM)
        return (len(self.columns), len(self.log_means)) != before

    def _admit_number(self, name: str, emerged: bool) -> None:
        if name in _RESOURCES:
            self._add_log(name, -0.8 if name in WORKERS else -0.4, 0.5)
        elif name in MULTIPLIERS:
            self._add_log(name, 0.9, 0.5)
        else:
            known = name in SIZES
            self._add_log(name, 0.7 if known else 0.0, 0.4 if known else 0.2)
            self.sizes.append(name)
            self.origins[name] = 1.0 if emerged else 0.0
        if (name in _RESOURCES or name in MULTIPLIERS) and not self._has_resources:
            self._has_resources = True
            for kind in (_SERIAL, _STEPS, _STEPS_LOG_WORKERS, _STEPS_WORKERS):
                self._add_column(kind, -1, -1, penalty=_WEAK)
            self._add_column(_SURFACE, -1, -1, penalty=_WEAK)

    def _admit_products(self, plain: bool) -> None:
        """Add products of sizes up to the highest degree, low degrees first, until the limit is reached.

        If `plain`, add products of different sizes only. Otherwise add also products with powers, and then logarithms.
        """
        n = len(self.sizes)
        have = {e: i for i, e in enumerate(self.exponents) if e is not None}
        have = {e + (0,) * (n - len(e)): i for e, i in have.items()}
        logs = {c[1] for c in self.columns if c[0] == _LOG}
        level = [(0,) * n]
        for _ in range(self.degree):
            following = []
            for exponents in level:
                last = max((i for i, e in enumerate(exponents) if e), default=0)
                for dim in range(last, n):
                    if plain and exponents[dim]:
                        continue
                    product = (*exponents[:dim], exponents[dim] + 1, *exponents[dim + 1 :])
                    following.append(product)
                    if product in have:
                        continue
                    if len(self.columns) >= self.limit:
                        return
                    parent = have.get(exponents)
                    if parent is None:
                        continue
                    have[product] = len(self.columns)
                    self._add_column(_PRODUCT, parent, dim, exponents=product, penalty=_WEAK, compact=max(product) == 1)
            level = following
        if not plain:
            for dim in range(n):
                if dim not in logs and len(self.columns) < self.limit:
                    self._add_column(_LOG, dim, -1, penalty=_WEAK, compact=False)

    def _add_column(
        self, kind: int, a: int, b: Any, penalty: float, exponents: Any = None, compact: bool = True
    ) -> None:
        if compact:
            self.compact.append(len(self.columns))
        if kind not in (_EXTENT, _FACE):
            self.full.append(len(self.columns))
        self.columns.append((kind, a, b))
        self.exponents.append(exponents)
        self.penalties.append(penalty)

    def _add_log(self, name: Any, mean: float, penalty: float) -> None:
        if len(self.log_means) >= self.limit:
            return
        self.log_names.append(name)
        self.log_means.append(mean)
        self.log_penalties.append(penalty)

    def rows(self, x: dict[Any, Any]) -> tuple[list[float], list[float]]:
        """Return the additive and the power-law columns at ``x``. Features that are not registered are ignored."""
        numbers, labels = split(x)
        ratios = {}
        for name, reference in self.references.items():
            value = numbers.get(name)
            ratios[name] = 1.0 if value is None else min(max(value / reference, -1e12), 1e12)
        steps = workers = 1.0
        if self._has_resources:
            steps, workers = _resources(ratios)
        rate = steps / workers
        values = [ratios[name] - self.origins[name] for name in self.sizes]
        work = rate
        for name in self.sizes:
            if name in SIZES:
                work *= abs(ratios[name])
        work = min(work, 1e12)
        combination = tuple(sorted(labels)) if self.combinations else ()
        extents: list[float] = []
        volume = 1.0
        if len(self.box) > 1:
            extents = sorted(max(abs(ratios[name] * self.references[name]), 1e-6) for name in self.box)
            for extent in extents:
                volume *= extent
        row: list[float] = []
        for kind, a, b in self.columns:
            if kind == _PRODUCT:
                row.append(rate if a < 0 else row[a] * values[b])
            elif kind == _LOG:
                row.append(rate * _log(ratios[self.sizes[a]]))
            elif kind == _SERIAL:
                row.append(1.0 - rate)
            elif kind == _STEPS:
                row.append(steps - rate)
            elif kind == _STEPS_LOG_WORKERS:
                row.append(steps * (1.0 + _log(workers)) - rate)
            elif kind == _STEPS_WORKERS:
                row.append(steps * workers - rate)
            elif kind == _SURFACE:
                row.append(steps * (work / steps) ** (2 / 3) - rate * (work / rate) ** (2 / 3))
            elif kind == _EXTENT:
                row.append(rate * extents[a])
            elif kind == _FACE:
                row.append(rate * volume / extents[a])
            elif kind == _COMBINATION:
                row.append(work if combination == b else 0.0)
            elif kind == _LABEL_WORK:
                row.append(work if b in labels else 0.0)
            else:
                row.append(1.0 if b in labels else 0.0)
        log_work = _log(work)
        powers = [1.0, log_work * log_work]
        for name in self.log_names[2:]:
            if isinstance(name, tuple):
                powers.append(1.0 if name in labels else 0.0)
            else:
                powers.append(_log(ratios[name]))
        return row, powers


def split(x: dict[Any, Any]) -> tuple[dict[str, float], set[tuple[str, str]]]:
    """Separate the numbers of ``x`` from its labels (strings and booleans).

    All other values (``None``, a number that is not finite) count as missing.
    """
    numbers: dict[str, float] = {}
    labels: set[tuple[str, str]] = set()
    for name, value in x.items():
        kind = type(value)
        if kind is int or kind is float:
            pass
        elif kind is str or kind is bool or kind.__name__ == "bool":
            labels.add((str(name), str(value)))
            continue
        elif not isinstance(value, Real):
            continue
        number = float(value)
        if -1e300 < number < 1e300:
            numbers[name if type(name) is str else str(name)] = number
    return numbers, labels


def _resources(ratios: dict[str, float]) -> tuple[float, float]:
    """Return the ratios of the steps and of the processors to their first values."""
    steps = 1.0
    for name in MULTIPLIERS:
        if name in ratios:
            steps *= max(ratios[name], 1e-9)
    workers = next((ratios[name] for name in WORKERS if name in ratios), ratios.get(_NODES, 1.0))
    for name in _THREADS:
        if name in ratios:
            workers *= max(ratios[name], 1e-9)
            break
    return steps, max(workers, 1e-9)


def _log(value: float) -> float:
    if value <= _LOG_FLOOR:
        return _LOG_BOTTOM
    return math.log(min(value, _LOG_CEILING))
