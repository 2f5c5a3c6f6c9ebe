"""The picture that `tailrace watch` draws: each model's rolling error and its drift alarms."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tailrace.display.tables import format_value
from tailrace.pictures.figures import COLOURS, FAINT, Picture, label_ends, log_scale, panels, title

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from tailrace.watch.follower import Follower

__all__ = ["draw_drift"]


def draw_drift(followers: Sequence[Follower], path: Path) -> Picture:
    """Draw a panel for each stream, with a line for each model and a mark at each drift alarm, and save the picture."""
    streams = list(dict.fromkeys((one.stream, one.unit) for one in followers))
    figure, every = panels(len(streams), 8.5, 4.4)
    number = 0
    for index, (stream, unit) in enumerate(streams):
        here = [one for one in followers if (one.stream, one.unit) == (stream, unit)]
        _panel(every[index], stream, unit, here, number)
        number += len(here)
    picture = Picture(figure, f"drift of {', '.join(one.model for one in followers)}")
    picture.save(path)
    return picture


def _panel(axes: Axes, stream: str, unit: str, followers: Sequence[Follower], first: int) -> None:
    ends, heights, alarms = [], [], 0
    for number, one in enumerate(followers, first):
        points, colour = one.curve.drawn(), COLOURS[number % len(COLOURS)]
        if not points:
            continue
        axes.plot([n for n, _ in points], [value for _, value in points], color=colour, linewidth=2, zorder=3)
        ends.append((points[-1][1], one.model, colour))
        heights += [value for _, value in points]
        for alarm in one.alarms:
            axes.axvline(alarm, color=colour, linewidth=1.4, linestyle=(0, (4, 3)), zorder=2)
            axes.annotate(
                f"drift {alarm}", (alarm, 1), (3, -3), xycoords=("data", "axes fraction"), textcoords="offset points",
                rotation=90, va="top", ha="left", size=8, color=colour,
            )  # fmt: skip
        alarms += len(one.alarms)
    if not heights:
        axes.annotate("no predictions yet", (0.5, 0.5), xycoords="axes fraction", ha="center", color=FAINT)
    axes.set_xlabel("observation")
    axes.set_ylabel(f"mean absolute error of the latest {followers[0].window}{f' ({unit})' if unit else ''}")
    log_scale(axes, heights)
    label_ends(axes, ends, lambda value: f"{format_value(value)} {unit}".rstrip())
    found = "no drift" if not alarms else "drift found once" if alarms == 1 else f"drift found {alarms} times"
    title(axes, stream, f"each observation predicted first, then learned; {found}")
