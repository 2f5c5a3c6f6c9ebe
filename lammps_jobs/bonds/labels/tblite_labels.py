"""Bond strengths without DFT: -ICOHP from a tight-binding calculation with tblite (GFN1-xTB).

These labels need only Python packages, and replace those of LOBSTER, in the same format. On a reference cell their
correlation with DFT is 0.88 to 0.99, depending on the bond type (``docs/how-to/bonds.md``; the row ``labels`` of ``make
bench`` measures it). They are another quantity on another scale: never mix the two on one stream.

References
---------- R. Dronskowski, P. E. Blöchl, Crystal orbital Hamilton populations, J. Phys. Chem. 97, 8617 (1993): the COHP
of two atoms is their orbitals' densities of states times the elements of the Hamiltonian. Its integral up to the Fermi
level is ``Σ P_μν H_μν`` over both, with the density matrix P of both spins. S. Grimme, C. Bannwarth, P. Shushkov, J.
Chem. Theory Comput. 13, 1989 (2017): GFN1-xTB.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
from ase import Atoms
from ase.units import Bohr, Hartree, kB

from lammps_jobs.bonds.errors import Refused
from lammps_jobs.bonds.labels.plausibility import require_density, require_energies
from lammps_jobs.bonds.structures.neighbours import LONGEST, SHORTEST, Bonds, find
from lammps_jobs.bonds.types import LabeledBond

__all__ = ["METHOD", "icohp_matrix", "label"]

METHOD = "GFN1-xTB"


def label(
    structure: Atoms,
    shortest: float = SHORTEST,
    longest: float = LONGEST,
    *,
    iterations: int = 250,
    temperature: float = 300.0,
) -> list[LabeledBond]:
    """Calculate the energy of every bond of a structure.

    Parameters
    ----------
    structure
        Periodic, in Å. It must be so large that no atom is bonded to two images of another one. A cell wider than twice
        `longest` is always large enough. A 100-atom cell takes some minutes on one processor; `OMP_NUM_THREADS` sets
        the number of processors.
    shortest, longest
        Shortest and longest bond, Å.
    iterations
        Most iterations of the self-consistent field.
    temperature
        Electronic temperature, K.

    Returns
    -------
    list of LabeledBond
        In the order of `neighbours.find`; ``icohp`` in eV is ``2 · Σ P_μν H_μν`` over the orbitals μ of one atom and
        ν of the other.

    Raises
    ------
    Refused
        If the calculation does not converge, converges to an impossible state (see `plausibility`) or does not support
        an element, if an atom is bonded to two images of another one, or if there is no bond.
    """
    bonds = find(structure, shortest, longest)
    _one_image_each(structure, bonds, longest)
    energies = icohp_matrix(structure, iterations=iterations, temperature=temperature)
    symbols = structure.get_chemical_symbols()
    labeled = [
        LabeledBond(
            bond.i, bond.j, bond.translation, bond.distance, (symbols[bond.i], symbols[bond.j]),
            float(energies[bond.i, bond.j]),
        )
        for bond in bonds
    ]  # fmt: skip
    require_energies(labeled, METHOD)
    return labeled


def icohp_matrix(structure: Atoms, *, iterations: int = 250, temperature: float = 300.0) -> np.ndarray:
    """Return the ICOHP between every two atoms, summed over all their images, in eV; shape (atoms, atoms), symmetric.

    The calculation is at the Γ point, where an orbital represents all its images. Raises Refused like `label`.
    """
    from tblite.exceptions import TBLiteRuntimeError, TBLiteValueError
    from tblite.interface import Calculator

    try:
        calculator = Calculator(
            METHOD,
            structure.numbers,
            structure.positions / Bohr,
            lattice=structure.cell.array / Bohr,
            periodic=np.array([True, True, True]),
        )
        calculator.set("verbosity", 0)
        calculator.set("save-integrals", 1)
        calculator.set("max-iter", iterations)
        calculator.set("temperature", temperature * kB / Hartree)
        result: Any = calculator.singlepoint()
    except (TBLiteRuntimeError, TBLiteValueError) as error:
        raise Refused(f"{METHOD} gives no labels for {structure.get_chemical_formula()}: {_said(error)}") from error
    density, hamiltonian = result.get("density-matrix"), result.get("hamiltonian-matrix")
    owner = calculator.get("shell-map")[calculator.get("orbital-map")]
    overlap, occupations = result.get("overlap-matrix"), result.get("orbital-occupations")
    require_density(structure, METHOD, owner, density, overlap, occupations)
    products = density * hamiltonian
    first = np.flatnonzero(np.diff(owner, prepend=-1))
    blocks = np.add.reduceat(np.add.reduceat(products, first, axis=0), first, axis=1)
    return (blocks + blocks.T) * Hartree


def _one_image_each(structure: Atoms, bonds: Bonds, longest: float) -> None:
    if len(bonds) == 0:
        raise Refused(f"there is no bond to label: no two atoms are within {longest} Å of each other")
    counts = Counter(zip(bonds.i.tolist(), bonds.j.tolist(), strict=True))
    for (i, j), count in counts.items():
        if i == j or count > 1:
            symbols = structure.get_chemical_symbols()
            raise Refused(
                f"the cell is too small: {symbols[i]}{i + 1} is bonded to {count} images of "
                f"{symbols[j]}{j + 1}{' (itself)' if i == j else ''} within {longest} Å, and {METHOD} gives one energy "
                f"for all of them; repeat the cell until it is {2 * longest:g} Å wide"
            )


def _said(error: Exception) -> str:
    text = " ".join(str(error).split())
    if "not converged" in text:
        return f"{text} (more iterations or a higher electronic temperature may help)"
    return text
