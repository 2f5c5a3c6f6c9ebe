"""Models of bond strengths: the estimators of the server's recipes, which also work without a server.

All take observations with the features ``bond`` (such as ``Zr-Cu``), ``distance`` (Å) and ``s0, s1, …``, and have a
separate estimator for each type of bond. The hyperparameters are for Cu-Zr-Al glasses, SOAP with a cutoff of 3.75 Å,
and strengths in eV.
"""

from __future__ import annotations

from dataclasses import dataclass

from river import compose, forest

from .bond_features import BondFeatures
from .bond_gpr import BondGPR
from .by_bond_type import ByBondType

__all__ = ["PAPER", "RECIPES", "TUNED", "Hyperparameters", "bond_distance", "bond_forest", "bond_gpr"]


@dataclass(frozen=True)
class Hyperparameters:
    """Hyperparameters of the Gaussian process of one type of bond.

    Attributes
    ----------
    theta
        Width of the radial kernel, Å.
    noise
        Variance of the noise in units of the prior variance.
    decay, noise_decay
        Distances over which the standard deviations of the prior and of the noise fall to 1/e, Å. None: they are the
        same at all distances.
    """

    theta: float
    noise: float
    decay: float | None = 0.8
    noise_decay: float | None = 1.6


TUNED = {
    "Zr-Cu": Hyperparameters(1.0, 0.003),
    "Zr-Zr": Hyperparameters(1.0, 0.0005, noise_decay=None),
    "Cu-Cu": Hyperparameters(1.0, 0.001),
    "Zr-Al": Hyperparameters(1.0, 0.0007),
    "Cu-Al": Hyperparameters(1.0, 0.01, noise_decay=None),
    "Al-Al": Hyperparameters(1.0, 0.01, noise_decay=None),
}
"""Hyperparameters chosen on seven cells of Zr49Cu49Al2 (one as melted, six sheared), by three tests: each cell left out
in turn; three of the seven cells learned; bonds without aluminium nearby learned, and the others predicted.

The cells have only a hundred Cu-Al bonds. Their noise was chosen so that two cells in which aluminium replaces some
atoms, labeled by tight binding, are predicted well, too. The cells have one Al-Al bond, so Al-Al has the values of
Cu-Al.
"""

PAPER = {
    "Zr-Cu": Hyperparameters(1.0, 0.0325, None, None),
    "Zr-Zr": Hyperparameters(0.5, 0.0135, None, None),
    "Cu-Cu": Hyperparameters(0.5, 0.0037, None, None),
    "Zr-Al": Hyperparameters(0.5, 0.0111, None, None),
    "Cu-Al": Hyperparameters(0.5, 0.0046, None, None),
    "Al-Al": Hyperparameters(0.5, 0.005, None, None),
}
"""Hyperparameters of the scripts published with Phys. Rev. Materials 4, 113603: θ, and γ·std(y) as the noise. ζ is 1
for all types. std(y), the standard deviation of the learned strengths, is that of the same seven cells."""

_SETS = {"tuned": TUNED, "paper": PAPER}


def bond_gpr(hyperparameters: str = "tuned", noise: float = 1.0, centres: int = 6, components: int = 64) -> ByBondType:
    """Returns a Gaussian process for each type of bond, computed on its explicit feature map.

    Parameters
    ----------
    hyperparameters
        ``tuned`` for `TUNED`, or ``paper`` for `PAPER`, whose variance is the same at all distances.
    noise
        Factor that multiplies the noise of all types.
    centres
        Number of radial functions.
    components
        Largest number of projected SOAP numbers to use.

    Raises
    ------
    ValueError
        If `hyperparameters` is unknown, or another parameter is out of its range.
    """
    if hyperparameters not in _SETS:
        raise ValueError(f"hyperparameters is one of {', '.join(_SETS)}, got {hyperparameters!r}")

    def prototype(one: Hyperparameters) -> BondGPR:
        return BondGPR(one.theta, 1, one.noise * noise, 1.0, one.decay, one.noise_decay, centres, components)

    chosen = _SETS[hyperparameters]
    return ByBondType(prototype(chosen["Al-Al"]), {kind: prototype(one) for kind, one in chosen.items()})


def bond_distance(theta: float = 0.5, noise: float = 0.01, centres: int = 12) -> ByBondType:
    """Returns a model that uses only the distance. Comparing others with it shows what the atoms' surroundings add."""
    return ByBondType(BondGPR(theta, noise=noise, centres=centres, components=0))


def bond_forest(n_models: int = 5, components: int = 8, grace_period: int = 50, seed: int = 42) -> ByBondType:
    """Returns river's adaptive random forest for each type of bond, on the distance and the first SOAP numbers."""
    trees = forest.ARFRegressor(n_models=n_models, grace_period=grace_period, seed=seed)
    return ByBondType(compose.Pipeline(BondFeatures(components), trees))


RECIPES = {"bond-gpr": bond_gpr, "bond-distance": bond_distance, "bond-forest": bond_forest}
"""The functions, by name of the recipe."""
