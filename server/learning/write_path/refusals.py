"""Tells whether an estimator's error is the fault of the point or of the model."""

import re

_POINT_ERRORS = frozenset(("AttributeError", "KeyError", "TypeError", "ValueError"))
"""Errors that estimators raise for a missing feature, for text in place of a number, or for a value that they don't accept."""

_MODEL_MESSAGES = re.compile(
    r"^the prediction |math (domain|range) error|expected a (nonnegative|positive) input|\b(nans?|infs?|infinity)\b",
    re.IGNORECASE,
)
"""Texts of such errors that are the model's own fault. A point has finite numbers only, so NaN and infinity come from the model."""


def is_fault_of_point(reason: str) -> bool:
    """Return whether an estimator's error says that the point is wrong.

    Any other error is a failure of the model alone, such as a division by zero, an overflow or a singular matrix. Another
    model may be able to learn the point.

    Parameters
    ----------
    reason
        The error's class, a colon and its text, as :func:`server.learning.fold.estimator_errors.reason` returns it.
    """
    kind, _, text = reason.partition(": ")
    return kind in _POINT_ERRORS and _MODEL_MESSAGES.search(text) is None
