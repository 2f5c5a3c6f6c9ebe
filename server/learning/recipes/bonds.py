"""Recipes for bond strengths."""

from tailrace.estimators.bond_recipes import PAPER, TUNED, Hyperparameters, bond_distance, bond_forest, bond_gpr

from server.learning.recipes.definition import GRACE, SEED, Parameter, Recipe


def _hyperparameters(values: dict[str, Hyperparameters]) -> str:
    return ", ".join(f"{kind} {one.theta:g} {one.noise:g}" for kind, one in values.items())


BOND_RECIPES = (
    Recipe(
        "bond-gpr",
        "regression",
        "Bond strength with its uncertainty: one Gaussian process for each bond type",
        "Predicts -ICOHP in eV from the features bond (such as Zr-Cu), distance (Å) and s0, s1, … (the projected mean "
        "of the two atoms' SOAP vectors). Each bond type has its own Gaussian process, with the kernel of Phys. "
        "Rev. Materials 4, 113603. It is learned exactly, one bond at a time, by linear regression on the kernel's feature map. "
        "Each prediction has an uncertainty and an interval. Hyperparameters for each type (θ in Å, ratio of the variances of "
        f"noise and prior): tuned {_hyperparameters(TUNED)}; paper {_hyperparameters(PAPER)}; other types use those of Al-Al. "
        "A bond takes about 0.1 ms, and a type takes 2.4 MB with 6 · 64 columns.",
        (
            Parameter(
                "hyperparameters",
                "string",
                "tuned",
                "tuned: fitted to cells of Zr49Cu49Al2, with a prior that decreases with the distance; paper: as published.",
                choices=("tuned", "paper"),
            ),
            Parameter("noise", "number", 1, "Factor for the variance of the noise.", 1e-3, 1e3),
            Parameter("centres", "integer", 6, "Radial functions between 1.8 and 4.2 Å.", 2, 16),
            Parameter("components", "integer", 64, "Most SOAP numbers to use.", 0, 128),
        ),
        bond_gpr,
    ),
    Recipe(
        "bond-distance",
        "regression",
        "Bond strength from the bond length alone: a baseline",
        "A smooth function of the distance for each bond type. Compare with it to see how much the surroundings of a bond "
        "improve predictions.",
        (
            Parameter("theta", "number", 0.5, "Width of the radial kernel, Å.", 0.05, 10),
            Parameter("noise", "number", 0.01, "Ratio of the variances of noise and prior.", 1e-6, 1e3),
            Parameter("centres", "integer", 12, "Radial functions between 1.8 and 4.2 Å.", 2, 64),
        ),
        bond_distance,
    ),
    Recipe(
        "bond-forest",
        "regression",
        "Bond strength by one adaptive random forest for each bond type",
        "Trees on the distance and the first SOAP numbers: an alternative without a kernel. It is slow and needs "
        "thousands of bonds.",
        (
            Parameter("n_models", "integer", 5, "Number of trees.", 1, 100),
            Parameter("components", "integer", 8, "SOAP numbers to use; all bonds must have them.", 0, 128),
            GRACE,
            SEED,
        ),
        bond_forest,
    ),
)
