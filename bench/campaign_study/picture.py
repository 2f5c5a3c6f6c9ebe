"""A picture of a study: error against labels, for each target and policy."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bench.campaign_study.replay import Case, Replay

__all__ = ["draw"]

COLOURS = {"families": "#0b6e4f", "random": "#8a8a8a", "uncertainty": "#c1440e"}


def draw(path: Path, title: str, cases: Sequence[Case], replays: dict[str, list[Replay]]) -> None:
    """Draw the orders' curves thin, their median thick, and the target as a dashed line. Write a PNG file."""
    from matplotlib.figure import Figure

    targets = sorted(cases[0].targets)
    columns = min(3, len(targets))
    lines = -(-len(targets) // columns)
    figure = Figure(figsize=(4.2 * columns, 3.1 * lines + 0.4), layout="constrained")
    panels = np.atleast_1d(figure.subplots(lines, columns, sharex=True)).ravel()
    for panel, of in zip(panels, targets, strict=False):
        most = max(found.labels[-1] for some in replays.values() for found in some)
        grid = np.geomspace(max(10, min(found.labels[0] for found in replays["random"])), most, 80)
        for name, some in replays.items():
            curves = [_at(grid, found.labels, found.rmse[of]) for found in some]
            for curve in curves:
                panel.plot(grid, curve, color=COLOURS.get(name), lw=0.5, alpha=0.3)
            known = np.sum(np.isfinite(curves), axis=0) > len(curves) / 2
            middle = np.full(len(grid), np.nan)
            middle[known] = np.nanmedian(np.array(curves)[:, known], axis=0)
            panel.plot(grid, middle, color=COLOURS.get(name), lw=2, label=name)
        panel.axhline(cases[0].targets[of], color="black", ls="--", lw=1)
        panel.set(xscale="log", yscale="log", title=f"{of[0]} in {of[1]}", xlabel="labels", ylabel="RMSE (eV)")
    panels[0].legend(frameon=False)
    figure.suptitle(title)
    figure.savefig(path, dpi=110)


def _at(grid: np.ndarray, labels: Sequence[int], errors: Sequence[float | None]) -> np.ndarray:
    """Return the last known error at each number of labels; after the end of a campaign, that of its end."""
    places = np.searchsorted(labels, grid, side="right") - 1
    values = np.array([np.nan if error is None else error for error in errors])
    return np.where(places >= 0, values[np.maximum(places, 0)], np.nan)
