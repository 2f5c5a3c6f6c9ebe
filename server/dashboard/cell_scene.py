"""Pictures of a cell: what colors its bonds, the bins of the colors, a projection as SVG, and what the 3D view is made of."""

import math
from collections import defaultdict
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from server.cells.cell_bonds import CellBonds
from server.dashboard.formatting import number

BINS = 7
NO_VALUE = "none"
MOST_ATOMS = 2000
"""Most atoms that are drawn; of a larger structure, those of the bonds that are shown."""

ELEMENT_TONES = 6
VIEWS = {"z": (0, 1, 2), "x": (1, 2, 0), "y": (2, 0, 1)}
"""By the axis that points to the reader: the axes across and up, and that axis."""

WIDTH, MARGIN = 640.0, 12.0
ATOM = 5.0


@dataclass(frozen=True)
class Coloring:
    """What the bonds are colored by.

    Attributes
    ----------
    name
        ``strength``, ``residual`` or ``uncertainty``.
    label
        What it is, with its unit.
    edges
        The inner edges of the bins, ascending, ``BINS - 1`` of them; empty if no bond has a value.
    is_signed
        Whether the middle bin is around zero.
    """

    name: str
    label: str
    edges: list[float]
    is_signed: bool

    def bins(self, values: np.ndarray) -> list[int | None]:
        """Return the bin of each value; None where there is no value."""
        if not self.edges:
            return [None] * len(values)
        places = np.searchsorted(self.edges, values, side="right").tolist()
        return [place if math.isfinite(value) else None for place, value in zip(places, values.tolist(), strict=True)]

    @property
    def legend(self) -> list[tuple[int, str]]:
        """The bins, from the lowest, and the values that they stand for."""
        if not self.edges:
            return []
        shown = [number(edge, 3) for edge in self.edges]
        texts = [
            f"below {shown[0]}",
            *(f"{a} to {b}" for a, b in pairwise(shown)),
            f"from {shown[-1]}",
        ]
        return list(enumerate(texts))


def coloring(name: str, label: str, values: np.ndarray) -> Coloring:
    """Return bins for these values. The highest and the lowest 2 % are in the outermost bins, so that one outlier hides nothing."""
    known = values[np.isfinite(values)]
    is_signed = name == "residual"
    if not len(known):
        return Coloring(name, label, [], is_signed)
    if is_signed:
        high = float(np.quantile(np.abs(known), 0.98)) or 1e-9
        low = -high
    else:
        low, high = (float(edge) for edge in np.quantile(known, [0.02, 0.98]))
    if not high > low:
        low, high = low - abs(low) * 0.05 - 1e-9, high + abs(high) * 0.05 + 1e-9
    return Coloring(name, label, np.linspace(low, high, BINS + 1)[1:-1].tolist(), is_signed)


def shown_atoms(bonds: CellBonds) -> list[int]:
    """Return the atoms that are drawn."""
    if bonds.atoms is None:
        return []
    if len(bonds.atoms) <= MOST_ATOMS or bonds.placed is None:
        return list(range(min(len(bonds.atoms), MOST_ATOMS)))
    ends = np.concatenate((bonds.placed.i, bonds.placed.j))
    return np.unique(ends[ends >= 0]).tolist()


def elements(bonds: CellBonds) -> list[str]:
    """Return the elements of the structure, sorted."""
    return [] if bonds.atoms is None else sorted(set(bonds.atoms.elements))


def sticks(bonds: CellBonds, index: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return the ends of the lines that show a bond: one, or two halves if it crosses the edge of the cell."""
    if bonds.placed is None or bonds.atoms is None or bonds.placed.i[index] < 0:
        return []
    start, end = bonds.atoms.positions[bonds.placed.i[index]], bonds.atoms.positions[bonds.placed.j[index]]
    shift = bonds.placed.shift[index] @ bonds.atoms.lattice
    if not shift.any():
        return [(start, end)]
    half = (end + shift - start) / 2
    return [(start, start + half), (end, end - half)]


class Projection:
    """A projection of a cell along one axis, as SVG."""

    def __init__(self, bonds: CellBonds, view: str) -> None:
        assert bonds.atoms is not None
        self._bonds, self._atoms = bonds, bonds.atoms
        self._across, self._up, self._depth = VIEWS[view]
        self._view = view
        corners = np.array([[a, b, c] for a in (0, 1) for b in (0, 1) for c in (0, 1)]) @ self._atoms.lattice
        self._shown = shown_atoms(bonds)
        ends = [end for index in range(len(bonds)) for line in sticks(bonds, index) for end in line]
        points = np.array([*corners, *self._atoms.positions[self._shown], *ends])[:, [self._across, self._up]]
        self._low, high = points.min(axis=0), points.max(axis=0)
        extent = high - self._low
        self._scale = (WIDTH - 2 * MARGIN) / max(float(extent.max()), 1e-6)
        self.width, self.height = (float(size) * self._scale + 2 * MARGIN for size in extent)
        self._corners = corners

    def _at(self, point: np.ndarray) -> tuple[float, float]:
        across = MARGIN + (point[self._across] - self._low[0]) * self._scale
        return across, self.height - MARGIN - (point[self._up] - self._low[1]) * self._scale

    def _path(self, lines: list[tuple[np.ndarray, np.ndarray]]) -> str:
        found = []
        for start, end in lines:
            (a, b), (c, d) = self._at(start), self._at(end)
            found.append(f"M{a:.1f},{b:.1f}L{c:.1f},{d:.1f}")
        return "".join(found)

    def svg(
        self, bins: list[int | None], said: str, chosen: list[int], is_signed: bool, atom: int | None
    ) -> SafeString:
        """Return the picture.

        Parameters
        ----------
        bins
            The bin of each bond.
        said
            A sentence for those who don't see it.
        chosen
            Indexes of the selected bonds.
        is_signed
            Whether the bins have colors to both sides of zero.
        atom
            The selected atom.
        """
        by_bin: dict[str, list[tuple[np.ndarray, np.ndarray]]] = defaultdict(list)
        for index, place in enumerate(bins):
            by_bin[NO_VALUE if place is None else str(place)] += sticks(self._bonds, index)
        order = sorted(by_bin, key=lambda name: -1.0 if name == NO_VALUE else _strength(int(name), is_signed))
        bonds = format_html_join(
            "", '<path class="bond bin-{}" d="{}"/>', ((name, self._path(by_bin[name])) for name in order)
        )
        tones = {element: place % ELEMENT_TONES for place, element in enumerate(elements(self._bonds))}
        by_depth = sorted(self._shown, key=lambda one: self._atoms.positions[one][self._depth])
        atoms = format_html_join(
            "",
            '<circle class="atom tone-{}" cx="{}" cy="{}" r="{}"/>',
            (
                (
                    tones[self._atoms.elements[one]],
                    *(f"{value:.1f}" for value in self._at(self._atoms.positions[one])),
                    ATOM,
                )
                for one in by_depth
            ),
        )
        marked: list[SafeString] = []
        if chosen:
            path = self._path([line for index in chosen for line in sticks(self._bonds, index)])
            marked.append(format_html('<path class="chosen" d="{}"/>', path))
        if atom is not None:
            x, y = (f"{value:.1f}" for value in self._at(self._atoms.positions[atom]))
            marked.append(format_html('<circle class="chosen" cx="{}" cy="{}" r="{}"/>', x, y, ATOM + 3))
        palette = "signed" if is_signed else "scale"
        return format_html(
            '<svg class="cell-picture {}" viewBox="0 0 {} {}" role="img" aria-label="{}"><path class="box" d="{}"/>{}{}{}</svg>',
            palette, round(self.width), round(self.height), said, self._path(self._box()), bonds, atoms,
            format_html_join("", "{}", ((one,) for one in marked)),
        )  # fmt: skip

    def _box(self) -> list[tuple[np.ndarray, np.ndarray]]:
        corners = self._corners
        return [(corners[a], corners[a | bit]) for a in range(8) for bit in (1, 2, 4) if not a & bit]


def _strength(place: int, is_signed: bool) -> float:
    """Return what is drawn last: the largest values."""
    return abs(place - (BINS - 1) / 2) if is_signed else place


def listed(values: np.ndarray) -> list[float | None]:
    """Return numbers with seven digits, for a picture; None for what isn't finite."""
    return [float(f"{value:.7g}") if math.isfinite(value) else None for value in values.tolist()]


def scene(bonds: CellBonds) -> dict[str, Any]:
    """Return what the 3D view is made of: atoms, the cell's edges and the ends of each bond, in Å."""
    if bonds.atoms is None or bonds.placed is None:
        return {"atoms": [], "lattice": [], "bonds": []}
    names = elements(bonds)
    return {
        "elements": names,
        "atoms": [
            [one, names.index(bonds.atoms.elements[one]), *np.round(bonds.atoms.positions[one], 4).tolist()]
            for one in shown_atoms(bonds)
        ],
        "lattice": bonds.atoms.lattice.tolist(),
        "i": bonds.placed.i.tolist(),
        "j": bonds.placed.j.tolist(),
        "sticks": [
            [np.round(np.concatenate(line), 4).tolist() for line in sticks(bonds, index)] for index in range(len(bonds))
        ],
    }
