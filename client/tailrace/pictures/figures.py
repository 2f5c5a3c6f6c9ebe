"""`Picture`, and functions that draw figures in one style. matplotlib is imported only when it is needed."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tailrace.atomic_files import replacing
from tailrace.errors import Unusable
from tailrace.optional_dependencies import require

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["COLOURS", "FAINT", "INK", "Picture", "check_format", "label_ends", "log_scale", "panels", "title"]

INK, FAINT, GRID = "#222222", "#767676", "#e4e4e4"
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7f7f7f")
"""Okabe and Ito's palette, whose colours colour-blind readers can distinguish."""
DPI = 150
LINE = 15
"""Smallest distance between the labels of two lines, in points."""


class Picture:
    """A picture that notebooks display and `save` writes to a file.

    Attributes
    ----------
    figure
        The matplotlib figure. You may change it.
    """

    def __init__(self, figure: Figure, what: str) -> None:
        self.figure = figure
        self._what = what

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the picture to a file, in the format of the path's ending. If it fails, it changes no file.

        Raises
        ------
        Unusable
            If matplotlib does not support the format.
        NotWritten
            If the file cannot be written.
        """
        check_format(path)
        with replacing(path) as part:
            self.figure.savefig(part, dpi=DPI, facecolor="white")
        return Path(path)

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        self.figure.savefig(buffer, format="png", dpi=100, facecolor="white")
        return buffer.getvalue()

    def __repr__(self) -> str:
        return f"<Picture: {self._what} (a notebook shows it; .save('picture.png') writes it)>"


def check_format(path: str | os.PathLike[str]) -> None:
    """Check that the ending of a path is a picture format that matplotlib supports.

    Raises
    ------
    Unusable
        If it is not. The message gives examples.
    """
    known = require("matplotlib", "matplotlib.backend_bases").FigureCanvasBase.get_supported_filetypes()
    if Path(path).suffix.lstrip(".").lower() not in known:
        raise Unusable(f"{path} has no known picture format: expected a name that ends in .png, .svg or .pdf")


def panels(count: int, width: float, height: float, across: bool = False) -> tuple[Figure, list[Axes]]:
    """Returns a figure with `count` panels, each `width` by `height` inches, and the panels' axes.

    The panels are one above the other, or side by side if `across`.

    Raises
    ------
    MissingExtra
        If matplotlib is not installed.
    """
    # Figures made without pyplot have no global state and no window, and need not be closed.
    figure_module = require("matplotlib", "matplotlib.figure")
    size = (width * count, height) if across else (width, height * count)
    figure = figure_module.Figure(figsize=size, layout="constrained")
    shape = (1, count) if across else (count, 1)
    grid = list(figure.subplots(*shape, squeeze=False).flat)
    for axes in grid:
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
        for side in ("left", "bottom"):
            axes.spines[side].set_color(FAINT)
        axes.tick_params(colors=INK, which="both", length=3)
        axes.grid(color=GRID, linewidth=0.8)
        axes.set_axisbelow(True)
    return figure, grid


def title(axes: Axes, text: str, below: str = "", colour: str = INK) -> None:
    """Write a bold title on the left, and a plain line below it."""
    axes.set_title(text, loc="left", color=colour, weight="bold", pad=22 if below else 8)
    if below:
        axes.annotate(
            below, (0, 1), (0, 7), xycoords="axes fraction", textcoords="offset points", color=INK, size=9
        )  # fmt: skip


def log_scale(axes: Axes, values: Sequence[float]) -> None:
    """Make the vertical axis logarithmic if all values are positive and span a decade or more; otherwise start it at 0.

    The label of a logarithmic axis says so.
    """
    positive = [value for value in values if value > 0]
    if not positive or len(positive) < len(values) or max(positive) < 10 * min(positive):
        axes.set_ylim(bottom=min([0.0, *values]))
        return
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axes.set_yscale("log")
    axes.set_ylabel(f"{axes.get_ylabel()}, log scale")
    # Over several decades, ticks at 1, 2 and 5 are more than `numticks`, and matplotlib would draw none.
    few = max(positive) <= 100 * min(positive)
    axes.yaxis.set_major_locator(LogLocator(base=10, subs=(1.0, 2.0, 5.0) if few else (1.0,), numticks=9))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())


def label_ends(axes: Axes, ends: Sequence[tuple[float, str, str]], form: Callable[[float], str]) -> None:
    """Write the name and last value of each line at its end, moved apart if they would overlap.

    Parameters
    ----------
    ends
        Last value, name and colour of each line.
    form
        Formats a value.
    """
    low, high = axes.get_ylim()
    axes.set_ylim(low, high)
    transform = axes.transData
    above: Any = None
    for value, name, colour in sorted(ends):
        place = transform.transform((0, value))[1]
        if above is not None:
            place = max(place, above + LINE * axes.figure.dpi / 72)
        above = place
        height = transform.inverted().transform((0, place))[1]
        axes.annotate(
            f"{name}  {form(value)}", (1, height), (8, 0), xycoords=("axes fraction", "data"),
            textcoords="offset points", color=colour, va="center", annotation_clip=False,
        )  # fmt: skip
