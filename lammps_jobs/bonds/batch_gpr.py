"""The Gaussian process of Phys. Rev. Materials 4, 113603 as its scripts fit it: in a batch, by solving for all bonds.

What is learned bond by bond is measured against it. The kernel is
``exp(-(d-d')²/2θ²) · (½(sA+sB)·½(s'A+s'B))^ζ`` on whole unit SOAP vectors; to its matrix γ·std(y) is added on the
diagonal, where std(y) is the standard deviation of the learned strengths. The mean is zero.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["GAMMA", "MOST", "THETA", "BatchGPR", "kernel"]

ZETA = 1.0
THETA = {"Zr-Cu": 1.0, "Zr-Zr": 0.5, "Cu-Cu": 0.5, "Zr-Al": 0.5, "Cu-Al": 0.5, "Al-Al": 0.5}
"""Width of the radial kernel in Å, per type of bond, as in the published scripts; 0.5 for others."""
GAMMA = {"Zr-Cu": 0.040, "Zr-Zr": 0.010, "Cu-Cu": 0.010, "Zr-Al": 0.010, "Cu-Al": 0.005, "Al-Al": 0.005}
"""Regularisation γ in 1/eV, per type of bond, as in the published scripts; 0.010 for others."""
MOST = 2000
"""Bonds of a type that are learned, as in the paper; of more, a random choice."""


def kernel(
    distance: np.ndarray, soap: np.ndarray, others: np.ndarray, other_soap: np.ndarray, theta: float, zeta: float = ZETA
) -> np.ndarray:
    """The kernel between n and m bonds.

    Parameters
    ----------
    distance, others
        Å, shape (n,) and (m,).
    soap, other_soap
        ½(sA+sB) of each, shape (n, L) and (m, L).
    theta
        θ, Å.
    zeta
        ζ.

    Returns
    -------
    Shape (n, m).
    """
    radial = np.exp(np.subtract.outer(distance, others) ** 2 / (-2.0 * theta**2))
    return radial * (soap @ other_soap.T) ** zeta


@dataclass
class BatchGPR:
    """The process of one type of bond, fitted.

    Attributes
    ----------
    distance, soap
        The learned bonds', shape (n,) and (n, L).
    weights
        ``(K + γ·std(y)·1)⁻¹ y``, shape (n,).
    theta
        θ, Å.
    """

    distance: np.ndarray
    soap: np.ndarray
    weights: np.ndarray
    theta: float

    @classmethod
    def fit(
        cls, kind: str, distance: np.ndarray, soap: np.ndarray, strength: np.ndarray, random: np.random.Generator
    ) -> BatchGPR:
        """Fit it with the paper's hyperparameters of a type of bond.

        Parameters
        ----------
        kind
            Such as ``Zr-Cu``.
        distance, soap, strength
            Å, shape (n,); ½(sA+sB), shape (n, L); -ICOHP in eV, shape (n,).
        random
            Chooses `MOST` bonds where there are more.
        """
        if len(strength) > MOST:
            chosen = np.sort(random.permutation(len(strength))[:MOST])
            distance, soap, strength = distance[chosen], soap[chosen], strength[chosen]
        theta = THETA.get(kind, 0.5)
        matrix = kernel(distance, soap, distance, soap, theta)
        # One bond alone has no standard deviation.
        matrix[np.diag_indices(len(matrix))] += GAMMA.get(kind, 0.010) * (float(np.std(strength)) or 1.0)
        return cls(distance, soap, np.linalg.solve(matrix, strength), theta)

    def predict(self, distance: np.ndarray, soap: np.ndarray) -> np.ndarray:
        """-ICOHP in eV of m bonds, shape (m,), from their distances, shape (m,), and ½(sA+sB), shape (m, L)."""
        return kernel(distance, soap, self.distance, self.soap, self.theta) @ self.weights
