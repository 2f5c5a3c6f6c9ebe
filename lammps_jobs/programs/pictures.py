"""Pictures of results, drawn by matplotlib in a process of its own: an agent must stay small."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

__all__ = ["Curve", "NoPicture", "draw"]

LIMIT = 120.0
COLOURS = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9"]


class NoPicture(Exception):
    """A picture could not be drawn. The message says why."""


@dataclass(frozen=True)
class Curve:
    """A named curve: x and y of its points."""

    label: str
    x: Sequence[float]
    y: Sequence[float]


def draw(path: Path, curves: Sequence[Curve], *, x: str, y: str, marks: bool = False, one_colour: bool = False) -> None:
    """Draw curves into a PNG file.

    Parameters
    ----------
    path
        The file.
    curves
        What to draw.
    x, y
        Labels of the axes, with units.
    marks
        Whether to mark each point.
    one_colour
        Whether all curves have one colour, as bands do.

    Raises
    ------
    NoPicture
        If matplotlib is missing or fails.
    """
    content = {
        "path": str(path), "curves": [asdict(one) for one in curves], "x": x, "y": y, "marks": marks,
        "one_colour": one_colour,
    }  # fmt: skip
    command = [sys.executable, str(Path(__file__).resolve())]
    try:
        done = subprocess.run(
            command, input=json.dumps(content), capture_output=True, text=True, timeout=LIMIT, check=False
        )
    except subprocess.TimeoutExpired:
        raise NoPicture(f"{path.name} was not drawn within {LIMIT:.0f} s") from None
    if done.returncode != 0:
        said = (done.stderr.strip() or "no message").splitlines()[-1]
        raise NoPicture(f"{path.name} was not drawn: {said} (for {sys.executable})")


def _main(content: dict[str, Any]) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 4.0), dpi=120, layout="constrained")
    axes = figure.add_subplot()
    for number, curve in enumerate(content["curves"]):
        colour = COLOURS[0 if content["one_colour"] else number % len(COLOURS)]
        marker = "o" if content["marks"] else ""
        axes.plot(
            curve["x"], curve["y"], color=colour, marker=marker, markersize=4, linewidth=1.4, label=curve["label"]
        )
    axes.set_xlabel(content["x"])
    axes.set_ylabel(content["y"])
    axes.grid(color="#e4e4e4")
    axes.spines[["top", "right"]].set_visible(False)
    if any(curve["label"] for curve in content["curves"]) and len(content["curves"]) > 1:
        axes.legend(frameon=False)
    figure.savefig(content["path"], format="png")


if __name__ == "__main__":
    sys.path.pop(0)  # this directory: its modules have the names of packages
    _main(json.load(sys.stdin))
