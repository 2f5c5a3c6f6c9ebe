"""The predecessor's way to predict a bond: a Python loop over the training bonds of its type.

As the scripts do that were published with Phys. Rev. Materials 4, 113603: for each training bond, its line is taken
apart, the whole SOAP vectors of its atoms are looked up by name, and four scalar products make up the kernel.
"""

import time

import numpy as np

from lammps_jobs.bonds.learning.cell_observations import Cell

__all__ = ["Loop", "Training"]

THETA, NOISE = 0.5, 0.01


class Training:
    """Training bonds of one type: a line of text each, SOAP vectors by the names in it, and the kernel's weights.

    Parameters
    ----------
    cell
        A labeled cell.
    soap
        Its atoms' whole vectors of length 1, shape (atoms, 2100).
    chosen
        Which of its bonds.
    """

    def __init__(self, cell: Cell, soap: np.ndarray, chosen: np.ndarray) -> None:
        bonds = cell.bonds.take(chosen)
        self.lines = [
            f"Zr49Cu49Al2 21 00 {i} {j} {distance:.5f} {strength:.5f}\n"
            for i, j, distance, strength in zip(bonds.i, bonds.j, bonds.distance, cell.strength[chosen], strict=True)
        ]
        self.soap = {f"Zr49Cu49Al2-21-00-{atom}": vector for atom, vector in enumerate(soap)}
        half = 0.5 * (soap[bonds.i] + soap[bonds.j])
        lengths = bonds.distance[:, None] - bonds.distance[None, :]
        kernel = np.exp(-(lengths**2) / (2 * THETA**2)) * (half @ half.T)
        strength = cell.strength[chosen]
        self.weights = np.linalg.solve(kernel + NOISE * strength.std() * np.identity(len(chosen)), strength)


class Loop:
    """Predicts bonds as the predecessor does.

    Parameters
    ----------
    cell
        A labeled cell, whose bonds are learned and predicted: the time is the same as with any others.
    soap
        Its atoms' whole vectors of length 1, shape (atoms, 2100).
    training
        Training bonds a type; some are taken twice where the cell has fewer.
    """

    def __init__(self, cell: Cell, soap: np.ndarray, training: int) -> None:
        self.cell, self._soap = cell, soap
        random = np.random.default_rng(0)
        self._training = {
            str(kind): Training(cell, soap, random.choice(np.flatnonzero(cell.types == kind), training))
            for kind in np.unique(cell.types)
        }

    def strength(self, number: int) -> float:
        """-ICOHP in eV of one bond of the cell."""
        bond = self.cell.bonds[number]
        training = self._training[self.cell.types[number]]
        a, b = self._soap[bond.i], self._soap[bond.j]
        strength = 0.0
        for row in range(len(training.lines)):
            line = training.lines[row]
            distance = float(line.split()[5])
            one = line.split()[0] + "-" + line.split()[1] + "-" + line.split()[2] + "-" + line.split()[3]
            two = line.split()[0] + "-" + line.split()[1] + "-" + line.split()[2] + "-" + line.split()[4]
            first, second = training.soap[one], training.soap[two]
            products = np.dot(a, first) + np.dot(b, second) + np.dot(a, second) + np.dot(b, first)
            kernel = np.exp(-((bond.distance - distance) ** 2) / (2 * THETA**2)) * (0.25 * products) ** 1.0
            strength += training.weights[row] * kernel
        return float(strength)

    def measure(self, chosen: np.ndarray) -> float:
        """Seconds that it takes to predict the bonds with these numbers."""
        before = time.perf_counter()
        for number in chosen.tolist():
            self.strength(number)
        return time.perf_counter() - before
