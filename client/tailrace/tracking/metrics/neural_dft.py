"""`NeuralDFTMetrics`: what is measured of density functionals that are neural networks."""

from __future__ import annotations

from dataclasses import dataclass

from tailrace.tracking.metrics.base import Check, DomainMetrics, at_most, calibration, quantity

__all__ = ["HARTREE_IN_KCAL_PER_MOL", "NeuralDFTMetrics"]

HARTREE_IN_KCAL_PER_MOL = 627.5094740631
"""CODATA 2018: 4.3597447222071e-18 J · 6.02214076e23 / mol / 4184 J/kcal."""

EV_IN_KCAL_PER_MOL = 23.060547830619
CHEMICAL_ACCURACY = 1.0
POPLE = "Pople, Rev. Mod. Phys. 71, 1267 (1999)"
CHMIELA = "Chmiela et al., Sci. Adv. 3, e1603015 (2017)"


@dataclass
class NeuralDFTMetrics(DomainMetrics):
    """Metrics of neural density functional theory.

    Checks: `chemical_accuracy`, each energy error is at most 1 kcal/mol; `force_accuracy`, the error of forces is at most
    1 kcal/mol/Å; `particle_number`, the density integrates to the number of electrons within `particle_number_tolerance`;
    `density_positive`, the density is nowhere negative; `scf_converged`, the last change is within `scf_tolerance`;
    `calibration`, the intervals contain as many values as they claim.
    """

    domain = "neural_dft"

    functional_type: str | None = quantity("the functional, such as DM21", kind="text")
    chemical_accuracy: float | None = quantity("mean absolute error of energies", "kcal/mol", least=0, source=POPLE)
    scf_convergence: float | None = quantity(
        "last change of the energy in the self-consistent field", "Hartree", least=0
    )
    scf_tolerance: float = quantity("largest such change at convergence", "Hartree", least=0, default=1e-6)
    total_energy: float | None = quantity("total energy", "Hartree")
    homo_lumo_gap: float | None = quantity("gap between the frontier orbitals", "eV", least=0)
    total_energy_error_hartree: float | None = quantity("error of the total energy", "Hartree")
    forces_error_ev_per_angstrom: float | None = quantity("root mean square error of forces", "eV/Å", least=0)
    density_mse: float | None = quantity("mean square error of the density", "bohr⁻⁶", least=0)
    exchange_correlation_error: float | None = quantity("error of the exchange-correlation energy", "Hartree")
    atomization_energy_error_kcal_per_mol: float | None = quantity(
        "error of atomization energies", "kcal/mol", source=POPLE
    )
    bond_length_error_angstrom: float | None = quantity("error of bond lengths", "Å")
    particle_number_conservation: float | None = quantity("integral of the density minus the electrons", "electrons")
    particle_number_tolerance: float = quantity("largest such difference", "electrons", least=0, default=1e-3)
    density_positivity_violation: float | None = quantity(
        "most negative density, as a positive number", "bohr⁻³", least=0
    )
    symmetry_preservation: float | None = quantity("change of the energy under symmetries", "Hartree")
    scf_iterations: int | None = quantity("iterations of the self-consistent field", least=0, whole=True)
    scf_convergence_time: float | None = quantity("time until convergence", "s", least=0)
    density_optimization_time: float | None = quantity("time to optimize the density", "s", least=0)
    vibrational_frequency_error_cm_minus_1: float | None = quantity("error of frequencies", "cm⁻¹")
    coverage: float | None = quantity("share of true energies inside of the predicted intervals", least=0, most=1)
    nominal_coverage: float = quantity("share that the intervals claim", least=0, most=1, default=0.95)
    validation_samples: int | None = quantity("energies that the coverage was measured on", least=1, whole=True)

    def checks(self) -> list[Check]:
        found: list[Check] = []
        errors = {
            "chemical_accuracy": self.chemical_accuracy,
            "chemical_accuracy_atomization": self.atomization_energy_error_kcal_per_mol,
            "chemical_accuracy_total_energy": _in_kcal(self.total_energy_error_hartree),
        }
        for name, error in errors.items():
            found += at_most(name, error, CHEMICAL_ACCURACY, "kcal/mol", POPLE)
        forces = self.forces_error_ev_per_angstrom
        in_kcal = None if forces is None else forces * EV_IN_KCAL_PER_MOL
        found += at_most("force_accuracy", in_kcal, 1.0, "kcal/mol/Å", CHMIELA)
        found += at_most(
            "particle_number", self.particle_number_conservation, self.particle_number_tolerance, "electrons",
            "the density integrates to the number of electrons; particle_number_tolerance",
        )  # fmt: skip
        found += at_most(
            "density_positive", self.density_positivity_violation, 0.0, "bohr⁻³", "a density is not negative"
        )
        found += at_most("scf_converged", self.scf_convergence, self.scf_tolerance, "Hartree", "scf_tolerance")
        return found + calibration(self.coverage, self.nominal_coverage, self.validation_samples)


def _in_kcal(hartree: float | None) -> float | None:
    return None if hartree is None else hartree * HARTREE_IN_KCAL_PER_MOL
