"""`NeuralOperatorMetrics`: what is measured of neural operators."""

from __future__ import annotations

from dataclasses import dataclass

from tailrace.errors import Unusable
from tailrace.tracking.metrics.base import Check, DomainMetrics, at_most, calibration, quantity

__all__ = ["NeuralOperatorMetrics"]

LI = "Li et al., Fourier Neural Operator, ICLR 2021, arXiv:2010.08895"


@dataclass
class NeuralOperatorMetrics(DomainMetrics):
    """Metrics of a neural operator: a map between functions on grids.

    Checks: `trivial_baseline`, the relative L2 error is below 1, that of the prediction 0; `modes_resolved`, the input grid
    carries the kept Fourier modes (Nyquist); `conservation`, the conservation error is within `conservation_tolerance`;
    `resolution_invariance`, the error on a finer grid is at most 1.5 times that on the training grid; `calibration`, the
    intervals contain as many values as they claim.
    """

    domain = "neural_operator"

    operator_type: str | None = quantity("the architecture, such as FNO", kind="text")
    input_resolution: tuple[int, ...] | None = quantity("points of each axis", least=1, whole=True, kind="resolution")
    output_resolution: tuple[int, ...] | None = quantity("points of each axis", least=1, whole=True, kind="resolution")
    modes: int | None = quantity("Fourier modes kept on each axis", least=1, whole=True, source=LI)
    width: int | None = quantity("channels of the hidden layers", least=1, whole=True)
    spectral_loss: float | None = quantity("loss in Fourier space", least=0)
    physics_loss: float | None = quantity("loss of the residual of the equation", least=0)
    train_loss: float | None = quantity("loss on the training set")
    val_loss: float | None = quantity("loss on the validation set")
    test_loss: float | None = quantity("loss on the test set")
    spectral_accuracy: float | None = quantity("share of the spectrum's energy that is predicted", most=1)
    relative_l2_error: float | None = quantity(
        "‖prediction − truth‖₂ / ‖truth‖₂, mean over samples", least=0, source=LI
    )
    relative_l2_error_fine: float | None = quantity(
        "the same on a finer grid than that of training", least=0, source=LI
    )
    max_absolute_error: float | None = quantity("largest absolute error", least=0)
    pde_residual: float | None = quantity("residual of the equation, root mean square", least=0)
    conservation_error: float | None = quantity("relative change of what must be conserved")
    conservation_tolerance: float = quantity("largest conservation error that is acceptable", least=0, default=1e-3)
    boundary_condition_error: float | None = quantity("error on the boundary, root mean square", least=0)
    stability_measure: float | None = quantity("growth of the error per step of a rollout", least=0)
    physical_consistency: float | None = quantity("share of samples that hold all constraints", least=0, most=1)
    inference_time_per_sample: float | None = quantity("time of a prediction", "s", least=0)
    memory_usage_mb: float | None = quantity("memory", "MB", least=0)
    gpu_utilization_percent: float | None = quantity("use of the GPU", "%", least=0, most=100)
    out_of_distribution_error: float | None = quantity("relative L2 error on other inputs", least=0)
    parameter_extrapolation_error: float | None = quantity("relative L2 error beyond the trained parameters", least=0)
    coverage: float | None = quantity("share of true values inside of the predicted intervals", least=0, most=1)
    nominal_coverage: float = quantity("share that the intervals claim", least=0, most=1, default=0.95)
    validation_samples: int | None = quantity("values that the coverage was measured on", least=1, whole=True)

    def validate(self) -> None:
        before, after = self.input_resolution, self.output_resolution
        if before is not None and after is not None and len(before) != len(after):
            raise Unusable(f"output_resolution is {after}: expected as many axes as input_resolution, {before}")

    def checks(self) -> list[Check]:
        found: list[Check] = []
        if self.relative_l2_error is not None:
            about = "the prediction 0 has the error 1"
            found.append(Check("trivial_baseline", self.relative_l2_error < 1, self.relative_l2_error, 1.0, "", about))
        if self.modes is not None and self.input_resolution is not None:
            limit = min(self.input_resolution) // 2
            about = "a grid of N points carries N/2 Fourier modes (Nyquist)"
            found += at_most("modes_resolved", self.modes, limit, "", about)
        if self.relative_l2_error and self.relative_l2_error_fine is not None:
            ratio = self.relative_l2_error_fine / self.relative_l2_error
            found += at_most(
                "resolution_invariance", ratio, 1.5, "", f"error on a finer grid by that in training; {LI}"
            )
        found += at_most(
            "conservation", self.conservation_error, self.conservation_tolerance, "", "conservation_tolerance"
        )
        return found + calibration(self.coverage, self.nominal_coverage, self.validation_samples)
