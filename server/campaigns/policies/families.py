"""The policy `families`: which of the campaign's rows comes next, by the errors and the coverage of whole families."""

from collections.abc import Sequence

from server.campaigns.policies import history, picking, ranking
from server.campaigns.policies.endings import ending
from server.campaigns.policies.policy import Policy
from server.campaigns.policies.situation import Action, CandidateCell, Choice, Cost, Situation, TypeStatus

__all__ = ["FamiliesPolicy"]

ROWS: tuple[Action, ...] = ("augment", "explore", "compose")
DONE: dict[Action, str] = {
    "augment": "deforming learned cells", "explore": "new cells of learned compositions", "compose": "new compositions",
}  # fmt: skip


class FamiliesPolicy(Policy):
    """Augment, explore or compose, whichever is missing.

    The error of a bond type in a composition is *high* if the lower bound of its interval is above the target, *good* if the
    upper bound is below, otherwise *not known yet*. Errors that are high only in compositions that were never learned:
    learn these. Else, if less than the threshold of their environments is covered: explore. Else: augment the worst cells.
    Errors that are not known need more families: explore. A row that brought no gain in two rounds is followed by the next
    one. If no row is left, the campaign stops if errors are high, and asks a person if they are not known.
    """

    name = "families"
    title = "Families: augment, explore or compose"

    def decide(self, situation: Situation) -> Choice:
        if (choice := ending(situation)) is not None:
            return choice
        focus = _focus(situation)
        first, because = _row(situation, focus)
        tried: list[str] = []
        for row in _in_order(first):
            fruitless = history.rounds_without_gain(situation, row)
            if fruitless >= situation.thresholds.rounds_without_gain:
                tried.append(
                    f"{fruitless} rounds of {DONE[row]} brought less than {situation.thresholds.gain:.3g} each"
                )
                continue
            some = ranking.ranked(situation, _of_row(situation, row, focus), focus)
            if chosen := picking.affordable(situation, some):
                return _calculate(situation, focus, row, chosen, "; ".join(tried) if tried else because)
        return _nothing_left(situation, focus, tried)


def _focus(situation: Situation) -> list[TypeStatus]:
    """Return the types to work on, the worst first: those that are high, or, if none is, those that are not known yet."""
    some = [one for one in situation.types if one.verdict == "high"]
    some = some or [one for one in situation.types if one.verdict == "unknown"]

    def key(one: TypeStatus) -> tuple[bool, float, str, str]:
        return one.rmse is not None, -round((one.rmse or 0.0) / one.target, 6), one.composition, one.type

    return sorted(some, key=key)


def _row(situation: Situation, focus: Sequence[TypeStatus]) -> tuple[Action, str]:
    """Return the row that the errors and the coverage call for, and why."""
    learned = set(situation.learned_compositions)
    never = [one for one in focus if one.composition not in learned]
    is_high = focus[0].verdict == "high"
    if never and (len(never) == len(focus) or not is_high):
        names = sorted({one.composition for one in never})
        return "compose", f"no cell of {', '.join(names[:3])}{' …' if len(names) > 3 else ''} was ever learned"
    known = [one for one in focus if one.composition in learned]
    fewest = min(known, key=lambda one: (one.families, one.composition, one.type))
    if fewest.families < situation.thresholds.least_families:
        return "explore", (
            f"an error and a coverage are trusted from {situation.thresholds.least_families} families on, and {fewest.type} in "
            f"{fewest.composition} has {fewest.families}"
        )
    if not is_high:
        return "explore", "the interval contains the target, and more families make it narrower"
    least = min(known, key=lambda one: (one.covered or 0.0, one.composition, one.type))
    if least.covered is None or least.covered < situation.thresholds.coverage:
        share = "an unknown share" if least.covered is None else f"{least.covered:.0%}"
        return "explore", (
            f"{share} of the environments of {least.type} in {least.composition} is covered, of at least "
            f"{situation.thresholds.coverage:.0%}"
        )
    return "augment", f"at least {least.covered:.0%} of the environments of each such type is covered"


def _in_order(first: Action) -> list[Action]:
    """Return the row, those after it, and then those before it."""
    place = ROWS.index(first)
    return [*ROWS[place:], *ROWS[:place]]


def _of_row(situation: Situation, row: Action, focus: Sequence[TypeStatus]) -> list[CandidateCell]:
    """Return the candidates of a row that belong to the compositions in focus; of new compositions, the others if none does."""
    learned = set(situation.learned_compositions)
    some = [
        one
        for one in picking.candidates(situation)
        if (one.kind == "augment") == (row == "augment") and (one.composition in learned) == (row != "compose")
    ]
    wanted = {one.composition for one in focus}
    of_focus = [one for one in some if one.composition in wanted]
    return of_focus or (some if row == "compose" else [])


def _calculate(
    situation: Situation, focus: Sequence[TypeStatus], row: Action, chosen: Sequence[CandidateCell], because: str
) -> Choice:
    reason = (
        f"{_state(situation, focus)}. Since {because}, the round calculates {len(chosen)} of {DONE[row]} "
        f"{_cost(situation, chosen)}."
    )
    gain = history.gain_of_a_calculation(situation, row)
    return Choice(row, reason, picking.pick(situation, chosen, lambda one: ranking.why(situation, one, focus), gain))


def _cost(situation: Situation, chosen: Sequence[CandidateCell]) -> str:
    """Return what a round is expected to cost: an estimate, with the spread of the results that it is made of."""
    known = [situation.costs.get(one.kind, Cost()) for one in chosen]
    if not all(one.results for one in known):
        return "at a cost that is not known before the first result"
    low, high = sum(one.low for one in known), sum(one.high for one in known)
    results = min(one.results for one in known)
    made_of = f"{results} result{'s' if results > 1 else ''}"
    return f"for about {sum(one.cost for one in chosen):.3g} node-hours ({low:.3g} to {high:.3g} by {made_of})"


def _state(situation: Situation, focus: Sequence[TypeStatus]) -> str:
    worst = focus[0]
    named = f"{worst.type} in {worst.composition}"
    what = "are too high" if worst.verdict == "high" else "are not known yet"
    count = f"{len(focus)} of {len(situation.types)} errors {what}"
    if worst.rmse is None:
        return f"{count}, such as that of {named}, learned from {worst.families} families"
    interval = "" if worst.low is None or worst.high is None else f" ({worst.low:.3g} to {worst.high:.3g})"
    return (
        f"{count}, and {named} is the worst with an RMSE of {worst.rmse:.3g}{interval} eV, a target of {worst.target:.3g} eV "
        f"and {worst.families} families"
    )


def _nothing_left(situation: Situation, focus: Sequence[TypeStatus], tried: Sequence[str]) -> Choice:
    left = "; ".join(tried) if tried else "no candidate is left within the budget"
    if focus[0].verdict == "high":
        return Choice(
            "stop",
            f"{_state(situation, focus)}. No row can lower it, since {left}: raise the targets, or add compositions, "
            "and start again.",
        )
    return Choice(
        "ask",
        f"{_state(situation, focus)}. Since {left}, a person decides whether to add families, to change the targets or to stop.",
    )
