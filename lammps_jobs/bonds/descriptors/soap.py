"""SOAP vectors of atoms, computed by DScribe and projected to fewer numbers by a fixed matrix.

The vector of an atom is scaled to length 1, as in Phys. Rev. Materials 4, 113603, multiplied by the projection's matrix
and rounded to `DECIMALS`. So different machines get the same numbers, except for a rare last digit where a rounding
error of 1e-15 decides a tie.
"""

from __future__ import annotations

from functools import cached_property
from importlib.metadata import version
from typing import Any

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers
from ase.neighborlist import neighbor_list

from lammps_jobs.bonds.descriptors.definition import DEFAULT, Definition, Projection
from lammps_jobs.bonds.errors import Refused
from lammps_jobs.bonds.structures.neighbours import require_periodic

__all__ = ["DECIMALS", "DEFAULT", "Definition", "Descriptor", "Projection"]

DECIMALS = 8
"""Decimals to which projected components are rounded. Components are at most about 1."""
BATCH = 512
"""Atoms whose full vectors (2,100 numbers each by default) are in memory at once."""


class Descriptor:
    """Computes the descriptor of a `Definition`.

    Parameters
    ----------
    definition
        The definition.

    Raises
    ------
    Refused
        If another version of DScribe is installed than the definition requires, or if the basis is missing.
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
        """Return the projected vector of each atom, shape (atoms, P).

        A bond's vector is half the sum of its atoms' vectors.
        Periodic images are neighbours like any other atom, in cells of any size.

        Raises
        ------
        Refused
            If the structure is not periodic, an element is not among the definition's species, or an atom has no
            neighbour within the cutoff.
        """
        inside = self._usable(structure)
        return self.atoms_at(inside, np.arange(len(inside)))

    def check(self, structure: Atoms) -> None:
        """Raise Refused if an element is not among the definition's species."""
        known = np.isin(structure.numbers, self._numbers)
        if not known.all():
            atom = int(np.argmin(known))
            raise Refused(
                f"atom {atom + 1} is {structure.symbols[atom]}, but the descriptor {self.definition.name} knows "
                f"{', '.join(self.definition.species)} only"
            )

    def atoms_at(self, structure: Atoms, centres: np.ndarray) -> np.ndarray:
        """Return the projected vectors of the atoms with the numbers `centres`, shape (centres, P).

        Nothing is checked, and atoms of a periodic structure must be inside its cell. A non-periodic part of a larger
        structure gives the same result as the whole structure if it contains all atoms within `reach` of every centre.
        """
        # Pass positions, because DScribe copies all positions for each centre that is given by number.
        places = structure.positions[centres]
        parts = [
            self._project(self._unit(structure, places[first : first + BATCH]))
            for first in range(0, len(places), BATCH)
        ]
        return np.concatenate(parts) if parts else np.empty((0, self.definition.projection.size))

    def unprojected(self, structure: Atoms) -> np.ndarray:
        """Return the full vectors of length 1, not projected, shape (atoms, length).

        Raises
        ------
        Refused
            As `atoms`.
        """
        inside = self._usable(structure)
        return self._unit(inside, inside.positions) if len(inside) else np.empty((0, self.length))

    @property
    def reach(self) -> float:
        """Distance up to which atoms contribute to a vector, Å.

        It is the cutoff, and what DScribe adds for the width of the Gaussians.
        """
        return self.definition.r_cut + float(self._soap.get_cutoff_padding())

    def _unit(self, structure: Atoms, places: np.ndarray) -> np.ndarray:
        vectors = np.atleast_2d(self._soap.create(structure, centers=places))
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    def _project(self, vectors: np.ndarray) -> np.ndarray:
        # Adding 0 turns -0.0 into 0.0, because JSON distinguishes them.
        return np.round(vectors @ self.matrix, DECIMALS) + 0.0

    def _usable(self, structure: Atoms) -> Atoms:
        """Return a copy with all atoms inside the cell. Raise Refused if its atoms can't be described."""
        require_periodic(structure)
        self.check(structure)
        self._check_neighbours(structure)
        # DScribe misses neighbours of atoms that are a whole cell outside, as in dumps of unwrapped positions.
        inside = structure.copy()
        inside.wrap()
        return inside

    def _check_neighbours(self, structure: Atoms) -> None:
        if not len(structure):
            return
        near = np.unique(neighbor_list("i", structure, self.definition.r_cut))
        if len(near) < len(structure):
            alone = int(np.setdiff1d(np.arange(len(structure)), near)[0])
            raise Refused(self.no_neighbour_message(alone, str(structure.symbols[alone])))

    def no_neighbour_message(self, atom: int, element: str) -> str:
        """Return the message for an atom without neighbours. Atoms are counted from 0."""
        return (
            f"atom {atom + 1} ({element}) has no neighbour within {self.definition.r_cut:g} Å: its environment is "
            f"empty, and nothing can be learned from it"
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
