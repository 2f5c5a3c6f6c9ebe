"""What a policy is given, a situation, and what it answers, a choice. Both have an exact JSON form."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Self

Kind = Literal["explore", "augment", "label"]
Action = Literal["augment", "explore", "compose", "stop", "pause", "ask"]
ACTIONS: tuple[Action, ...] = ("augment", "explore", "compose", "stop", "pause", "ask")
DIGITS = 6
"""Significant digits of every number in a situation and a choice, so that another CPU decides the same."""


def rounded(value: Any) -> Any:
    """Return a JSON value in which every float has :data:`DIGITS` significant digits."""
    if type(value) is float:
        return float(f"{value:.{DIGITS}g}") + 0.0  # never -0.0
    if isinstance(value, Mapping):
        return {key: rounded(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [rounded(inner) for inner in value]
    return value


def canonical(value: Any) -> str:
    """Return the canonical JSON of a situation's or a choice's JSON form: sorted keys, no spaces."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


@dataclass(frozen=True)
class TypeStatus:
    """What is known of one bond type in one composition. Families are counted, not cells.

    Attributes
    ----------
    target
        RMSE to reach, eV.
    families, bonds
        How many were learned.
    rmse, low, high
        RMSE in eV, and the bounds of its 90 % interval by a bootstrap over families. None if too few families.
    covered
        Share of environments within the reference distance of another family's, 0 to 1.
    scale
        Factor by which the model's σ has to be multiplied to hold.
    """

    type: str
    composition: str
    target: float
    families: int = 0
    bonds: int = 0
    rmse: float | None = None
    low: float | None = None
    high: float | None = None
    covered: float | None = None
    scale: float | None = None

    @property
    def verdict(self) -> Literal["high", "good", "unknown"]:
        """Whether the error is surely above its target, surely below, or not known yet."""
        if self.low is not None and self.low > self.target:
            return "high"
        if self.high is not None and self.high < self.target:
            return "good"
        return "unknown"


@dataclass(frozen=True)
class CandidateCell:
    """Something that could be calculated next.

    Attributes
    ----------
    name
        Name of the cell that it would give; unique in the campaign.
    family
        Name of the undeformed cell; None for a new cell.
    deformation
        0 for none, 1 to 14 for a strain; None if it does not apply.
    sigma
        Mean σ of its bonds in eV, rescaled by type; None if not known.
    distance
        Mean distance of its bonds to the nearest learned one of another family; None if not known.
    cost
        Node-hours.
    sigmas
        Bond type to the root mean square of σ in eV, rescaled by type; empty if not known.
    """

    kind: Kind
    name: str
    composition: str
    family: str | None = None
    deformation: int | None = None
    sigma: float | None = None
    distance: float | None = None
    cost: float = 0.0
    sigmas: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Cost:
    """What a calculation of one kind is expected to cost.

    Attributes
    ----------
    hours, low, high
        Mean, least and most node-hours of the results that are known.
    results
        How many these are; 0 if nothing is known.
    """

    hours: float = 0.0
    low: float = 0.0
    high: float = 0.0
    results: int = 0


@dataclass(frozen=True)
class PastRound:
    """A round that has ended.

    Attributes
    ----------
    calculations, failed
        How many calculations it had, and how many of them gave no label.
    hours
        Node-hours.
    rmse
        Bond type to RMSE in eV after the round, over all compositions of the campaign.
    """

    number: int
    action: Action
    calculations: int
    failed: int
    hours: float
    rmse: Mapping[str, float | None] = field(default_factory=dict)


@dataclass(frozen=True)
class Thresholds:
    """When a campaign does what.

    Attributes
    ----------
    coverage
        Share of environments; below it the campaign explores.
    failed
        Share of failed calculations; above it the campaign pauses.
    gain
        Smallest relative decrease of the error that counts as a gain.
    rounds_without_gain
        Rounds after which something else is tried.
    batch
        Calculations of a round.
    least_families
        Families of a type and composition below which its error is not known.
    """

    coverage: float = 0.90
    failed: float = 0.30
    gain: float = 0.02
    rounds_without_gain: int = 2
    batch: int = 4
    least_families: int = 3


@dataclass(frozen=True)
class Situation:
    """All that a policy may base its choice on.

    Attributes
    ----------
    round
        Number of the round to decide, from 1.
    position, retraction
        Number of the stream's last observation, and ID of its last retraction, that were taken into account.
    learned_compositions
        Compositions of which the model has learned at least one cell.
    compositions
        Compositions of the campaign, in its order.
    failed_share
        Share of the last round's calculations that failed; None before the first round, and after a person resumed a campaign
        that this share had paused.
    asked
        Names of the cells that were calculated or rejected before. None of them is proposed again.
    costs
        Kind of calculation to what it is expected to cost.
    """

    campaign: str
    round: int
    seed: int
    position: int
    retraction: int
    types: tuple[TypeStatus, ...] = ()
    learned_compositions: tuple[str, ...] = ()
    compositions: tuple[str, ...] = ()
    candidates: tuple[CandidateCell, ...] = ()
    history: tuple[PastRound, ...] = ()
    budget_calculations: int | None = None
    budget_hours: float | None = None
    used_calculations: int = 0
    used_hours: float = 0.0
    failed_share: float | None = None
    thresholds: Thresholds = field(default_factory=Thresholds)
    asked: tuple[str, ...] = ()
    costs: Mapping[str, Cost] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON, with rounded numbers."""
        found: dict[str, Any] = rounded(asdict(self))
        return found

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Return the situation that has this JSON form."""
        return cls(
            **{
                **value,
                "types": tuple(TypeStatus(**one) for one in value["types"]),
                "learned_compositions": tuple(value["learned_compositions"]),
                "compositions": tuple(value["compositions"]),
                "candidates": tuple(CandidateCell(**one) for one in value["candidates"]),
                "history": tuple(PastRound(**one) for one in value["history"]),
                "thresholds": Thresholds(**value["thresholds"]),
                "asked": tuple(value.get("asked", ())),
                "costs": {kind: Cost(**one) for kind, one in value.get("costs", {}).items()},
            }
        )


@dataclass(frozen=True)
class Pick:
    """One calculation that a policy proposes. ``seed`` is given to its program; ``why`` is one sentence."""

    kind: Kind
    composition: str
    name: str
    family: str | None = None
    deformation: int | None = None
    seed: int = 0
    why: str = ""
    cost: float = 0.0
    expected_gain: float | None = None


@dataclass(frozen=True)
class Choice:
    """What a policy wants to do next, why in two sentences, and with which calculations."""

    action: Action
    reason: str
    picks: tuple[Pick, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON, with rounded numbers."""
        found: dict[str, Any] = rounded(asdict(self))
        return found

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Return the choice that has this JSON form."""
        return cls(value["action"], value["reason"], tuple(Pick(**one) for one in value["picks"]))
