"""Two policies to compare others with: random, and uncertainty alone. Both stop as `families` does."""

from server.campaigns.policies import picking
from server.campaigns.policies.endings import ending
from server.campaigns.policies.policy import Policy
from server.campaigns.policies.situation import Action, CandidateCell, Choice, Situation

__all__ = ["RandomPolicy", "UncertaintyPolicy"]


class _Simple(Policy):
    """Takes the first candidates of an order."""

    said = ""

    def decide(self, situation: Situation) -> Choice:
        if (choice := ending(situation)) is not None:
            return choice
        known = self._ordered(situation, picking.candidates(situation))
        chosen = picking.affordable(situation, known)
        if not chosen:
            return Choice(
                "stop",
                f"None of the {len(known)} candidates that were not asked for yet is within the budget. The campaign stops "
                f"after {situation.used_calculations} calculations.",
            )
        open_types = [one for one in situation.types if one.verdict != "good"]
        reason = (
            f"{len(open_types)} of {len(situation.types)} pairs of bond type and composition have not reached their target. "
            f"The policy {self.name} takes {len(chosen)} of {len(known)} candidates {self.said}."
        )
        return Choice(_action(situation, chosen[0]), reason, picking.pick(situation, chosen, self._why))

    def _ordered(self, situation: Situation, some: list[CandidateCell]) -> list[CandidateCell]:
        raise NotImplementedError

    def _why(self, candidate: CandidateCell) -> str:
        raise NotImplementedError


class RandomPolicy(_Simple):
    """Draws candidates at random."""

    name, title, said = "random", "Random", "at random"

    def _ordered(self, situation: Situation, some: list[CandidateCell]) -> list[CandidateCell]:
        return sorted(some, key=lambda one: (picking.draw(situation, one.name), one.name))

    def _why(self, candidate: CandidateCell) -> str:
        return "Drawn at random."


class UncertaintyPolicy(_Simple):
    """Takes the candidates with the largest rescaled σ, whatever their type, family and composition."""

    name, title, said = "uncertainty", "Largest uncertainty", "with the largest σ"

    def _ordered(self, situation: Situation, some: list[CandidateCell]) -> list[CandidateCell]:
        def key(one: CandidateCell) -> tuple[bool, float, int, str]:
            return one.sigma is None, -(one.sigma or 0.0), picking.draw(situation, one.name), one.name

        return sorted(some, key=key)

    def _why(self, candidate: CandidateCell) -> str:
        if candidate.sigma is None:
            return "Its σ is not known yet."
        return f"σ is {candidate.sigma:.3g} eV."


def _action(situation: Situation, first: CandidateCell) -> Action:
    if first.composition not in situation.learned_compositions:
        return "compose"
    return "augment" if first.kind == "augment" else "explore"
