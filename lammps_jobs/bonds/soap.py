"""SOAP vectors of atoms, by DScribe, projected to few numbers by a fixed matrix: what a bond's surroundings are.

The vector of an atom is scaled to length 1, as in Phys. Rev. Materials 4, 113603, multiplied by the projection's
matrix and rounded to `DECIMALS`: two nodes then agree bit for bit, but for the odd last digit where rounding errors
of 1e-15 meet a tie.
"""

from __future__ import annotations

from functools import cached_property
from importlib.metadata import version
from typing import Any

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers
from ase.neighborlist import neighbor_list

from lammps_jobs.bonds.definition import DEFAULT, Definition, Projection
from lammps_jobs.bonds.errors import Refused
from lammps_jobs.bonds.neighbours import require_periodic

__all__ = ["DECIMALS", "DEFAULT", "Definition", "Descriptor", "Projection"]

DECIMALS = 8
"""To which a projected component is rounded; components are at most about 1."""
BATCH = 512
"""Atoms whose whole vectors (2,100 numbers each by default) are in memory at once."""


class Descriptor:
    """What a `Definition` says, ready to be computed.

    Parameters
    ----------
    definition
        What to compute.

    Raises
    ------
    Refused
        If another version of DScribe is installed than the definition names, or its basis is not here.
    """

    def __init__(self, definition: Definition = DEFAULT) -> None:
        installed = version("dscribe")
        if installed != definition.dscribe:
            raise Refused(
                f"the descriptor {definition.name} is defined with DScribe {definition.dscribe}, but {installed} is "
                f"installed here: pip install dscribe=={definition.dscribe}, or make a new definition"
            )
        self.definition = definition
        self._numbers = np.array([atomic_numbers[element] for element in definition.species])

    @cached_property
    def matrix(self) -> np.ndarray:
        """The projection, shape (length of a SOAP vector, P)."""
        return self.definition.projection.matrix(self.length)

    @property
    def length(self) -> int:
        """Numbers in a SOAP vector before it is projected."""
        return int(self._soap.get_number_of_features())

    def atoms(self, structure: Atoms) -> np.ndarray:
        """The projected vector of each atom, shape (atoms, P); half the sum of two atoms' is their bond's.

        Periodic images are neighbours like any other atom, in cells of any size.

        Raises
        ------
        Refused
            If the structure is not periodic, an element is not among the definition's species, or an atom has no neighbour within its cutoff.
        """
        inside = self._usable(structure)
        return self.around(inside, np.arange(len(inside)))

    def check(self, structure: Atoms) -> None:
        """Refuse an element that is not among the species. Raises Refused."""
        known = np.isin(structure.numbers, self._numbers)
        if not known.all():
            atom = int(np.argmin(known))
            raise Refused(
                f"atom {atom + 1} is {structure.symbols[atom]}, but the descriptor {self.definition.name} knows "
                f"{', '.join(self.definition.species)} only"
            )

    def around(self, structure: Atoms, centres: np.ndarray) -> np.ndarray:
        """The projected vectors of the atoms with the numbers `centres`, shape (centres, P).

        Nothing is checked, and atoms of a periodic structure must lie in its cell. A part of a larger structure, not
        periodic, gives the same as the whole if it reaches `reach` beyond every centre.
        """
        # By position, since DScribe copies all positions for each centre that is given by number.
        places = structure.positions[centres]
        parts = [
            self._project(self._unit(structure, places[first : first + BATCH]))
            for first in range(0, len(places), BATCH)
        ]
        return np.concatenate(parts) if parts else np.empty((0, self.definition.projection.size))

    def whole(self, structure: Atoms) -> np.ndarray:
        """The vectors of length 1 before they are projected, shape (atoms, length): for whoever needs all of them.

        Raises
        ------
        Refused
            As `atoms`.
        """
        inside = self._usable(structure)
        return self._unit(inside, inside.positions) if len(inside) else np.empty((0, self.length))

    @property
    def reach(self) -> float:
        """How far an atom sees, in Å: the cutoff and what DScribe adds to it for the width of the Gaussians."""
        return self.definition.r_cut + float(self._soap.get_cutoff_padding())

    def _unit(self, structure: Atoms, places: np.ndarray) -> np.ndarray:
        vectors = np.atleast_2d(self._soap.create(structure, centers=places))
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    def _project(self, vectors: np.ndarray) -> np.ndarray:
        # Adding 0 makes -0.0 a 0.0, which JSON would keep apart.
        return np.round(vectors @ self.matrix, DECIMALS) + 0.0

    def _usable(self, structure: Atoms) -> Atoms:
        """A copy with all atoms inside the cell, or why its atoms can't be described."""
        require_periodic(structure)
        self.check(structure)
        self._check_company(structure)
        # DScribe misses neighbours of atoms that lie a whole cell outside, as dumps of unwrapped positions have them.
        inside = structure.copy()
        inside.wrap()
        return inside

    def _check_company(self, structure: Atoms) -> None:
        if not len(structure):
            return
        near = np.unique(neighbor_list("i", structure, self.definition.r_cut))
        if len(near) < len(structure):
            alone = int(np.setdiff1d(np.arange(len(structure)), near)[0])
            raise Refused(self.lonely(alone, str(structure.symbols[alone])))

    def lonely(self, atom: int, element: str) -> str:
        """What is said of an atom, counted from 0, without neighbours."""
        return (
            f"atom {atom + 1} ({element}) has no neighbour within {self.definition.r_cut:g} Å: its surroundings are "
            f"empty, and nothing can be learned from them"
        )

    @cached_property
    def _soap(self) -> Any:
        from dscribe.descriptors import SOAP

        definition = self.definition
        return SOAP(
            species=list(definition.species),
            r_cut=definition.r_cut,
            n_max=definition.n_max,
            l_max=definition.l_max,
            sigma=definition.sigma,
            rbf=definition.rbf,
            periodic=True,
        )
