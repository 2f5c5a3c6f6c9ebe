"""What past rounds brought."""

from collections.abc import Iterator

from server.campaigns.policies.situation import Action, Situation

__all__ = ["gain_of_a_calculation", "gains", "rounds_without_gain"]


def gains(situation: Situation) -> list[float | None]:
    """Return the gain after each past round: the relative decrease of the error since the last round that brought one, as a
    mean over the bond types that are still open; None for a round after which no error can be compared.

    Slow steps add up this way, and an error that rises and falls again is no gain.
    """
    still_open = sorted({one.type for one in situation.types if one.verdict != "good"})
    found: list[float | None] = []
    reference: dict[str, float] = {}
    for past in situation.history:
        after = {kind: value for kind in still_open if (value := past.rmse.get(kind)) is not None}
        each = [1.0 - after[kind] / reference[kind] for kind in still_open if kind in after and reference.get(kind)]
        gain = round(sum(each) / len(each), 6) if each else None
        found.append(gain)
        reference = {**reference, **after} if _is_gain(situation, gain) else {**after, **reference}
    return found


def rounds_without_gain(situation: Situation, action: Action) -> int:
    """Return how many rounds of this action brought less than the threshold, since the last round that brought more."""
    return sum(past == action for past in _fruitless(situation))


def _fruitless(situation: Situation) -> Iterator[Action]:
    for past, gain in zip(reversed(situation.history), reversed(gains(situation)), strict=True):
        if _is_gain(situation, gain):
            return
        yield past.action


def _is_gain(situation: Situation, gain: float | None) -> bool:
    return gain is None or gain >= situation.thresholds.gain


def gain_of_a_calculation(situation: Situation, action: Action) -> float | None:
    """Return the relative decrease of the error for one calculation of such rounds, at least 0; None before the first one."""
    brought, calculations, before = 0.0, 0, 0.0
    for past, gain in zip(situation.history, gains(situation), strict=True):
        if past.action == action and gain is not None and past.calculations > past.failed:
            brought += gain - before
            calculations += past.calculations - past.failed
        before = 0.0 if _is_gain(situation, gain) else (gain or 0.0)
    return round(max(brought / calculations, 0.0), 6) if calculations else None
