"""Whether a tight-binding calculation that says it has converged is one that atoms could have made.

A self-consistent field can settle on charges that have nothing to do with the structure, above all in small metallic
cells: its energy looks like any other, and single bonds of it are off by a hundred eV. Three things are true of every
sound one, whatever the elements:

- **The electrons are there.** Its density holds as many as the elements have in their valence shells.
- **Pauli.** No orbital holds fewer than none or more than two of them. That is exact for orbitals that don't overlap;
  between those of neighbours it is the net population ``P_μμ``, which overlap raises a little: to 2.10 at most in all
  pairs of like atoms from hydrogen to radon that are 1.2 or 1.8 Å apart.
- **Chemistry.** No two atoms of a solid bind more than two that have but each other. With GFN1-xTB -ICOHP is 41 eV in
  N≡N, 51 in Mo₂, 65 in Os₂ at 1.8 Å, the most of all of these pairs there. It is negative where full shells are pressed
  into each other, down to -3 eV for Ne₂ at 1.8 Å. In cells of Cu, Zr and Al, also deformed ones, it was -4 to 13 eV.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from ase import Atoms

from lammps_jobs.bonds.errors import Refused
from lammps_jobs.bonds.types import LabeledBond

__all__ = ["MOST_IN_ORBITAL", "STRONGEST", "WEAKEST", "require_density", "require_energies", "valence_electrons"]

ELECTRON_TOLERANCE = 1e-5
"""Of their number."""
MOST_IN_ORBITAL = 2.5
FEWEST_IN_ORBITAL = -1e-6
STRONGEST, WEAKEST = 70.0, -10.0
"""-ICOHP of a bond, eV."""
_ADVICE = "another electronic temperature (--temperature) may lead to a sound one"


def require_density(
    structure: Atoms, method: str, owner: np.ndarray, density: np.ndarray, overlap: np.ndarray, occupations: np.ndarray
) -> None:
    """Refuse a density that no electrons could have.

    Parameters
    ----------
    structure
        That was calculated, n orbitals.
    method
        What calculated it, as tblite names it.
    owner
        The atom of each orbital, shape (n,).
    density, overlap
        P and S, shape (n, n).
    occupations
        Electrons in each molecular orbital, shape (n,).

    Raises
    ------
    Refused
        With what is wrong, the value, and what was expected.
    """
    found, filled = float(np.sum(density * overlap)), float(np.sum(occupations))
    expected = sum(valence_electrons(int(number), method) for number in structure.numbers)
    for what, count in (("its density holds", found), ("its orbitals hold", filled)):
        if not abs(count - expected) <= ELECTRON_TOLERANCE * expected:
            raise Refused(
                f"{method} lost electrons: {what} {count:.6f}, and {structure.get_chemical_formula()} has {expected} "
                f"valence electrons; {_ADVICE}"
            )
    populations = np.diag(density)
    sound = (populations >= FEWEST_IN_ORBITAL) & (populations <= MOST_IN_ORBITAL)
    if not sound.all():
        orbital = int(np.argmax(~sound))
        atom = int(owner[orbital])
        raise Refused(
            f"{method} converged to a state that can't be: an orbital of {structure.symbols[atom]}{atom + 1} holds "
            f"{populations[orbital]:.2f} electrons, expected 0 to 2 (at most {MOST_IN_ORBITAL:g} with what overlaps); "
            f"{_ADVICE}"
        )


def require_energies(bonds: list[LabeledBond], method: str) -> None:
    """Refuse labels of which one is stronger, or more repulsive, than any bond is.

    Parameters
    ----------
    bonds
        With ``icohp`` in eV.
    method
        What calculated them.

    Raises
    ------
    Refused
        Naming the first such bond, its energy and the bounds.
    """
    for bond in bonds:
        if not WEAKEST <= -bond.icohp <= STRONGEST:
            one, other = (f"{symbol}{atom + 1}" for symbol, atom in zip(bond.elements, (bond.i, bond.j), strict=True))
            raise Refused(
                f"{method} converged to a state that can't be: {one} and {other}, {bond.distance:.2f} Å apart, have a "
                f"-ICOHP of {-bond.icohp:.2f} eV, expected {WEAKEST:g} to {STRONGEST:g} as of any two atoms; {_ADVICE}"
            )


@lru_cache(maxsize=128)
def valence_electrons(number: int, method: str) -> int:
    """How many electrons an atom of this atomic number has in the method's orbitals: counted on one atom alone.

    Raises tblite's errors for an element that the method doesn't know.
    """
    from tblite.interface import Calculator

    calculator = Calculator(method, np.array([number]), np.zeros((1, 3)))
    calculator.set("verbosity", 0)
    return round(float(np.sum(calculator.singlepoint().get("orbital-occupations"))))
