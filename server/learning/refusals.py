"""Whose fault it is that a model can't take a point: the point's, whose form it says is wrong, or the model's own."""

import re

_OF_THE_FORM = frozenset(("AttributeError", "KeyError", "TypeError", "ValueError"))
"""What estimators raise for a feature that is missing, text where a number should be, a value that they don't admit."""

_OF_ITS_OWN = re.compile(
    r"^the prediction |math (domain|range) error|expected a (nonnegative|positive) input|\b(nans?|infs?|infinity)\b",
    re.IGNORECASE,
)
"""What the same errors say where it isn't the point. A point holds finite numbers only, so NaN and infinity are the model's."""


def blames_the_point(reason: str) -> bool:
    """Whether an estimator's error says that the point is wrong.

    Anything else is a failure of the model alone, as its arithmetic's is (a division by zero, an overflow, a singular matrix): another
    model may well learn the point.

    Parameters
    ----------
    reason
        As :func:`server.learning.replica.reason` gives it: the error's class, a colon, its text.
    """
    kind, _, text = reason.partition(": ")
    return kind in _OF_THE_FORM and _OF_ITS_OWN.search(text) is None
