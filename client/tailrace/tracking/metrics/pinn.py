"""`PINNMetrics`: what is measured of physics-informed neural networks."""

from __future__ import annotations

from dataclasses import dataclass

from tailrace.tracking.metrics.base import Check, DomainMetrics, at_most, calibration, quantity

__all__ = ["PINNMetrics"]

RAISSI = "Raissi, Perdikaris, Karniadakis, J. Comput. Phys. 378, 686 (2019)"
BALANCE = "Wang, Teng, Perdikaris, SIAM J. Sci. Comput. 43, A3055 (2021)"
CAUSALITY = "Wang, Sankaran, Perdikaris, Comput. Methods Appl. Mech. Eng. 421, 116813 (2024)"


@dataclass
class PINNMetrics(DomainMetrics):
    """Metrics of a physics-informed neural network.

    Checks: `trivial_baseline`, the relative L2 error is below 1, that of the solution 0; `residual`, `boundary` and
    `conservation`, root mean square residual, boundary error and violation of conservation are within their tolerances;
    `loss_balance`, the gradient norms of the parts of the loss differ at most 100-fold; `causality`, the smallest causal
    weight is at least 0.99; `calibration`, the intervals contain as many values as they claim.
    """

    domain = "pinn"

    equation: str | None = quantity("the equation, such as heat", kind="text")
    data_loss: float | None = quantity("loss on data", least=0, source=RAISSI)
    physics_loss: float | None = quantity("loss of the residual", least=0, source=RAISSI)
    boundary_loss: float | None = quantity("loss on the boundary", least=0, source=RAISSI)
    initial_condition_loss: float | None = quantity("loss at the start", least=0, source=RAISSI)
    solution_l2_error: float | None = quantity("‖solution − reference‖₂ / ‖reference‖₂", least=0)
    solution_max_error: float | None = quantity("largest absolute error", least=0)
    derivative_accuracy: dict[str, float] | None = quantity("error by derivative", kind="named")  # noqa: RUF009 - its default is None
    pde_residual_l2: float | None = quantity("residual, root mean square", least=0)
    pde_residual_max: float | None = quantity("largest absolute residual", least=0)
    residual_tolerance: float = quantity("largest pde_residual_l2 that is acceptable", least=0, default=1e-2)
    boundary_tolerance: float = quantity("largest root mean square error on the boundary", least=0, default=1e-2)
    conservation_violation: float | None = quantity("relative change of what must be conserved")
    conservation_tolerance: float = quantity("largest violation that is acceptable", least=0, default=1e-3)
    loss_balance: dict[str, float] | None = quantity(  # noqa: RUF009 - its default is None
        "gradient norm by part of the loss", least=0, kind="named", source=BALANCE
    )
    gradient_pathology_measure: float | None = quantity("largest by mean gradient", least=0, source=BALANCE)
    training_stability: float | None = quantity("standard deviation of the loss over the last epochs", least=0)
    causality_violation: float | None = quantity("1 − the smallest causal weight", least=0, most=1, source=CAUSALITY)
    collocation_points: int | None = quantity("points where the residual is evaluated", least=1, whole=True)
    coverage: float | None = quantity("share of true values inside of the predicted intervals", least=0, most=1)
    nominal_coverage: float = quantity("share that the intervals claim", least=0, most=1, default=0.95)
    validation_samples: int | None = quantity("values that the coverage was measured on", least=1, whole=True)

    def checks(self) -> list[Check]:
        found: list[Check] = []
        if self.solution_l2_error is not None:
            about = "the solution 0 has the error 1"
            found.append(Check("trivial_baseline", self.solution_l2_error < 1, self.solution_l2_error, 1.0, "", about))
        found += at_most("residual", self.pde_residual_l2, self.residual_tolerance, "", "residual_tolerance")
        if self.boundary_loss is not None:
            found += at_most("boundary", self.boundary_loss**0.5, self.boundary_tolerance, "", "boundary_tolerance")
        found += at_most(
            "conservation", self.conservation_violation, self.conservation_tolerance, "", "conservation_tolerance"
        )
        norms = [one for one in (self.loss_balance or {}).values() if one > 0]
        if len(norms) > 1:
            found += at_most("loss_balance", max(norms) / min(norms), 100.0, "", f"largest by smallest norm; {BALANCE}")
        found += at_most(
            "causality", self.causality_violation, 0.01, "", f"all causal weights are above 0.99; {CAUSALITY}"
        )
        return found + calibration(self.coverage, self.nominal_coverage, self.validation_samples)
