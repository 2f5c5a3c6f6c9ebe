"""`Cells`: the content of one row of a file or DataFrame."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

__all__ = ["Cells"]


class Cells(NamedTuple):
    """Features, target and key of a row.

    Attributes
    ----------
    place
        Place of the row, such as ``line 7``, for error messages.
    x
        Features by name. They are `tailrace.observations.text_values.TextFeatures` if they were read from text.
    y, y_text
        The target, and the text that it was read from, if any.
    key
        The idempotency key. None if the row has none.
    """

    place: str
    x: Mapping[str, Any]
    y: Any
    key: Any = None
    y_text: str | None = None
