"""What the study learns with: the Gaussian process of `bond-gpr` for each type, its errors, and its rescaled σ."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from tailrace.estimators.bond_gpr import BondGPR
from tailrace.estimators.bond_recipes import TUNED

from bench.campaign_study.pools import Unit
from server.cells.nearest import Learned

__all__ = ["Learner"]

LEAST = 20
"""Labels of a type before its σ is rescaled."""
WITHIN = 0.683
REACH_SAMPLE = 400


class Learner:
    """One model for each bond type, which learns units.

    Parameters
    ----------
    kinds
        Bond types.
    """

    def __init__(self, kinds: Sequence[str]) -> None:
        self.models = {kind: _model(kind) for kind in kinds}
        self.labels = dict.fromkeys(kinds, 0)
        self.families: dict[tuple[str, str], set[str]] = defaultdict(set)
        self._ratios: dict[str, list[np.ndarray]] = defaultdict(list)
        self._vectors: dict[str, list[np.ndarray]] = defaultdict(list)
        self._owners: dict[str, list[str]] = defaultdict(list)

    def learn(self, unit: Unit) -> None:
        """Learn a unit's bonds, after they were predicted for the rescaling."""
        bonds = unit.cell.bonds
        for kind, rows in unit.rows.items():
            if not len(rows):
                continue
            model, where, what = self.models[kind], bonds.distance[rows], bonds.soap[rows]
            if self.labels[kind]:
                mean, sigma = model.predict_arrays(where, what)
                self._ratios[kind].append(np.abs(mean - bonds.strength[rows]) / sigma)
            model.learn_arrays(where, what, bonds.strength[rows])
            self.labels[kind] += len(rows)
            self.families[kind, unit.cell.composition].add(unit.cell.family)
            self._vectors[kind].append(what)
            self._owners[kind] += [unit.cell.family] * len(rows)

    def scale(self, kind: str) -> float:
        """Return the factor that makes 68.3 % of the prequential errors of a type smaller than σ."""
        ratios = np.concatenate(self._ratios[kind]) if self._ratios[kind] else np.empty(0)
        return float(np.quantile(ratios, WITHIN)) if len(ratios) >= LEAST else 1.0

    def sigmas(self, units: Sequence[Unit], kind: str) -> list[float]:
        """Return the root mean square of the rescaled σ of each unit's bonds of a type, eV. Each unit has one at least."""
        if not units:
            return []
        distance = np.concatenate([unit.cell.bonds.distance[unit.rows[kind]] for unit in units])
        soap = np.concatenate([unit.cell.bonds.soap[unit.rows[kind]] for unit in units])
        counts = np.array([len(unit.rows[kind]) for unit in units])
        _, sigma = self.models[kind].predict_arrays(distance, soap)
        squares = np.add.reduceat(sigma**2, np.cumsum(counts) - counts) / counts
        return (self.scale(kind) * np.sqrt(squares)).tolist()  # type: ignore[no-any-return]

    def rmse(self, kind: str, tested: Sequence[Unit]) -> float | None:
        """Return the error on tested units, eV; None before anything of the type is learned."""
        if not self.labels[kind]:
            return None
        squares = []
        for unit in tested:
            rows, bonds = unit.rows[kind], unit.cell.bonds
            mean, _ = self.models[kind].predict_arrays(bonds.distance[rows], bonds.soap[rows])
            squares.append((mean - bonds.strength[rows]) ** 2)
        return float(np.sqrt(np.mean(np.concatenate(squares))))

    def covered(self, kind: str, tested: Sequence[Unit]) -> float | None:
        """Return the share of the tested environments within the reach of the learned ones; None for one family."""
        if not self.labels[kind]:
            return None
        vectors, owners = np.concatenate(self._vectors[kind]), np.array(self._owners[kind])
        chosen = np.random.default_rng(0).permutation(len(vectors))[:REACH_SAMPLE]
        learned = Learned(vectors[chosen], owners[chosen].tolist())
        if learned.reach is None:
            return None
        asked = np.concatenate([unit.cell.bonds.soap[unit.rows[kind]] for unit in tested])
        return float(np.mean(learned.distances(asked, [None] * len(asked)) <= learned.reach))


def _model(kind: str) -> BondGPR:
    own = TUNED[kind]
    return BondGPR(own.theta, 1, own.noise, 1.0, own.decay, own.noise_decay)
