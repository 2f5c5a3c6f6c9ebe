"""Plots of models: rolling errors, and predicted against actual values."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Protocol

from tailrace.display.tables import format_value
from tailrace.errors import Unusable
from tailrace.pictures.figures import COLOURS, FAINT, INK, Picture, label_ends, log_scale, panels, title

__all__ = ["draw_history", "draw_scatter"]

CURVES = ("rolling MAE", "rolling Accuracy")


class History(Protocol):
    """A model's metrics over time: a `tailrace.results.metrics.History`."""

    model: str
    unit: str
    window: int
    columns: list[str]

    def curve(self, name: str) -> list[tuple[float, float]]:
        """Returns ``(n, value)`` for each point of one metric."""


def draw_history(histories: Sequence[History], path: str | os.PathLike[str] | None = None) -> Picture:
    """Draw the rolling error (or accuracy) of models of one stream against the number of scored observations.

    Parameters
    ----------
    histories
        One for each model, all with the same unit.
    path
        File to save the picture to. None: do not save it.

    Raises
    ------
    Unusable
        If the models have no metrics, or no common metric.
    MissingExtra
        If matplotlib is not installed.
    """
    curve = next((name for name in CURVES if all(name in one.columns for one in histories)), None)
    if curve is None or not histories:
        raise Unusable(
            "there is nothing to draw: models of this kind have no metrics"
            if len(histories) == 1
            else "models of different kinds have no metric in common: draw each by itself"
        )
    figure, (axes,) = panels(1, 8.5, 4.6)
    unit = histories[0].unit if curve == CURVES[0] else ""
    ends, every = [], []
    for number, one in enumerate(histories):
        drawn = one.curve(curve)
        if not drawn:
            continue
        colour = COLOURS[number % len(COLOURS)]
        values = [value for _, value in drawn]
        axes.plot([n for n, _ in drawn], values, color=colour, linewidth=2, marker="o" if len(drawn) == 1 else None)
        ends.append((values[-1], one.model, colour))
        every += values
    if not every:
        axes.annotate("nothing scored yet", (0.5, 0.5), xycoords="axes fraction", ha="center", color=FAINT)
    axes.set_xlabel("scored observations")
    name = "mean absolute error" if curve == CURVES[0] else "accuracy"
    axes.set_ylabel(f"{name} of the latest {histories[0].window}{f' ({unit})' if unit else ''}")
    log_scale(axes, every)
    label_ends(axes, ends, lambda value: f"{format_value(value)} {unit}".strip())
    title(axes, ", ".join(one.model for one in histories), "each observation predicted first, then learned")
    return _done(Picture(figure, f"{curve} of {', '.join(one.model for one in histories)}"), path)


def draw_scatter(
    model: str, pairs: Sequence[tuple[float, float]], unit: str = "", path: str | os.PathLike[str] | None = None
) -> Picture:
    """Draw predicted against actual values of one model.

    Parameters
    ----------
    model
        Name of the model.
    pairs
        ``(actual, predicted)`` in `unit`. Each prediction was made before the model learned the observation.
    unit
        The target's unit.
    path
        File to save the picture to. None: do not save it.

    Raises
    ------
    MissingExtra
        If matplotlib is not installed.
    """
    figure, (axes,) = panels(1, 5.2, 5.2)
    of = f" ({unit})" if unit else ""
    axes.set_xlabel(f"actual{of}")
    axes.set_ylabel(f"predicted{of}")
    below = "no predictions in the log yet"
    if pairs:
        actual = [pair[0] for pair in pairs]
        low, high = min(actual), max(actual)
        low = 0.0 if 0 <= low < 0.5 * high else low
        edge = 0.05 * (high - low) or abs(high) or 1.0
        low, high = (0.0 if low == 0 else low - edge), high + edge
        axes.plot([low, high], [low, high], color=FAINT, linewidth=1, zorder=1)
        # Predictions far outside are drawn on the edge, so that a single outlier does not compress the rest.
        inside = [(a, p) for a, p in pairs if low <= p <= high]
        outside = [(a, min(max(p, low), high)) for a, p in pairs if not low <= p <= high]
        for some, marker, size in ((inside, "o", 26), (outside, "x", 30)):
            axes.scatter(
                [a for a, _ in some], [p for _, p in some], s=size, marker=marker, color=COLOURS[0], alpha=0.7,
                linewidths=0.5 if marker == "o" else 1.2, edgecolors="white" if marker == "o" else None,
                zorder=3, clip_on=False,
            )  # fmt: skip
        axes.set_xlim(low, high)
        axes.set_ylim(low, high)
        axes.set_aspect("equal")
        mae = sum(abs(a - p) for a, p in pairs) / len(pairs)
        below = f"{len(pairs)} observations, mean absolute error {format_value(mae)} {unit}".rstrip()
        if outside:
            below += f", × {len(outside)} beyond the edge"
    title(axes, model, below, INK)
    return _done(Picture(figure, f"predicted against actual of {model}"), path)


def _done(picture: Picture, path: str | os.PathLike[str] | None) -> Picture:
    if path is not None:
        picture.save(path)
    return picture
