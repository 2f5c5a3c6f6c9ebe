"""`BondMap`: explicit feature map of a kernel for bonds: a radial basis of the distance times a SOAP vector."""

from __future__ import annotations

import numpy as np
from scipy.linalg import solve_triangular

__all__ = ["BondMap"]

_FLOOR = 1e-9


class BondMap:
    """Columns whose scalar product is the kernel ``exp(-(d-d')²/2θ²) · (s·s')^ζ``.

    The radial part is Nyström's approximation [^1]. The centres are spread evenly over the range of distances, and
    ``K = LLᵀ`` is the kernel matrix on them. Then the scalar product of the columns ``L⁻¹ k(centres, d)`` is the
    kernel: exactly at the centres, and to 1e-3 between them if they are at most θ apart.

    The other part is ``s`` itself for ζ = 1. For ζ = 2, it consists of products ``sᵢsⱼ`` (times √2 if i < j). There are
    as many products as numbers in ``s``: those with the smallest ``(i+1)(j+1)``, because the later numbers of a
    projection by eigenvectors are small.

    Parameters
    ----------
    theta
        Width θ of the radial kernel, Å.
    zeta
        Exponent ζ, 1 or 2.
    centres
        Number of centres, R.
    shortest, longest
        Distances of the first and the last centre, Å.
    components
        Number of components of a projected SOAP vector, P. 0 leaves that part out.

    References
    ----------
    [^1]: Williams and Seeger (2001), *Using the Nyström method to speed up kernel machines*.
    """

    def __init__(self, theta: float, zeta: int, centres: int, shortest: float, longest: float, components: int) -> None:
        self.scale = -0.5 / theta**2
        self.components = components
        self.centres = np.linspace(shortest, longest, centres)
        kernel = np.exp(self.scale * np.subtract.outer(self.centres, self.centres) ** 2)
        kernel[np.diag_indices(centres)] += _FLOOR
        self.whitener = solve_triangular(np.linalg.cholesky(kernel), np.eye(centres), lower=True)
        self.left: np.ndarray | None = None
        self.right: np.ndarray | None = None
        self.factor: np.ndarray | None = None
        if zeta == 2:
            self.left, self.right = _products(components)
            self.factor = np.where(self.left == self.right, 1.0, 2.0**0.5)

    @property
    def size(self) -> int:
        """Number of columns, D = R · max(P, 1)."""
        return len(self.centres) * max(self.components, 1)

    def one(self, distance: float, soap: np.ndarray) -> np.ndarray:
        """Returns the columns of one bond, shape (D,), from its distance (Å) and its ``s``, shape (P,)."""
        radial = self.whitener.dot(np.exp(self.scale * (self.centres - distance) ** 2))
        if not self.components:
            return radial
        return np.multiply.outer(radial, self._environment(soap)).ravel()

    def many(self, distance: np.ndarray, soap: np.ndarray) -> np.ndarray:
        """Returns the columns of n bonds, shape (n, D), from distances (Å), shape (n,), and ``s``, shape (n, P)."""
        radial = np.exp(self.scale * np.subtract.outer(distance, self.centres) ** 2) @ self.whitener.T
        if not self.components:
            return radial
        return (radial[:, :, None] * self._environment(soap)[:, None, :]).reshape(len(distance), self.size)

    def _environment(self, soap: np.ndarray) -> np.ndarray:
        if self.left is None or self.right is None:
            return soap
        return soap[..., self.left] * soap[..., self.right] * self.factor


def _products(components: int) -> tuple[np.ndarray, np.ndarray]:
    left, right = np.triu_indices(components)
    chosen = np.argsort((left + 1) * (right + 1), kind="stable")[:components]
    return left[chosen], right[chosen]
