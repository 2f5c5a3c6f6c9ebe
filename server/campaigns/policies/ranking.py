"""The order in which the policy `families` takes candidates."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from server.campaigns.policies import picking
from server.campaigns.policies.situation import CandidateCell, Situation, TypeStatus

__all__ = ["ranked", "value", "why"]

AGAIN = 0.7
"""Factor of a candidate's value for each one of its family, and of its kind of strain, that the round has already."""
WORTH = {"none": 1.0, "stretch": 1.0, "shear": 0.5, "compress": 0.3}
"""Factor by kind of strain. σ is largest in cells that are far from the relaxed glass, and these teach the least about it."""
STRAINS = {0: "none", **dict.fromkeys(range(1, 7), "shear"), **dict.fromkeys((7, 9, 11, 13), "stretch")}
"""Kind of a deformation by its number; the others compress."""


def ranked(situation: Situation, some: Iterable[CandidateCell], focus: Sequence[TypeStatus]) -> list[CandidateCell]:
    """Return the most useful candidates of a round, best first: as uncertain and as different from each other as possible.

    Stored cells come before cells that have yet to be made. Candidates of unknown σ come after those of known σ, those
    of the compositions in focus first, in the order of their errors.
    """
    order = [*(one.composition for one in focus), *situation.compositions]
    left = {one.name: (one, value(one, focus)) for one in some}
    families, strains = Counter[str | None](), Counter[str]()
    found: list[CandidateCell] = []

    def key(name: str) -> tuple[Any, ...]:
        one, worth = left[name]
        factor = WORTH[_strain(one)] * AGAIN ** (
            families[one.family] * (one.family is not None) + strains[_strain(one)]
        )
        return (
            one.kind == "explore", worth is None, -round((1.0 if worth is None else worth) * factor, 6), -(one.distance or 0.0),
            order.index(one.composition) if one.composition in order else len(order), picking.natural(name),
        )  # fmt: skip

    for _ in range(min(len(left), situation.thresholds.batch)):
        best = min(left, key=key)
        one, _ = left.pop(best)
        found.append(one)
        families[one.family] += 1
        strains[_strain(one)] += 1
    # A candidate that is too dear leaves its place to one of the others.
    return [*found, *(left[name][0] for name in sorted(left, key=key))]


def value(one: CandidateCell, focus: Sequence[TypeStatus]) -> float | None:
    """Return σ over target, as root mean square over the bond types in focus; None if no σ is known."""
    targets: dict[str, float] = {}
    for status in focus:
        targets[status.type] = min(status.target, targets.get(status.type, status.target))
    if one.sigmas:
        squares = [(one.sigmas[kind] / target) ** 2 for kind, target in sorted(targets.items()) if kind in one.sigmas]
        return float((sum(squares) / len(targets)) ** 0.5) if targets else None
    if one.sigma is None:
        return None
    return one.sigma / min(targets.values(), default=1.0)


def why(situation: Situation, one: CandidateCell, focus: Sequence[TypeStatus]) -> str:
    """Return one sentence about a pick."""
    worth = value(one, focus)
    if worth is None:
        known = "Its σ is not known before it is made" if one.kind == "explore" else "Its σ is not known"
        return f"{known}; it adds {_what(one)}."
    distance = "" if one.distance is None else f", and {one.distance:.3g} away from what was learned"
    return f"Its σ is {worth:.3g} times the target{distance}; it adds {_what(one)}."


def _what(one: CandidateCell) -> str:
    if one.kind == "augment":
        return f"deformation {one.deformation} of {one.family}"
    return f"a family of {one.composition}"


def _strain(one: CandidateCell) -> str:
    return "none" if one.deformation is None else STRAINS.get(one.deformation, "compress")
