"""Suspects that are chosen in the plot of a model's errors: a range of positions and a range of errors."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from django.http import HttpRequest

from server.core.errors import Invalid
from server.dashboard import model_charts, parameters
from server.learning import rehearsal
from server.learning.models import Model
from server.learning.records.columns import Unreadable

FIELDS = ("x_from", "x_to", "error_from", "error_to")
MOST_TEXT = 3000
"""Most characters of the numbers, which go into an address."""

HUGE = 1e300


def chosen(request: HttpRequest, model: Model) -> dict[str, Any]:
    """Return what the URL chooses of the plot of errors.

    All observations behind the plot count, not only those that it draws.

    Returns
    -------
    dict
        ``given``: the fields as they are in the URL, by name; ``is_asked``: whether any is there; ``count`` and ``numbers``:
        how many observations are in the range, and which, as text such as ``17 30-45``; or ``trouble``.
    """
    found: dict[str, Any] = {"given": {name: request.GET.get(name, "") for name in FIELDS}}
    found["is_asked"] = any(value.strip() for value in found["given"].values())
    if not found["is_asked"]:
        return found
    try:
        numbers = _inside(request, model)
        if len(numbers) > rehearsal.MOST_SUSPECTS:
            raise Invalid(
                f"{len(numbers):,} observations are in this range: choose at most {rehearsal.MOST_SUSPECTS:,} at once"
            )
        text = as_ranges(numbers)
        if len(text) > MOST_TEXT:
            raise Invalid(
                f"these {len(numbers):,} observations are too scattered to name them all in one address: choose a smaller range"
            )
    except (Invalid, Unreadable) as exc:
        return found | {"trouble": exc.message}
    return found | {"count": len(numbers), "numbers": text}


def _inside(request: HttpRequest, model: Model) -> list[int]:
    low, high, least, most = (
        parameters.number(request, name, default, least=-HUGE, most=HUGE)
        for name, default in zip(FIELDS, (-HUGE, HUGE, -HUGE, HUGE), strict=True)
    )
    columns = model_charts.columns(request, model)
    if columns is None:
        return []
    errors = columns.errors
    with np.errstate(invalid="ignore"):
        own = np.flatnonzero((least <= errors) & (errors <= most))
    numbers: list[int] = (columns.first + own).tolist()
    feature = request.GET.get("feature", "")
    if feature and numbers:
        values = model_charts.feature_values(model, feature, numbers)
        return [n for n in numbers if n in values and low <= values[n] <= high]
    return [n for n in numbers if low <= n <= high]


def as_ranges(numbers: Sequence[int]) -> str:
    """Return ascending numbers as text.

    >>> as_ranges([17, 30, 31, 32])
    '17 30-32'
    """
    parts: list[list[int]] = []
    for n in numbers:
        if parts and n == parts[-1][1] + 1:
            parts[-1][1] = n
        else:
            parts.append([n, n])
    return " ".join(str(low) if low == high else f"{low}-{high}" for low, high in parts)
