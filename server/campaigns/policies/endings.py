"""When a campaign ends or waits for a person, whatever its policy."""

from server.campaigns.policies import picking
from server.campaigns.policies.situation import Choice, Situation

__all__ = ["ending", "reached"]


def ending(situation: Situation) -> Choice | None:
    """Return the choice to stop, to pause or to ask where it does not depend on the candidates; None to go on.

    In this order: every target is reached, a budget is used up, too many calculations failed, there is nothing to reach.
    """
    if not situation.types:
        return Choice(
            "ask",
            "No bond type of the campaign's compositions has a target. A person sets targets in eV, or stops the campaign.",
        )
    good = sum(one.verdict == "good" for one in situation.types)
    if good == len(situation.types):
        return Choice(
            "stop",
            f"All {good} pairs of bond type and composition are below their targets: {reached(situation)}. The campaign stops "
            f"after {situation.used_calculations} calculations and {situation.used_hours:.3g} node-hours.",
        )
    if (spent := picking.spent(situation)) is not None:
        return Choice(
            "stop",
            f"The budget is used up: {spent}. {good} of {len(situation.types)} pairs of bond type and composition have reached "
            "their targets.",
        )
    failed = situation.failed_share
    if failed is not None and failed > situation.thresholds.failed:
        return Choice(
            "pause",
            f"{failed:.0%} of the last round's calculations failed, more than {situation.thresholds.failed:.0%}. A person looks "
            "at their reasons before more are queued.",
        )
    return None


def reached(situation: Situation) -> str:
    """Return the errors beside their targets, the closest to its target first; three at most."""
    known = [one for one in situation.types if one.rmse is not None]
    known.sort(key=lambda one: (-(one.rmse or 0.0) / one.target, one.composition, one.type))
    shown = [f"{one.type} in {one.composition} {one.rmse:.3g} of {one.target:.3g} eV" for one in known[:3]]
    return ", ".join(shown) + (f" and {len(known) - 3} more" if len(known) > 3 else "")
