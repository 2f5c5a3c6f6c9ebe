"""Pictures of run-time predictions: errors by observation, and predicted against actual time of held-out jobs."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lammps_jobs.evaluation.scores import Trial, rolling_mae, scores

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw_drift", "draw_scatter"]

WINDOW = 10
ROW = 4
INK, FAINT, GRID = "#222222", "#767676", "#e4e4e4"
# The palette of Okabe and Ito, whose colours colour-blind readers can tell apart.
COLOURS = {"linear": "#0072b2", "bayesian": "#e69f00", "passive-aggressive": "#cc79a7", "runtime": "#009e73"}


def draw_drift(path: Path, trials: Mapping[str, Sequence[Trial]], typical: float) -> None:
    """Draw the rolling error of each model against the number of the observation.

    Parameters
    ----------
    trials
        Recipe to its predictions, in the order of the log, each made before its observation was learned.
    typical
        Mean time of a job in seconds, drawn for comparison.
    """
    figure, axes = _figure(8.5, 5.0)
    ends = []
    for recipe, made in trials.items():
        errors = rolling_mae(made, WINDOW)
        colour, strong = COLOURS.get(recipe, INK), recipe == "runtime"
        numbers = [trial.observation or 0 for trial in made]
        axes.plot(numbers, errors, color=colour, linewidth=2.8 if strong else 1.8, zorder=4 if strong else 3)
        if errors:
            ends.append((errors[-1], recipe, colour))
    axes.set_yscale("log")
    axes.axhline(typical, color=FAINT, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
    last = max((trial.observation or 1 for made in trials.values() for trial in made), default=1)
    axes.set_xlim(1, max(2, last))
    axes.set_xticks(sorted({1, *(tick for tick in axes.get_xticks() if 1 < tick <= last and tick == int(tick))}))
    axes.annotate(
        f"mean time of a job, {typical:.2f} s",
        (1, typical),
        (-4, 4),
        xycoords=("axes fraction", "data"),
        textcoords="offset points",
        color=FAINT,
        size=9,
        ha="right",
    )
    _label_ends(axes, ends)
    axes.set_xlabel("observation number (one LAMMPS job each)")
    axes.set_ylabel(f"mean absolute error of the latest {WINDOW} predictions (s)")
    _seconds(axes.yaxis)
    axes.set_title("Each model's error, job by job: predicted first, then learned", loc="left", color=INK, pad=12)
    _save(figure, path)


def draw_scatter(path: Path, trials: Mapping[str, Sequence[Trial]], recipes: Mapping[str, str] | None = None) -> None:
    """Draw predicted against actual time of the held-out jobs, one panel for each model, with the model's intervals.

    Parameters
    ----------
    trials
        Title of a model to its predictions.
    recipes
        Title of a model to its recipe, which determines the colour; None if the titles are the recipes.
    """
    count = max((len(made) for made in trials.values()), default=0)
    times = [trial.actual for made in trials.values() for trial in made] or [1.0]
    top = 1.15 * max(times)
    lowest = min((trial.predicted for made in trials.values() for trial in made), default=0.0)
    bottom = 0.0 if lowest >= 0 else max(1.1 * lowest, -0.3 * top)
    title = f"Loop time of {count} held-out jobs, which were predicted and never learned"
    figure, panels = _panels(len(trials), title, shape=(top - bottom) / top)
    for axes, (model, made) in zip(panels, trials.items(), strict=True):
        colour = COLOURS.get((recipes or {}).get(model, model), INK)
        axes.plot([0, top], [0, top], color=FAINT, linewidth=1, zorder=1)
        if bottom < 0:
            axes.axhspan(bottom, 0, color="#f0f0f0", zorder=0)
        for trial in made:
            if trial.interval is not None:
                axes.vlines(trial.actual, *trial.interval, color=colour, alpha=0.35, linewidth=2.5, zorder=2)
        shown = [trial for trial in made if bottom <= trial.predicted <= top]
        axes.scatter(
            [trial.actual for trial in shown],
            [trial.predicted for trial in shown],
            s=32,
            color=colour,
            edgecolor="white",
            linewidth=0.6,
            zorder=3,
            clip_on=False,
        )
        _mark_outside(axes, [trial for trial in made if trial not in shown], bottom, top, colour)
        own = scores(made)
        bars = ", bars: 95 % interval" if any(trial.interval is not None for trial in made) else ""
        axes.set_title(model, loc="left", color=colour, weight="bold", pad=34)
        axes.annotate(
            f"R² {own.r2:.2f}, MAE {own.mae:.2f} s\nRMSE {own.rmse:.2f} s{bars}",
            (0, 1),
            (0, 7),
            xycoords="axes fraction",
            textcoords="offset points",
            color=INK,
            size=9,
        )
        axes.set_xlim(0, top)
        axes.set_ylim(bottom, top)
        axes.set_aspect("equal")
        axes.set_xlabel("actual time (s)")
    for axes in panels[::ROW]:
        axes.set_ylabel("predicted time (s)")
    _save(figure, path)


def _figure(width: float, height: float) -> tuple[Figure, Axes]:
    pyplot = _pyplot()
    figure, axes = pyplot.subplots(figsize=(width, height), layout="constrained")
    _plain(axes)
    return figure, axes


def _panels(count: int, title: str, shape: float) -> tuple[Figure, list[Axes]]:
    pyplot = _pyplot()
    rows, columns = math.ceil(max(1, count) / ROW), min(ROW, max(1, count))
    figure, grid = pyplot.subplots(
        rows,
        columns,
        figsize=(3.1 * columns, 0.35 + rows * (1.5 + 2.65 * shape)),
        layout="constrained",
        sharey=True,
        squeeze=False,
    )
    figure.suptitle(title, x=0.012, ha="left", color=INK, size=12)
    figure.get_layout_engine().set(h_pad=0.12)
    for axes in grid.flat[:count]:
        _plain(axes)
    for axes in grid.flat[count:]:
        axes.set_visible(False)
    return figure, list(grid.flat[:count])


def _pyplot() -> Any:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    return pyplot


def _plain(axes: Axes) -> None:
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(FAINT)
    axes.tick_params(colors=INK, which="both", length=3)
    axes.grid(color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)


def _seconds(axis: Any) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axis.set_major_locator(LogLocator(base=10, subs=(1.0, 2.0, 5.0)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def _label_ends(axes: Axes, ends: list[tuple[float, str, str]]) -> None:
    """Write each line's name and last value at its end. Labels that would overlap are moved apart."""
    ends = sorted(ends)
    low, high = axes.get_ylim()
    axes.set_ylim(low, high)
    transform = axes.transData
    points = [transform.transform((0, value))[1] for value, _, _ in ends]
    gap = 15 * axes.figure.dpi / 72
    for index in range(1, len(points)):
        points[index] = max(points[index], points[index - 1] + gap)
    for place, (value, recipe, colour) in zip(points, ends, strict=True):
        height = transform.inverted().transform((0, place))[1]
        axes.annotate(
            f"{recipe}  {value:.2f} s", (1, height), (8, 0), xycoords=("axes fraction", "data"),
            textcoords="offset points", color=colour, va="center", weight="bold" if recipe == "runtime" else "normal",
            annotation_clip=False,
        )  # fmt: skip


def _mark_outside(axes: Axes, trials: list[Trial], bottom: float, top: float, colour: str) -> None:
    for trial in trials:
        above = trial.predicted > top
        axes.annotate(
            f"{trial.predicted:.1f}", (trial.actual, top if above else bottom), (0, -10 if above else 10),
            textcoords="offset points", ha="center", va="center", size=8, color=colour,
            arrowprops={"arrowstyle": "-|>", "color": colour, "shrinkA": 0, "shrinkB": 0, "lw": 0.8},
        )  # fmt: skip


def _save(figure: Figure, path: Path) -> None:
    from matplotlib import pyplot

    part = path.with_name(f".{path.stem}.part{path.suffix}")
    figure.savefig(part, dpi=150, facecolor="white")
    pyplot.close(figure)
    os.replace(part, path)
