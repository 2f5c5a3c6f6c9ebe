"""`RecursiveRidge`: Bayesian linear regression that learns one weighted observation at a time."""

from __future__ import annotations

import math

import numpy as np

__all__ = ["RecursiveRidge"]

_BLOCK = 64


class RecursiveRidge:
    """Linear regression with a Gaussian prior [^1]. Learning an observation exactly costs O(D²).

    The sufficient statistics ``G = Σ w φφᵀ`` and ``b = Σ w φ (y - mᵀφ)`` are sums, so they stay symmetric and positive
    definite. The covariance ``P = (G + Λ)⁻¹`` is updated by the Sherman-Morrison formula. At observations 1, 2, 4 … 64
    and then at every 64th, it is computed from the sums. This *refresh* removes rounding errors, and adapts the prior
    to the scales of the columns.

    The refresh also forgets: the sums decay, but the prior does not. So directions that no longer occur return to the
    prior. With plain exponential forgetting, their variance would grow without bound (*wind-up*).

    Parameters
    ----------
    memory
        Effective number of observations remembered. 0 remembers all.
    adaptive
        Whether a column's penalty is multiplied by the square of the column's mean magnitude, so that units do not
        matter.

    References
    ----------
    [^1]: Bishop, *Pattern Recognition and Machine Learning*, equations 3.50 to 3.59.
    """

    def __init__(self, memory: int, adaptive: bool) -> None:
        self.memory = memory
        self.adaptive = adaptive
        self.count = 0
        self.gram = np.zeros((0, 0))
        self.moment = np.zeros(0)
        self.magnitude = np.zeros(0)
        self.penalty = np.zeros(0)
        self.prior_mean = np.zeros(0)
        self.covariance = np.zeros((0, 0))
        self.coefficients = np.zeros(0)

    @property
    def size(self) -> int:
        """Number of columns, D."""
        return len(self.moment)

    def grow(self, penalties: list[float], means: list[float]) -> None:
        """Append columns that were zero in all observations so far, with their prior.

        Parameters
        ----------
        penalties
            Prior precision of each new coefficient, in units of the noise's precision.
        means
            Prior mean of each new coefficient.
        """
        old, new = self.size, self.size + len(penalties)
        gram = np.zeros((new, new))
        gram[:old, :old] = self.gram
        self.gram = gram
        pad = np.zeros(len(penalties))
        self.moment = np.concatenate([self.moment, pad])
        self.magnitude = np.concatenate([self.magnitude, pad])
        self.penalty = np.concatenate([self.penalty, np.array(penalties, dtype=float)])
        self.prior_mean = np.concatenate([self.prior_mean, np.array(means, dtype=float)])
        self._refresh()

    def predict(self, phi: np.ndarray) -> float:
        """Return the posterior mean at ``phi``, of shape (D,)."""
        return float(self.coefficients.dot(phi))

    def leverage(self, phi: np.ndarray) -> float:
        """Return ``φᵀPφ``: the variance of the mean at ``phi``, in units of the noise's variance."""
        return max(0.0, float(phi.dot(self.covariance.dot(phi))))

    def predict_many(self, phis: np.ndarray) -> np.ndarray:
        """Return the posterior means, shape (n,), at ``phis``, of shape (n, D), with the same bits as `predict`.

        For contiguous arrays, NumPy calls BLAS for each row, as `numpy.dot` does.
        """
        phis = np.ascontiguousarray(phis)
        return np.matmul(phis[:, None, :], self.coefficients[:, None])[:, 0, 0]

    def leverages(self, phis: np.ndarray) -> np.ndarray:
        """Return the leverages, shape (n,), at ``phis``, of shape (n, D), with the same bits as `leverage`."""
        phis = np.ascontiguousarray(phis)
        gains = np.matmul(self.covariance, phis[:, :, None])
        return np.maximum(0.0, np.matmul(phis[:, None, :], gains)[:, 0, 0])

    def learn(self, phi: np.ndarray, y: float, weight: float = 1.0) -> None:
        """Learn one observation: columns ``phi`` of shape (D,), target ``y``, precision ``weight``."""
        rooted = phi * math.sqrt(weight)
        self.gram += rooted[:, None] * rooted
        self.moment += phi * (weight * (y - float(self.prior_mean.dot(phi))))
        if self.adaptive:
            self.magnitude += np.abs(phi)
        self.count += 1
        count = self.count
        if count % _BLOCK == 0 or count & (count - 1) == 0:
            if self.memory and count % _BLOCK == 0:
                keep = (1.0 - 1.0 / self.memory) ** _BLOCK
                self.gram *= keep
                self.moment *= keep
            self._refresh()
            return
        gain = self.covariance.dot(phi)
        spread = 1.0 + weight * float(phi.dot(gain))
        self.coefficients += gain * (weight * (y - float(self.coefficients.dot(phi))) / spread)
        rooted = gain * math.sqrt(weight / spread)
        self.covariance -= rooted[:, None] * rooted

    def _refresh(self) -> None:
        if not self.size:
            return
        prior = self.penalty
        if self.adaptive:
            scale = np.maximum(self.magnitude / max(self.count, 1), 1e-3)
            prior = prior * scale * scale
        precision = self.gram + np.diag(prior)
        # Columns may differ by many powers of ten. So scale the matrix to a unit diagonal before inverting it.
        balance = 1.0 / np.sqrt(np.diagonal(precision))
        inverse = np.linalg.inv(precision * np.multiply.outer(balance, balance))
        inverse = (inverse + inverse.T) * 0.5
        self.covariance = inverse * np.multiply.outer(balance, balance)
        self.coefficients = self.prior_mean + self.covariance @ self.moment
