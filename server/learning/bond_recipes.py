"""The recipes for the strengths of bonds."""

from tailrace.estimators.bond_recipes import PAPER, TUNED, Hyperparameters, bond_distance, bond_forest, bond_gpr

from server.learning.recipe import GRACE, SEED, Parameter, Recipe


def _hyperparameters(values: dict[str, Hyperparameters]) -> str:
    return ", ".join(f"{kind} {one.theta:g} {one.noise:g}" for kind, one in values.items())


BOND_RECIPES = (
    Recipe(
        "bond-gpr",
        "regression",
        "Strength of bonds, with its uncertainty: a Gaussian process a type",
        "For -ICOHP in eV of bonds with the features bond (such as Zr-Cu), distance (Å) and s0, s1, … (the projected mean "
        "of the two atoms' SOAP vectors). Each type of bond has a Gaussian process of its own, with the kernel of Phys. "
        "Rev. Materials 4, 113603, learned exactly, one bond at a time, by linear regression on the kernel's feature map; "
        "the uncertainty and an interval come with each prediction. Hyperparameters per type (θ in Å, variance of the "
        f"noise by that of the prior): tuned {_hyperparameters(TUNED)}; paper {_hyperparameters(PAPER)}; other types begin as Al-Al. "
        "A bond takes about 0.1 ms and a type 2.4 MB with 6 · 64 columns.",
        (
            Parameter(
                "hyperparameters",
                "string",
                "tuned",
                "tuned: chosen on cells of Zr49Cu49Al2, with a prior that falls with the distance; paper: as published.",
                choices=("tuned", "paper"),
            ),
            Parameter("noise", "number", 1, "Factor of the noise's variance.", 1e-3, 1e3),
            Parameter("centres", "integer", 6, "Radial functions between 1.8 and 4.2 Å.", 2, 16),
            Parameter("components", "integer", 64, "SOAP numbers that are used, at most.", 0, 128),
        ),
        bond_gpr,
    ),
    Recipe(
        "bond-distance",
        "regression",
        "Strength of bonds by their length alone: a baseline",
        "A smooth function of the distance for each type of bond. What the surroundings of a bond add is measured "
        "against this.",
        (
            Parameter("theta", "number", 0.5, "Width of the radial kernel, Å.", 0.05, 10),
            Parameter("noise", "number", 0.01, "Variance of the noise by that of the prior.", 1e-6, 1e3),
            Parameter("centres", "integer", 12, "Radial functions between 1.8 and 4.2 Å.", 2, 64),
        ),
        bond_distance,
    ),
    Recipe(
        "bond-forest",
        "regression",
        "Strength of bonds by an adaptive random forest a type",
        "Trees on the distance and the first few SOAP numbers: a challenger without a kernel. Slow, and it needs "
        "thousands of bonds.",
        (
            Parameter("n_models", "integer", 5, "Number of trees.", 1, 100),
            Parameter("components", "integer", 8, "SOAP numbers that are used; all bonds must have them.", 0, 128),
            GRACE,
            SEED,
        ),
        bond_forest,
    ),
)
