"""`QuantumMetrics`: what is measured of quantum computing."""

from __future__ import annotations

from dataclasses import dataclass

from tailrace.errors import Unusable
from tailrace.tracking.metrics.base import Check, DomainMetrics, at_most, quantity
from tailrace.tracking.metrics.neural_dft import HARTREE_IN_KCAL_PER_MOL, POPLE

__all__ = ["QuantumMetrics"]

NIELSEN = "Nielsen, Phys. Lett. A 303, 249 (2002)"
CROSS = "Cross et al., Phys. Rev. A 100, 032328 (2019)"


@dataclass
class QuantumMetrics(DomainMetrics):
    """Metrics of a quantum computation.

    Checks: `chemical_accuracy`, the energy is within 1 kcal/mol of the exact one; `variational`, it is not below the exact
    one; `fidelities_consistent`, average gate fidelity and process fidelity obey F = (d·F_process + 1) / (d + 1);
    `advantage`, the circuit runs faster than its classical simulation.
    """

    domain = "quantum"

    algorithm: str | None = quantity("the algorithm, such as VQE", kind="text")
    qubits: int | None = quantity("qubits", least=1, whole=True)
    state_fidelity: float | None = quantity("fidelity of the state", least=0, most=1)
    process_fidelity: float | None = quantity("fidelity of the process", least=0, most=1, source=NIELSEN)
    average_gate_fidelity: float | None = quantity(
        "fidelity of a gate, mean over states", least=0, most=1, source=NIELSEN
    )
    circuit_depth: int | None = quantity("layers of the circuit", least=0, whole=True)
    gate_count: int | None = quantity("gates of the circuit", least=0, whole=True)
    connectivity_score: float | None = quantity("share of two-qubit gates that need no swap", least=0, most=1)
    coherence_error: float | None = quantity("probability of an error by decoherence", least=0, most=1)
    measurement_error: float | None = quantity("probability of an error of a measurement", least=0, most=1)
    readout_error: float | None = quantity("probability of an error of the readout", least=0, most=1)
    crosstalk_error: float | None = quantity("probability of an error by crosstalk", least=0, most=1)
    quantum_execution_time: float | None = quantity("time of the circuit", "s", least=0)
    classical_simulation_time: float | None = quantity("time of its classical simulation", "s", least=0)
    quantum_volume: int | None = quantity("quantum volume, a power of 2", least=1, whole=True, source=CROSS)
    energy: float | None = quantity("energy of the state", "Hartree")
    exact_energy: float | None = quantity("exact energy of the ground state", "Hartree")
    energy_variance: float | None = quantity("variance of the energy", "Hartree²", least=0)
    energy_standard_error: float = quantity("standard error of the energy, by shots", "Hartree", least=0, default=0.0)
    parameter_gradient_magnitude: float | None = quantity("norm of the gradient", least=0)

    def validate(self) -> None:
        if self.circuit_depth is not None and self.gate_count is not None and self.circuit_depth > self.gate_count:
            raise Unusable(f"circuit_depth is {self.circuit_depth}: expected at most gate_count, {self.gate_count}")
        volume = self.quantum_volume
        if volume is not None and volume & (volume - 1):
            raise Unusable(f"quantum_volume is {volume}: expected a power of 2 ({CROSS})")

    def checks(self) -> list[Check]:
        found: list[Check] = []
        if self.energy is not None and self.exact_energy is not None:
            error = self.energy - self.exact_energy
            found += at_most("chemical_accuracy", error * HARTREE_IN_KCAL_PER_MOL, 1.0, "kcal/mol", POPLE)
            limit = -3 * self.energy_standard_error
            about = "the energy of any state is at least that of the ground state, within three standard errors"
            found.append(Check("variational", error >= limit - 1e-12, error, limit, "Hartree", about))
        if None not in (self.qubits, self.process_fidelity, self.average_gate_fidelity):
            dimension = 2.0 ** (self.qubits or 1)
            expected = (dimension * (self.process_fidelity or 0.0) + 1) / (dimension + 1)
            difference = (self.average_gate_fidelity or 0.0) - expected
            found += at_most("fidelities_consistent", difference, 1e-6, "", f"F = (d F_process + 1)/(d + 1); {NIELSEN}")
        mine, classical = self.quantum_execution_time, self.classical_simulation_time
        if mine is not None and classical is not None:
            found.append(Check("advantage", mine < classical, mine, classical, "s", "classical_simulation_time"))
        return found
