"""Pictures of structures: as SVG, seen along an axis, and what the 3D view is made of. Near atoms are joined."""

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from server.calculations import structures

MOST_ATOMS = 2_000
ELEMENT_TONES = 6
WIDTH, MARGIN = 480.0, 24.0
BOND = 1.25
"""Atoms are joined if their distance is at most this times the sum of their covalent radii."""

RADII = {
    "H": 0.31, "B": 0.84, "C": 0.76, "N": 0.71, "O": 0.66, "F": 0.57, "Si": 1.11, "P": 1.07, "S": 1.05, "Cl": 1.02, "Br": 1.20,
    "I": 1.39,
}  # fmt: skip
"""Covalent radii, Å (Cordero et al., Dalton Trans. 2008, 2832); of other elements 1.35, a metal's."""

OTHER_RADIUS = 1.35
_PROPERTIES = re.compile(r'Properties=(?:"([^"]*)"|(\S+))', re.IGNORECASE)


@dataclass(frozen=True)
class Picture:
    """A structure to be shown.

    Attributes
    ----------
    svg
        Seen along its shortest side; works without scripts.
    scene
        Atoms, bonds and the cell's edges for ``cell-scene.js``.
    elements
        Each element and how many atoms it has, in the order of their colors.
    """

    svg: SafeString
    scene: dict[str, Any]
    elements: list[tuple[str, int]]


def picture(content: str) -> Picture | None:
    """Return pictures of extended XYZ; None for more than 2,000 atoms."""
    symbols, positions = _read(content)
    if not 0 < len(symbols) <= MOST_ATOMS:
        return None
    elements = sorted(set(symbols))
    radii = np.array([RADII.get(symbol, OTHER_RADIUS) for symbol in symbols])
    joined = _joined(positions, radii)
    counts = [(one, symbols.count(one)) for one in elements]
    scene = {
        "elements": elements,
        "radii": [round(0.45 * RADII.get(one, OTHER_RADIUS), 3) for one in elements],
        "bond": 0.1,
        "reach": 16,
        "along": "xyz"[int(np.argmin(np.ptp(positions, axis=0)))],
        "atoms": [
            [n, elements.index(symbol), *np.round(position, 4).tolist()]
            for n, (symbol, position) in enumerate(zip(symbols, positions, strict=True))
        ],
        "lattice": _lattice(content),
        "i": [i for i, _ in joined],
        "j": [j for _, j in joined],
        "sticks": [[np.round(np.concatenate((positions[i], positions[j])), 4).tolist()] for i, j in joined],
    }
    return Picture(_svg(symbols, positions, radii, joined, counts), scene, counts)


def _svg(
    symbols: list[str], positions: Any, radii: Any, joined: list[tuple[int, int]], counts: list[tuple[str, int]]
) -> SafeString:
    turned = positions[:, np.argsort(np.ptp(positions, axis=0))[::-1]]
    low, high = turned[:, :2].min(axis=0), turned[:, :2].max(axis=0)
    scale = (WIDTH - 2 * MARGIN) / max(float((high - low)[0]), 3.0)
    height = float((high - low)[1]) * scale + 2 * MARGIN

    def place(xy: Any) -> tuple[str, str]:
        x, y = (xy - low) * scale + MARGIN
        return f"{x:.1f}", f"{height - y:.1f}"

    tones = {one: n % ELEMENT_TONES for n, (one, _) in enumerate(counts)}
    lines = [(*place(turned[i, :2]), *place(turned[j, :2])) for i, j in joined]
    atoms = [
        (tones[symbols[i]], *place(turned[i, :2]), f"{max(3.0, min(0.45 * radii[i] * scale, 22)):.1f}",
         f"{symbols[i]}, atom {i + 1}")
        for i in np.argsort(turned[:, 2])
    ]  # fmt: skip
    said = ", ".join(f"{number} {one}" for one, number in counts)
    return format_html(
        '<svg class="structure" viewBox="0 0 {} {}" role="img" aria-label="{}">{}{}</svg>',
        f"{WIDTH:.0f}", f"{height:.0f}", f"{said}, seen along the shortest side",
        format_html_join("", '<line x1="{}" y1="{}" x2="{}" y2="{}"/>', lines),
        format_html_join(
            "", '<circle class="tone-{}" cx="{}" cy="{}" r="{}"><title>{}</title></circle>', atoms
        ),
    )  # fmt: skip


def _lattice(content: str) -> list[list[float]]:
    """Return the three vectors of the cell, Å; empty for a molecule."""
    found = structures.LATTICE.search(content.split("\n", 2)[1])
    if found is None:
        return []
    numbers = [float(one) for one in (found.group(1) or found.group(2)).split()]
    return [numbers[0:3], numbers[3:6], numbers[6:9]]


def _joined(positions: Any, radii: Any) -> list[tuple[int, int]]:
    if len(positions) > 400:
        return []
    distances = np.linalg.norm(positions[:, None] - positions[None], axis=-1)
    near = distances <= BOND * (radii[:, None] + radii[None])
    return [(int(i), int(j)) for i, j in zip(*np.nonzero(np.triu(near, 1)), strict=True)]


def _read(content: str) -> tuple[list[str], Any]:
    """Return the elements and the positions (n × 3, Å) of one frame, which was checked when it was stored."""
    lines = content.rstrip("\n").split("\n")
    declared = _PROPERTIES.search(lines[1])
    species, position, column = 0, 1, 0
    if declared is not None:
        parts = (declared.group(1) or declared.group(2)).split(":")
        for name, _, width in zip(parts[::3], parts[1::3], parts[2::3], strict=False):
            if name.lower() == "species":
                species = column
            elif name.lower() == "pos":
                position = column
            column += int(width) if width.isdigit() else 1
    rows = [line.split() for line in lines[2:]]
    symbols = [re.match(r"[A-Z][a-z]?", row[species])[0] for row in rows]  # type: ignore[index]
    positions = np.array([[float(value) for value in row[position : position + 3]] for row in rows])
    keep = np.isfinite(positions).all(axis=1)
    return [symbol for symbol, is_kept in zip(symbols, keep, strict=True) if is_kept], positions[keep]
