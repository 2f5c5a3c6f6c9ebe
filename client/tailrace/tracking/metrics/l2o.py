"""`L2OMetrics`: what is measured of learned optimizers."""

from __future__ import annotations

from dataclasses import dataclass

from tailrace.tracking.metrics.base import Check, DomainMetrics, at_most, quantity

__all__ = ["L2OMetrics"]

FINN = "Finn, Abbeel, Levine, MAML, ICML 2017, arXiv:1703.03400"
NESTEROV = "Nesterov, Introductory Lectures on Convex Optimization, 2004, theorem 2.1.14"


@dataclass
class L2OMetrics(DomainMetrics):
    """Metrics of learning to optimize.

    Checks: `adaptation_improves`, the loss after the inner steps is below that before; `optimality`, the objective is within
    `optimality_tolerance` of the best that is known; `inner_step_stable`, the inner learning rate is below 2 / L, beyond
    which gradient descent diverges on an L-smooth function; `generalization`, the error on new tasks is at most twice the
    loss after adaptation.
    """

    domain = "l2o"

    meta_algorithm: str | None = quantity("the algorithm, such as MAML", kind="text", source=FINN)
    inner_steps: int | None = quantity("gradient steps for each task", least=0, whole=True, source=FINN)
    outer_lr: float | None = quantity("learning rate of the optimizer itself", least=0)
    inner_lr: float | None = quantity("learning rate for a task", least=0, source=FINN)
    adaptation_loss: float | None = quantity("loss after the inner steps")
    loss_before_adaptation: float | None = quantity("loss before the inner steps")
    generalization_error: float | None = quantity("loss on new tasks")
    final_objective_value: float | None = quantity("objective at the end")
    best_known_objective: float | None = quantity("lowest objective that is known")
    optimality_tolerance: float = quantity("largest relative gap to it that is acceptable", least=0, default=1e-2)
    smoothness: float | None = quantity("Lipschitz constant L of the gradient", least=0, source=NESTEROV)
    convergence_iterations: int | None = quantity("iterations until convergence", least=0, whole=True)
    convergence_time_seconds: float | None = quantity("time until convergence", "s", least=0)
    meta_loss: float | None = quantity("loss of the optimizer itself")
    meta_gradient_norm: float | None = quantity("norm of its gradient", least=0)
    few_shot_performance: dict[str, float] | None = quantity("performance by task", kind="named")  # noqa: RUF009 - its default is None
    zero_shot_performance: dict[str, float] | None = quantity("performance by task", kind="named")  # noqa: RUF009 - its default is None
    update_magnitude: float | None = quantity("norm of an update", least=0)
    gradient_scaling_factor: float | None = quantity("update by gradient")
    task_similarity_scores: dict[str, float] | None = quantity("similarity by pair of tasks", kind="named")  # noqa: RUF009 - its default is None
    learned_lr_schedule: tuple[float, ...] | None = quantity("learning rates by step", least=0, kind="numbers")
    momentum_schedule: tuple[float, ...] | None = quantity("momentum by step", kind="numbers")

    def checks(self) -> list[Check]:
        found: list[Check] = []
        after, before = self.adaptation_loss, self.loss_before_adaptation
        if after is not None and before is not None:
            found.append(Check("adaptation_improves", after < before, after, before, "", "loss before the inner steps"))
        if self.final_objective_value is not None and self.best_known_objective is not None:
            scale = max(1.0, abs(self.best_known_objective))
            gap = (self.final_objective_value - self.best_known_objective) / scale
            about = "gap to best_known_objective, relative to it or to 1; optimality_tolerance"
            passed = gap <= self.optimality_tolerance
            found.append(Check("optimality", passed, gap, self.optimality_tolerance, "", about))
        if self.inner_lr is not None and self.smoothness:
            limit = 2 / self.smoothness
            found.append(
                Check("inner_step_stable", self.inner_lr < limit, self.inner_lr, limit, "", f"2 / L; {NESTEROV}")
            )
        if self.generalization_error is not None and after is not None and after > 0:
            ratio = self.generalization_error / after
            found += at_most("generalization", ratio, 2.0, "", "error on new tasks by adaptation_loss")
        return found
