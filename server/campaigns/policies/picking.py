"""Choosing candidates in an order, within the budget and the size of a round."""

import hashlib
import re
from collections.abc import Callable, Iterable, Sequence

from server.campaigns.policies.situation import CandidateCell, Pick, Situation

__all__ = ["Describe", "affordable", "candidates", "draw", "natural", "pick", "spent"]

Describe = Callable[[CandidateCell], str]
"""Returns why a candidate is picked, in one sentence."""


def candidates(situation: Situation) -> list[CandidateCell]:
    """Return the candidates that were not asked for yet, by name and number."""
    asked = set(situation.asked)
    return sorted((one for one in situation.candidates if one.name not in asked), key=lambda one: natural(one.name))


def natural(name: str) -> tuple[tuple[tuple[int, str], ...], str]:
    """Return a key by which -9- comes before -10-."""
    parts = re.split(r"([0-9]+)", name)
    return tuple((int(part), "") if place % 2 else (0, part) for place, part in enumerate(parts)), name


def spent(situation: Situation) -> str | None:
    """Return which budget is used up, with its numbers; None if none is."""
    most = situation.budget_calculations
    if most is not None and situation.used_calculations >= most:
        return f"{situation.used_calculations} of {most} calculations are used"
    hours = situation.budget_hours
    if hours is not None and situation.used_hours >= hours:
        return f"{situation.used_hours:.3g} of {hours:.3g} node-hours are used"
    return None


def affordable(situation: Situation, some: Iterable[CandidateCell]) -> list[CandidateCell]:
    """Return as many of these candidates, in order, as the round and the budget allow. One that is too dear is left out."""
    left = situation.thresholds.batch
    if situation.budget_calculations is not None:
        left = min(left, situation.budget_calculations - situation.used_calculations)
    hours, found = situation.used_hours, list[CandidateCell]()
    for one in some:
        if len(found) >= left:
            break
        if situation.budget_hours is not None and hours + one.cost > situation.budget_hours:
            continue
        hours += one.cost
        found.append(one)
    return found


def pick(
    situation: Situation, some: Sequence[CandidateCell], why: Describe, expected_gain: float | None = None
) -> tuple[Pick, ...]:
    """Return these candidates as picks. Each has a seed of its own, made of the campaign's seed and the cell's name."""
    return tuple(
        Pick(
            one.kind, one.composition, one.name, one.family, one.deformation, _seed(situation, one.name), why(one), one.cost,
            expected_gain,
        )
        for one in some
    )  # fmt: skip


def draw(situation: Situation, name: str) -> int:
    """Return a number that looks random, the same for the same campaign, seed, round and name."""
    return _number(f"{situation.campaign}\0{situation.seed}\0{situation.round}\0{name}", 8)


def _seed(situation: Situation, name: str) -> int:
    return 1 + _number(f"{situation.campaign}\0{situation.seed}\0{name}", 4) % (2**31 - 2)


def _number(text: str, size: int) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:size], "big")
