"""Computes the basis of a projection from generated structures: ``python -m lammps_jobs.bonds.basis FILE.npy``.

The structures are random close packings of soft spheres with the elements' metallic radii: unchanged, sheared, and
stretched or compressed, with compositions from the whole ternary diagram. They are not glasses, but their atomic
environments cover those of a glass. The basis consists of the leading eigenvectors of the second moment of their SOAP
vectors. So scalar products of projected vectors are nearly those of the full vectors, and the kernel of Phys. Rev.
Materials 4, 113603 hardly changes: on cells of Zr49Cu49Al2 from molecular dynamics, a basis of 64 rows loses 5e-5 of
the squared length (32 rows: 4e-4).
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.neighborlist import neighbor_list

from lammps_jobs.bonds.descriptors.definition import DEFAULT, Definition
from lammps_jobs.bonds.descriptors.unprojected_soap import unit_vectors

__all__ = ["basis", "packing", "packings"]

RADII = {"Al": 1.43, "Cu": 1.28, "Zr": 1.60}
"""Metallic radii for twelve neighbours, Å."""
VOLUMES = {"Al": 16.6, "Cu": 11.8, "Zr": 23.3}
"""Volume of an atom in its element's crystal, Å³."""
SEED, PACKINGS, ATOMS, ROUNDS = 1, 60, 100, 150


def packing(counts: dict[str, int], random: np.random.Generator) -> Atoms:
    """Return a random packing: atoms at random positions, pushed apart until they hardly overlap.

    Parameters
    ----------
    counts
        Number of atoms of each element in `RADII`.
    random
        Generator of the initial positions.
    """
    symbols = [element for element, count in counts.items() for _ in range(count)]
    edge = sum(VOLUMES[element] for element in symbols) ** (1 / 3)
    atoms = Atoms(symbols, scaled_positions=random.random((len(symbols), 3)), cell=[edge] * 3, pbc=True)
    radii = 0.98 * np.array([RADII[element] for element in symbols])
    for _ in range(ROUNDS):
        i, j, distance, vector = neighbor_list("ijdD", atoms, 4.0)
        overlap = radii[i] + radii[j] - distance
        near = overlap > 0
        push = np.zeros((len(symbols), 3))
        strength = 0.4 * overlap[near] / np.maximum(distance[near], 1e-6)
        np.add.at(push, i[near], -strength[:, None] * vector[near])
        length = np.linalg.norm(push, axis=1, keepdims=True)
        atoms.positions += push / np.maximum(1.0, length / 0.3)
    return atoms


def packings(number: int = PACKINGS, seed: int = SEED) -> Iterator[Atoms]:
    """Yield structures of all compositions, three of each packing: unchanged, sheared by up to 0.5, and strained."""
    random = np.random.default_rng(seed)
    for _ in range(number):
        shares = random.multinomial(ATOMS, random.dirichlet([1.2, 2.0, 2.0]))
        packed = packing(dict(zip(("Al", "Cu", "Zr"), shares.tolist(), strict=True)), random)
        shear = np.eye(3)
        row, column = random.choice(3, 2, replace=False)
        shear[row, column] = random.uniform(-0.5, 0.5)
        for deformation in (np.eye(3), shear, np.diag(random.uniform(0.8, 1.05, 3))):
            structure = packed.copy()  # type: ignore[no-untyped-call]
            structure.set_cell(packed.cell.array @ deformation, scale_atoms=True)
            structure.positions += random.normal(0.0, 0.05, structure.positions.shape)
            yield structure


def basis(structures: Iterator[Atoms], definition: Definition, size: int) -> np.ndarray:
    """Return the leading eigenvectors of the second moment of all atoms' unit SOAP vectors.

    Parameters
    ----------
    structures
        Structures whose vectors are used.
    definition
        How the vectors are computed. Its projection is ignored.
    size
        Number of rows.

    Returns
    -------
    Shape (size, length of a SOAP vector), float32; the largest entry of each row is positive.
    """
    moment: Any = 0.0
    for structure in structures:
        vectors = unit_vectors(structure, definition)
        moment = moment + vectors.T @ vectors
    _, eigenvectors = np.linalg.eigh(moment)
    rows = eigenvectors[:, ::-1][:, :size].T
    largest = np.take_along_axis(rows, np.abs(rows).argmax(axis=1)[:, None], axis=1)
    return (rows * np.sign(largest)).astype(np.float32)


def main() -> int:
    """Write the basis of the default definition into the file named on the command line."""
    if len(sys.argv) != 2 or not sys.argv[1].endswith(".npy"):
        print("expected one argument: the file to write, FILE.npy", file=sys.stderr)
        return 2
    path = Path(sys.argv[1])
    np.save(path, basis(packings(), DEFAULT, 64))
    print(f"{path}: 64 rows, {path.stat().st_size} bytes")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
