"""Asking a policy, and checking what it answers."""

from server.campaigns.policies import registry
from server.campaigns.policies.situation import ACTIONS, Choice, Situation

__all__ = ["CALCULATES", "PolicyFailed", "decide"]

CALCULATES = ("augment", "explore", "compose")
"""Actions that propose calculations. The others propose none."""


class PolicyFailed(Exception):
    """A policy raised an error, or its choice can't be carried out. The message says what is wrong with it."""


def decide(name: str, situation: Situation) -> Choice:
    """Return the checked choice of a policy, with rounded numbers.

    Parameters
    ----------
    name
        Name of the policy.
    situation
        What is known.

    Raises
    ------
    Invalid
        If there is no such policy.
    PolicyFailed
        If it raises an error or answers nonsense.
    """
    policy = registry.find(name)
    try:
        choice = Choice.from_json(policy.decide(situation).to_json())
    except Exception as error:  # a plug-in may raise anything
        raise PolicyFailed(f"policy {name} failed: {type(error).__name__}: {error}") from error
    if (wrong := _wrong(choice, situation)) is not None:
        raise PolicyFailed(f"policy {name} can't be followed: {wrong}")
    return choice


def _wrong(choice: Choice, situation: Situation) -> str | None:
    if choice.action not in ACTIONS:
        return f"its action is {choice.action!r}: expected one of {', '.join(ACTIONS)}"
    if not isinstance(choice.reason, str) or not choice.reason.strip():
        return "it gives no reason"
    if (choice.action in CALCULATES) != bool(choice.picks):
        return f"its action is {choice.action}, with {len(choice.picks)} picks"
    candidates = {one.name: one for one in situation.candidates}
    names = [pick.name for pick in choice.picks]
    for name in names:
        if name not in candidates:
            return f"it picks {name!r}, which is not a candidate"
        if name in situation.asked:
            return f"it picks {name}, which was asked for before"
    for pick in choice.picks:
        candidate = candidates[pick.name]
        if (pick.kind, pick.composition, pick.family, pick.deformation, pick.cost) != (
            candidate.kind, candidate.composition, candidate.family, candidate.deformation, candidate.cost,
        ):  # fmt: skip
            return f"its pick {pick.name} differs from the candidate of that name"
    if len(set(names)) < len(names):
        return "it picks a cell twice"
    return _over_budget(choice, situation)


def _over_budget(choice: Choice, situation: Situation) -> str | None:
    calculations = situation.used_calculations + len(choice.picks)
    if situation.budget_calculations is not None and choice.picks and calculations > situation.budget_calculations:
        return f"{calculations} calculations are more than the budget of {situation.budget_calculations}"
    hours = situation.used_hours + sum(pick.cost for pick in choice.picks)
    if situation.budget_hours is not None and choice.picks and hours > situation.budget_hours * (1 + 1e-9):
        return f"{hours:g} node-hours are more than the budget of {situation.budget_hours:g}"
    return None
