"""Plausibility checks of a converged tight-binding calculation.

A self-consistent field can converge to charges that have nothing to do with the structure, mostly in small metallic
cells. The total energy looks normal then, but single bonds are wrong by a hundred eV. Every valid calculation passes
three checks, for all elements:

- **Number of electrons.** The density contains as many electrons as the elements have in their valence shells.
- **Pauli principle.** Each orbital holds 0 to 2 electrons. This is exact for orbitals that don't overlap. For
  overlapping ones it applies to the net population ``P_μμ``, which overlap raises a little: to at most 2.10 in all
  pairs of like atoms from hydrogen to radon at 1.2 or 1.8 Å.
- **Bond strength.** Two atoms in a solid don't bind more strongly than two isolated atoms. With GFN1-xTB, -ICOHP is
  41 eV in N≡N, 51 in Mo₂ and 65 in Os₂ at 1.8 Å, the largest value of all these pairs. It is negative if full shells
  are pressed into each other, down to -3 eV for Ne₂ at 1.8 Å. In cells of Cu, Zr and Al, also deformed ones, it was
  -4 to 13 eV.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from ase import Atoms

from lammps_jobs.bonds.errors import Refused
from lammps_jobs.bonds.types import LabeledBond

__all__ = ["MOST_IN_ORBITAL", "STRONGEST", "WEAKEST", "require_density", "require_energies", "valence_electrons"]

ELECTRON_TOLERANCE = 1e-5
"""Relative tolerance of the number of electrons."""
MOST_IN_ORBITAL = 2.5
FEWEST_IN_ORBITAL = -1e-6
STRONGEST, WEAKEST = 70.0, -10.0
"""Limits of -ICOHP of a bond, eV."""
_ADVICE = "another electronic temperature (--temperature) may help"


def require_density(
    structure: Atoms, method: str, owner: np.ndarray, density: np.ndarray, overlap: np.ndarray, occupations: np.ndarray
) -> None:
    """Refuse a density with a wrong number of electrons, or with more than two electrons in an orbital.

    Parameters
    ----------
    structure
        The structure, with n orbitals.
    method
        tblite's name of the method.
    owner
        Atom of each orbital, shape (n,).
    density, overlap
        Density matrix P and overlap matrix S, shape (n, n).
    occupations
        Electrons in each molecular orbital, shape (n,).

    Raises
    ------
    Refused
        With the problem, the value, and what was expected.
    """
    found, filled = float(np.sum(density * overlap)), float(np.sum(occupations))
    expected = sum(valence_electrons(int(number), method) for number in structure.numbers)
    for what, count in (("its density holds", found), ("its orbitals hold", filled)):
        if not abs(count - expected) <= ELECTRON_TOLERANCE * expected:
            raise Refused(
                f"{method} lost electrons: {what} {count:.6f}, but {structure.get_chemical_formula()} has {expected} "
                f"valence electrons; {_ADVICE}"
            )
    populations = np.diag(density)
    sound = (populations >= FEWEST_IN_ORBITAL) & (populations <= MOST_IN_ORBITAL)
    if not sound.all():
        orbital = int(np.argmax(~sound))
        atom = int(owner[orbital])
        raise Refused(
            f"{method} converged to an impossible state: an orbital of {structure.symbols[atom]}{atom + 1} holds "
            f"{populations[orbital]:.2f} electrons, expected 0 to 2 (at most {MOST_IN_ORBITAL:g} with overlap); "
            f"{_ADVICE}"
        )


def require_energies(bonds: list[LabeledBond], method: str) -> None:
    """Refuse labels if a bond is stronger or more repulsive than any real bond.

    Parameters
    ----------
    bonds
        Bonds with ``icohp`` in eV.
    method
        Name of the method.

    Raises
    ------
    Refused
        With the first such bond, its energy and the limits.
    """
    for bond in bonds:
        if not WEAKEST <= -bond.icohp <= STRONGEST:
            one, other = (f"{symbol}{atom + 1}" for symbol, atom in zip(bond.elements, (bond.i, bond.j), strict=True))
            raise Refused(
                f"{method} converged to an impossible state: {one} and {other}, {bond.distance:.2f} Å apart, have a "
                f"-ICOHP of {-bond.icohp:.2f} eV, expected {WEAKEST:g} to {STRONGEST:g} as of any two atoms; {_ADVICE}"
            )


@lru_cache(maxsize=128)
def valence_electrons(number: int, method: str) -> int:
    """Return the number of electrons of an atom in the method's orbitals, from a calculation of a single atom.

    Raises tblite's errors for an element that the method doesn't support.
    """
    from tblite.interface import Calculator

    calculator = Calculator(method, np.array([number]), np.zeros((1, 3)))
    calculator.set("verbosity", 0)
    return round(float(np.sum(calculator.singlepoint().get("orbital-occupations"))))
