"""Pictures of badges: a line of text as SVG, and the curve of the error as PNG."""

import io
import math
from functools import lru_cache
from typing import Any

from django.utils.html import format_html

from server.core.printable import encodable
from server.dashboard.formatting import number, share
from server.learning.badges import Reading
from server.learning.models import Model
from server.learning.records import reading
from server.learning.records.columns import Unreadable

GOOD, BAD, QUIET, DARK = "#14683f", "#a4202b", "#4b5c6b", "#16222d"
CHARACTER, PADDING, HEIGHT = 6.8, 8, 20
LONGEST = 60
CLASSES = ("binary", "multiclass")
SHARES = ("Accuracy", "F1", "MacroF1", "ROCAUC", "BalancedAccuracy")

WIDTH, TALL, SCALE, MARGIN, TOP = 600, 200, 2, 12, 44
"""Size of the PNG, which is drawn larger and scaled down, so that its curve is smooth."""

BUCKETS = 300


def said(model: Model, found: Reading) -> str:
    """Return what the badge says of a model, in one line of plain text."""
    if found.status in (Model.FAILED, Model.QUARANTINED):
        return found.status
    parts = []
    if found.metric and found.value is not None and math.isfinite(found.value):
        unit = model.stream.target_unit if found.metric in ("MAE", "RMSE") else ""
        value = share(found.value) if found.metric in SHARES else number(found.value)
        parts.append(f"{found.metric} {value} {unit}".strip())
    parts.append(f"n = {found.n:,}")
    if found.has_drifted:
        parts.append("drift")
    elif found.since_drift is not None:
        parts.append(f"last drift {found.since_drift:,} ago")
    return _plain(" · ".join(parts))


def _plain(text: str) -> str:
    return "".join(one if one.isprintable() else "?" for one in encodable(text, LONGEST))


def _color(found: Reading) -> str:
    if found.has_drifted or found.status in (Model.FAILED, Model.QUARANTINED):
        return BAD
    return GOOD if found.value is not None and math.isfinite(found.value) else QUIET


def svg(model: Model, found: Reading) -> bytes:
    """Return the badge as SVG, without scripts, styles or links."""
    name, text = _plain(model.name), said(model, found)
    left, right = (round(CHARACTER * len(part) + 2 * PADDING) for part in (name, text))
    parts = format_html(
        '<svg xmlns="http://www.w3.org/2000/svg" width="{}" height="{}" role="img" aria-label="{}: {}"><title>{}: {}</title>'
        '<rect width="{}" height="{}" rx="3" fill="{}"/><path fill="{}" d="M{} 0h{}a3 3 0 0 1 3 3v14a3 3 0 0 1-3 3h-{}z"/>'
        '<g fill="#fff" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11">'
        '<text x="{}" y="14" textLength="{}" lengthAdjust="spacingAndGlyphs">{}</text>'
        '<text x="{}" y="14" textLength="{}" lengthAdjust="spacingAndGlyphs">{}</text></g></svg>',
        left + right, HEIGHT, name, text, name, text,
        left + right, HEIGHT, DARK, _color(found), left, right - 3, right - 3,
        PADDING, left - 2 * PADDING, name,
        left + PADDING, right - 2 * PADDING, text,
    )  # fmt: skip
    return parts.encode()


def png(model: Model, found: Reading) -> bytes:
    """Return the curve of the error over all that is recorded as PNG, with the badge's text above it."""
    from PIL import Image, ImageDraw

    picture = Image.new("RGB", (WIDTH * SCALE, TALL * SCALE), "#ffffff")
    pen = ImageDraw.Draw(picture)

    def write(x: float, y: float, text: str, color: str, size: int, anchor: str = "la") -> None:
        # The font that Pillow brings has no other scripts.
        latin = text.encode("latin-1", "replace").decode("latin-1")
        pen.text((x * SCALE, y * SCALE), latin, color, _font(size * SCALE), anchor)

    write(MARGIN, 8, _plain(model.name), DARK, 14)
    write(WIDTH - MARGIN, 8, said(model, found), _color(found), 14, "ra")
    ns, values, what = _curve(model)
    known = [(n, value) for n, value in zip(ns, values, strict=True) if value is not None]
    if len(known) < 2:
        write(
            WIDTH / 2,
            TALL / 2,
            "nothing was scored yet" if not known else "one observation was scored",
            QUIET,
            13,
            "mm",
        )
    else:
        low, high = min(value for _, value in known), max(value for _, value in known)
        first, last = known[0][0], known[-1][0]
        write(MARGIN, 28, f"{what}, {number(low)} to {number(high)}, observations {first:,} to {last:,}", QUIET, 11)
        across = (WIDTH - 2 * MARGIN) / (last - first)
        upwards = (TALL - TOP - MARGIN - 6) / ((high - low) or 1.0)
        points = [
            ((MARGIN + (n - first) * across) * SCALE, (TALL - MARGIN - (value - low) * upwards) * SCALE)
            for n, value in known
        ]
        ground = (TALL - MARGIN + 2) * SCALE
        pen.line([(MARGIN * SCALE, ground), ((WIDTH - MARGIN) * SCALE, ground)], "#d3dde6", SCALE)
        pen.line(points, "#0b6aa8", 2 * SCALE, "curve")
    data = io.BytesIO()
    picture.resize((WIDTH, TALL), Image.Resampling.LANCZOS).save(data, "PNG", optimize=True)
    return data.getvalue()


@lru_cache(maxsize=8)
def _font(size: int) -> Any:
    from PIL import ImageFont

    return ImageFont.load_default(size)


def _curve(model: Model) -> tuple[list[int], list[Any], str]:
    try:
        found = reading.series(model, buckets=BUCKETS)
    except Unreadable:
        return [], [], ""
    if model.flavor in CLASSES:
        return found["n"], found["error"]["mean"], "share of wrong labels"
    unit = f" in {model.stream.target_unit}" if model.stream.target_unit else ""
    return found["n"], found["RMSE"], f"RMSE{unit}"
