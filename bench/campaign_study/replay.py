"""Replaying one campaign: a policy asks, labels are revealed and learned, until the targets are reached or it ends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from bench.campaign_study.learner import Learner
from bench.campaign_study.pools import Unit
from server.campaigns.policies.deciding import decide
from server.campaigns.policies.situation import CandidateCell, PastRound, Situation, Thresholds, TypeStatus

__all__ = ["Case", "Replay", "replay"]

Target = tuple[str, str]
"""Bond type and composition."""


@dataclass(frozen=True)
class Case:
    """What can be asked for, what is tested, and what is to be reached.

    Attributes
    ----------
    tested
        Units of each target that are never learned.
    targets
        RMSE to reach, eV, by bond type and composition.
    order
        Number of the order: it seeds the policies.
    budget
        Most units that are asked for; None for all.
    """

    name: str
    units: Sequence[Unit]
    tested: dict[Target, list[Unit]]
    targets: dict[Target, float]
    order: int
    thresholds: Thresholds
    budget: int | None = None


@dataclass
class Replay:
    """What happened.

    Attributes
    ----------
    labels
        Bonds learned after each round.
    rmse
        Error of each target after each round, eV.
    own
        Bonds of the target's type that were learned after each round.
    actions, reasons
        Of each round, and of the end.
    """

    policy: str
    labels: list[int] = field(default_factory=list)
    units: list[int] = field(default_factory=list)
    rmse: dict[Target, list[float | None]] = field(default_factory=dict)
    own: dict[str, list[int]] = field(default_factory=dict)
    actions: list[str] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)
    picks: list[list[str]] = field(default_factory=list)

    def needed(self, target: float, of: Target, counted: Sequence[int]) -> int | None:
        """Return the count when the error of a target was first at most ``target``; None if it never was."""
        for count, error in zip(counted, self.rmse[of], strict=True):
            if error is not None and error <= target:
                return count
        return None


def replay(case: Case, policy: str) -> Replay:
    """Run one campaign to its end."""
    kinds = sorted({kind for kind, _ in case.targets})
    learner, asked = Learner(kinds), list[str]()
    left = {unit.name: unit for unit in case.units}
    found = Replay(policy, rmse={target: [] for target in case.targets}, own={kind: [] for kind in kinds})
    history: list[PastRound] = []
    errors: dict[Target, float | None] = dict.fromkeys(case.targets)
    sigmas: dict[str, dict[str, float]] = {}
    stale = set(kinds)
    while True:
        if policy != "random":
            for kind in stale:
                some = [unit for unit in left.values() if len(unit.rows.get(kind, ()))]
                for unit, sigma in zip(some, learner.sigmas(some, kind), strict=True):
                    sigmas.setdefault(unit.name, {})[kind] = sigma
        situation = _situation(case, learner, errors, history, left, sigmas, asked)
        choice = decide(policy, situation)
        found.actions.append(choice.action)
        found.reasons.append(choice.reason)
        if not choice.picks:
            return found
        found.picks.append([pick.name for pick in choice.picks])
        taken = [left.pop(pick.name) for pick in choice.picks]
        for unit in taken:
            learner.learn(unit)
            asked.append(unit.name)
        stale = {kind for unit in taken for kind, rows in unit.rows.items() if len(rows)}
        for target in case.targets:
            if target[0] in stale:
                errors[target] = learner.rmse(target[0], case.tested[target])
        history.append(_past(len(history) + 1, choice.action, len(taken), errors))
        found.labels.append(sum(learner.labels.values()))
        found.units.append(len(asked))
        for target in case.targets:
            found.rmse[target].append(errors[target])
        for kind in kinds:
            found.own[kind].append(learner.labels[kind])


def _situation(
    case: Case, learner: Learner, errors: dict[Target, float | None], history: list[PastRound],
    left: dict[str, Unit], sigmas: dict[str, dict[str, float]], asked: list[str],
) -> Situation:  # fmt: skip
    learned = sorted({composition for (_, composition), some in learner.families.items() if some})
    types = tuple(
        TypeStatus(
            kind, composition, case.targets[kind, composition], len(learner.families[kind, composition]),
            learner.labels[kind], error, error, error,
            learner.covered(kind, case.tested[kind, composition]) if error is not None else None,
            learner.scale(kind),
        )
        for (kind, composition), error in errors.items()
    )  # fmt: skip
    candidates = tuple(_candidate(unit, sigmas.get(name, {})) for name, unit in left.items())
    made = Situation(
        case.name, len(history) + 1, case.order, sum(learner.labels.values()), 0, types, tuple(learned),
        tuple(dict.fromkeys(composition for _, composition in case.targets)), candidates, tuple(history),
        budget_calculations=case.budget, used_calculations=len(asked), thresholds=case.thresholds, asked=tuple(asked),
    )  # fmt: skip
    return Situation.from_json(made.to_json())


def _candidate(unit: Unit, sigmas: dict[str, float]) -> CandidateCell:
    cell = unit.cell
    bonds = sum(len(unit.rows[kind]) for kind in sigmas)
    mean = (sum(len(unit.rows[kind]) * sigma**2 for kind, sigma in sigmas.items()) / bonds) ** 0.5 if bonds else None
    return CandidateCell(
        "augment" if cell.deformation else "label", unit.name, cell.composition, cell.family, cell.deformation, mean,
        None, unit.labels / 1000, sigmas,
    )  # fmt: skip


def _past(number: int, action: str, calculations: int, errors: dict[Target, float | None]) -> PastRound:
    kinds: dict[str, list[float]] = {}
    for (kind, _), error in errors.items():
        if error is not None:
            kinds.setdefault(kind, []).append(error**2)
    mean = {kind: (sum(each) / len(each)) ** 0.5 for kind, each in kinds.items()}
    return PastRound(number, action, calculations, 0, 0.0, mean)  # type: ignore[arg-type]
