"""What a study found: labels needed by each policy, with intervals over the orders."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bench.campaign_study.replay import Case, Replay

__all__ = ["Needed", "needed", "rows"]

DRAWS = 2000
LEVEL = 0.9


@dataclass(frozen=True)
class Needed:
    """Labels that the orders of one policy needed; what was not reached counts as all labels there were.

    Attributes
    ----------
    reached
        In how many orders the target was reached.
    """

    counts: np.ndarray
    reached: int

    @property
    def interval(self) -> tuple[float, float]:
        """The 90 % interval of the mean, by a bootstrap over the orders."""
        return _bounds(_drawn(len(self.counts), lambda rows: self.counts[rows].mean()))

    def ratio(self, other: Needed) -> tuple[float, float, float]:
        """Return the ratio of the means, and its 90 % interval by a bootstrap over the orders."""
        drawn = _drawn(len(self.counts), lambda rows: self.counts[rows].mean() / other.counts[rows].mean())
        return float(self.counts.mean() / other.counts.mean()), *_bounds(drawn)


def needed(
    cases: Sequence[Case], replays: Sequence[Replay], of: tuple[str, str] | None, *, own: bool = False
) -> Needed:
    """Return the labels needed for one target, or for all of them together.

    Parameters
    ----------
    of
        Bond type and composition; None for all targets.
    own
        Count only labels of the target's type.
    """
    counts, reached = [], 0
    for case, found in zip(cases, replays, strict=True):
        wanted = list(case.targets) if of is None else [of]
        counted = found.own[of[0]] if own and of is not None else found.labels
        each = [found.needed(case.targets[one], one, counted) for one in wanted]
        reached += None not in each
        kinds = {kind for kind, _ in case.targets} if not own or of is None else {of[0]}
        every = sum(len(unit.rows.get(kind, ())) for unit in case.units for kind in kinds)
        counts.append(max(every if count is None else count for count in each))
    return Needed(np.array(counts, dtype=float), reached)


def rows(cases: Sequence[Case], replays: dict[str, list[Replay]]) -> list[dict[str, Any]]:
    """Return a row for all targets together, and two for each: labels of all types, and of its own type."""
    wanted: list[tuple[tuple[str, str] | None, bool]] = [(None, False)]
    wanted += [(of, own) for of in sorted(cases[0].targets) for own in (False, True)]
    found = []
    for of, own in wanted:
        by_policy = {name: needed(cases, some, of, own=own) for name, some in replays.items()}
        base = by_policy["random"]
        for name, one in by_policy.items():
            low, high = one.interval
            ratio, least, most = one.ratio(base)
            found.append({
                "target": "all" if of is None else f"{of[0]} in {of[1]}", "counted": "own type" if own else "all labels",
                "policy": name, "reached": one.reached, "orders": len(one.counts), "mean": float(one.counts.mean()),
                "median": float(np.median(one.counts)), "low": low, "high": high, "ratio": ratio, "ratio_low": least,
                "ratio_high": most,
            })  # fmt: skip
    return found


def _drawn(count: int, value: Any) -> np.ndarray:
    random = np.random.default_rng(0)
    return np.array([value(random.integers(0, count, count)) for _ in range(DRAWS)])


def _bounds(drawn: np.ndarray) -> tuple[float, float]:
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)
