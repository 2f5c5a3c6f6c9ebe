"""Batch Gaussian process regression as in the scripts of Phys. Rev. Materials 4, 113603: all bonds are fitted at once.

Models that learn bond by bond are compared with it. The kernel is ``exp(-(d-d')²/2θ²) · (½(sA+sB)·½(s'A+s'B))^ζ`` on
full unit SOAP vectors. γ·std(y) is added to the diagonal of its matrix, where std(y) is the standard deviation of the
learned strengths. The mean is zero.
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
"""Most bonds of a type that are learned, as in the paper. If there are more, a random choice is learned."""


def kernel(
    distance: np.ndarray, soap: np.ndarray, others: np.ndarray, other_soap: np.ndarray, theta: float, zeta: float = ZETA
) -> np.ndarray:
    """Return the kernel matrix of n and m bonds.

    Parameters
    ----------
    distance, others
        Lengths of the bonds, Å, shape (n,) and (m,).
    soap, other_soap
        ½(sA+sB) of each bond, shape (n, L) and (m, L).
    theta
        Width θ of the radial kernel, Å.
    zeta
        Exponent ζ.

    Returns
    -------
    Shape (n, m).
    """
    radial = np.exp(np.subtract.outer(distance, others) ** 2 / (-2.0 * theta**2))
    return radial * (soap @ other_soap.T) ** zeta


@dataclass
class BatchGPR:
    """The fitted Gaussian process of one type of bond.

    Attributes
    ----------
    distance, soap
        Lengths and ½(sA+sB) of the learned bonds, shape (n,) and (n, L).
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
        """Return the fitted process, with the paper's hyperparameters of a type of bond.

        Parameters
        ----------
        kind
            Type of bond, such as ``Zr-Cu``.
        distance, soap, strength
            Lengths in Å, shape (n,); ½(sA+sB), shape (n, L); -ICOHP in eV, shape (n,).
        random
            Generator for the choice of `MOST` bonds if there are more.
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
        """Return -ICOHP of m bonds in eV, shape (m,), from their lengths in Å (m,) and ½(sA+sB) (m, L)."""
        return kernel(distance, soap, self.distance, self.soap, self.theta) @ self.weights
