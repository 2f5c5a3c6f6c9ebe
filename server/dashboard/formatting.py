"""Numbers, rates, ages and sparklines, as pages show them."""

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from django.utils.html import format_html
from django.utils.safestring import SafeString

NONE = "–"
"""Shown for a value that there isn't."""

DIGITS = 4
"""Significant digits of a number that isn't whole."""

_AGES = (("days", 86400, 2 * 86400), ("h", 3600, 2 * 3600), ("min", 60, 120), ("s", 1, 0))
_RATES = (("s", 1), ("min", 60), ("h", 3600), ("day", 86400))
_SIZES = ("B", "kB", "MB", "GB", "TB")


def number(value: Any, digits: int = DIGITS) -> str:
    """Return a number with thousands separators; one that isn't whole with four significant digits.

    >>> number(12410), number(0.0123456), number(1234.5), number(None), number(2.0e-9)
    ('12,410', '0.01235', '1,234', '–', '2e-09')
    """
    if value is None or value == "" or (isinstance(value, float) and not math.isfinite(value)):
        return NONE  # a template's missing value is an empty text
    if isinstance(value, int):
        return f"{value:,}"
    size = abs(value)
    if size != 0 and (size < 1e-4 or size >= 1e15):
        return f"{value:.{digits}g}"
    if size >= 10 ** (digits - 1):
        return f"{value:,.0f}"
    return f"{value:.{digits}g}"


def share(value: float | None) -> str:
    """Return a share of one in percent.

    >>> share(0.9512), share(1.0), share(None)
    ('95.1 %', '100 %', '–')
    """
    return NONE if value is None else f"{100 * value:.3g} %"


def rate(per_second: float | None) -> str:
    """Return a rate, in the unit in which it is at least one.

    >>> rate(12.34), rate(0.5), rate(0.001), rate(0), rate(None)
    ('12.34/s', '30/min', '3.6/h', '0', '–')
    """
    if per_second is None:
        return NONE
    if per_second <= 0:
        return "0"
    unit, seconds = next(((unit, s) for unit, s in _RATES if per_second * s >= 1), _RATES[-1])
    return f"{number(per_second * seconds)}/{unit}"


def size(count: float | None) -> str:
    """Return a number of bytes.

    >>> size(512), size(1_234_567), size(None)
    ('512 B', '1.23 MB', '–')
    """
    if count is None:
        return NONE
    step = min(len(_SIZES) - 1, int(math.log(abs(count), 1000)) if abs(count) >= 1 else 0)
    return f"{count / 1000**step:.3g} {_SIZES[step]}"


def age(moment: datetime, now: datetime | None = None) -> str:
    """Return how long ago a time is: ``3 min ago``. The script ``times.js`` writes it the same way."""
    seconds = round(((now or datetime.now(UTC)) - moment).total_seconds())
    unit, length, _ = next(step for step in _AGES if abs(seconds) >= step[2])
    count = f"{abs(seconds) // length:,} {unit}"
    return f"in {count}" if seconds < 0 else f"{count} ago"


def time_element(moment: datetime | None, *, as_age: bool = False, nothing: str = NONE) -> str:
    """Return a ``<time>`` in UTC. With scripts, it becomes the reader's local time with UTC beside it, or an age that grows."""
    if moment is None:
        return nothing
    moment = moment.astimezone(UTC)
    return format_html(
        '<time datetime="{}" data-as="{}" title="{} UTC">{}</time>',
        moment.isoformat(timespec="seconds").replace("+00:00", "Z"),
        "age" if as_age else "moment",
        f"{moment:%Y-%m-%d %H:%M:%S}",
        age(moment) if as_age else f"{moment:%Y-%m-%d %H:%M} UTC",
    )


WIDTH, HEIGHT, MARGIN = 120, 28, 2


def sparkline(values: Sequence[float | None], what: str) -> SafeString:
    """Return a curve as a small SVG picture, with a sentence for those who don't see it.

    Parameters
    ----------
    values
        The curve, from old to new. A gap is None.
    what
        What is drawn, such as ``rolling RMSE``.
    """
    known = [value for value in values if value is not None]
    if not known:
        return format_html('<span class="quiet">{}</span>', NONE)
    low, high = min(known), max(known)
    across = (WIDTH - 2 * MARGIN) / max(1, len(values) - 1)
    upwards = (HEIGHT - 2 * MARGIN) / ((high - low) or 1.0)
    parts: list[list[str]] = [[]]
    for index, value in enumerate(values):
        if value is None:
            parts.append([])
        else:
            parts[-1].append(f"{MARGIN + index * across:.1f},{HEIGHT - MARGIN - (value - low) * upwards:.1f}")
    path = " ".join("M" + " L".join(part) for part in parts if part)
    said = f"{what}: now {number(known[-1])}; lowest {number(low)}, highest {number(high)}"
    return format_html(
        '<svg class="spark" viewBox="0 0 {} {}" width="{}" height="{}" role="img" aria-label="{}" preserveAspectRatio="none">'
        '<title>{}</title><path d="{}"/></svg>',
        WIDTH, HEIGHT, WIDTH, HEIGHT, said, said, path,
    )  # fmt: skip
