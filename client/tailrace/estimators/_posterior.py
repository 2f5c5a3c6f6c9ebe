"""`Posterior`: Bayesian linear regression, with matrices that BLAS updates in place."""

from __future__ import annotations

import numpy as np
from scipy.linalg import blas, lapack

__all__ = ["Posterior"]

_REFRESH = 512
_WEIGHT = 8.0
_LEAST = 1e-12


class Posterior:
    """Coefficients of a linear model with a Gaussian prior of variance 1, and the variance of its noise.

    The posterior of the coefficients is [^1], and that of the variance [^2].

    Learning one observation costs O(D²): a product with the covariance ``P = (G + νI)⁻¹``, a rank-1 update of ``P``
    (Sherman and Morrison), and one of the Gram matrix ``G = Σφφᵀ``. Rounding errors accumulate in ``P``, but hardly in
    the sum ``G``. So after every 512 observations, the covariance and the coefficients are computed from ``G`` by
    Cholesky decomposition, which keeps them accurate over millions of observations. Learning many observations at once
    adds to the sums and solves once.

    Of symmetric matrices, only the lower triangles are stored, in Fortran order.

    Parameters
    ----------
    size
        Number of columns, D.
    noise
        Variance of the noise in units of the prior variance of a coefficient, ν. The decomposition uses at least 1e-12
        times the largest sum of squares, so that it exists.
    variance
        Expected variance of the noise, in the squared unit of the target. It counts as eight observations.

    Attributes
    ----------
    count
        Number of observations learned.
    residual
        Sum of ``e²/(1 + φᵀPφ)`` over the observations, where e is the error of the prediction before learning. It does
        not depend on the order of the observations, because it equals ``Σy² - wᵀΣφy``. This formula also gives it when
        many observations are learned at once.

    References
    ----------
    [^1]: Bishop, *Pattern Recognition and Machine Learning*, equations 3.50 to 3.59.
    [^2]: Gelman et al., *Bayesian Data Analysis*, section 14.2 (the conjugate prior of the variance).
    """

    def __init__(self, size: int, noise: float, variance: float) -> None:
        self.noise = noise
        self.expected = variance
        self.count = 0
        self.residual = 0.0
        self.gram = np.zeros((size, size), order="F")
        self.moment = np.zeros(size)
        self.coefficients = np.zeros(size)
        # The covariance; or, after a solution and until the covariance is needed, the Cholesky factor of its inverse.
        # None means the prior's covariance, which learning many observations at once never needs.
        self.matrix: np.ndarray | None = None
        self.inverted = True

    @property
    def variance(self) -> float:
        """Variance of the noise from prior and observations, in the squared unit of the target."""
        return (_WEIGHT * self.expected + max(self.residual, 0.0)) / (_WEIGHT + self.count)

    def predict(self, phi: np.ndarray) -> float:
        """Returns the expected target at columns of shape (D,)."""
        return float(self.coefficients.dot(phi))

    def predict_many(self, phi: np.ndarray) -> np.ndarray:
        """Returns the expected targets, shape (n,), at columns of shape (n, D)."""
        return phi @ self.coefficients

    def spread(self, phi: np.ndarray) -> float:
        """Returns the standard deviation of a new observation at columns of shape (D,)."""
        leverage = float(phi.dot(blas.dsymv(1.0, self._covariance(), phi, lower=1)))
        return float((self.variance * (1.0 + max(leverage, 0.0))) ** 0.5)

    def spread_many(self, phi: np.ndarray) -> np.ndarray:
        """Returns the standard deviations of new observations, shape (n,), at columns of shape (n, D)."""
        gain = blas.dsymm(1.0, self._covariance(), phi.T, lower=1)
        leverage = np.einsum("ij,ji->i", phi, gain)
        return np.sqrt(self.variance * (1.0 + np.maximum(leverage, 0.0)))

    def learn(self, phi: np.ndarray, y: float) -> None:
        """Learn one observation: columns of shape (D,), and the target."""
        covariance = self._covariance()
        gain = blas.dsymv(1.0, covariance, phi, lower=1)
        spread = 1.0 + max(float(phi.dot(gain)), 0.0)
        error = y - float(self.coefficients.dot(phi))
        self.coefficients += gain * (error / spread)
        self.matrix = blas.dsyr(-1.0 / spread, gain, lower=1, a=covariance, overwrite_a=1)
        self.gram = blas.dsyr(1.0, phi, lower=1, a=self.gram, overwrite_a=1)
        self.moment += phi * y
        self.residual += error * error / spread
        self.count += 1
        if self.count % _REFRESH == 0:
            self._solve()
            self._covariance()

    def learn_many(self, phi: np.ndarray, y: np.ndarray) -> None:
        """Learn n observations: columns of shape (n, D), and targets of shape (n,).

        The result is the same as learning one by one, except for rounding errors.
        """
        before = float(self.coefficients.dot(self.moment))
        self.gram = blas.dsyrk(1.0, phi.T, beta=1.0, c=self.gram, lower=1, overwrite_c=1)
        self.moment += y @ phi
        self.count += len(y)
        self._solve()
        self.residual += float(y.dot(y)) + before - float(self.coefficients.dot(self.moment))

    def _solve(self) -> None:
        precision = np.empty_like(self.gram) if self.matrix is None else self.matrix  # reuse its memory
        np.copyto(precision, self.gram)
        diagonal = np.einsum("ii->i", precision)
        diagonal += max(self.noise, _LEAST * float(diagonal.max()))
        self.matrix, failed = lapack.dpotrf(precision, lower=1, overwrite_a=1, clean=0)
        if failed:
            raise ArithmeticError("the sums of squares of this model have overflowed: rebuild it from its observations")
        self.coefficients = lapack.dpotrs(self.matrix, self.moment, lower=1)[0]
        self.inverted = False

    def _covariance(self) -> np.ndarray:
        if self.matrix is None:
            self.matrix = np.zeros_like(self.gram)
            np.einsum("ii->i", self.matrix)[:] = 1.0 / self.noise
        elif not self.inverted:
            self.matrix, _ = lapack.dpotri(self.matrix, lower=1, overwrite_c=1)
            self.inverted = True
        return self.matrix
