"""The training of the demo: ``python -m training_demo.train``. It is killed, and goes on from its last checkpoint."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tailrace.atomic_files import replacing
from tailrace.tracking import (
    ExperimentConfig,
    ExperimentTracker,
    Framework,
    PhysicsDomain,
    PhysicsMetadata,
    PINNMetrics,
)

from training_demo.pinn import DIFFUSIVITY, Network, Problem, exact, relative_error

__all__ = ["EXPERIMENT", "main"]

EXPERIMENT = "heat equation"
CHECKPOINT_EVERY, VALIDATE_EVERY = 100, 200
RATE, DECAY = 3e-3, 0.9998
FIRST, SECOND, SMALL = 0.9, 0.999, 1e-8  # Kingma and Ba, Adam, ICLR 2015


class Training:
    """A network, the state of its optimizer, and the number of the next step."""

    def __init__(self, seed: int) -> None:
        self.network = Network(seed=seed)
        self.step = 0
        self._mean = [np.zeros_like(one) for one in self.network.weights]
        self._square = [np.zeros_like(one) for one in self.network.weights]

    def update(self, gradient: Sequence[np.ndarray]) -> None:
        """Take a step of Adam."""
        self.step += 1
        rate = RATE * DECAY**self.step * np.sqrt(1 - SECOND**self.step) / (1 - FIRST**self.step)
        for weight, mean, square, one in zip(self.network.weights, self._mean, self._square, gradient, strict=True):
            mean += (1 - FIRST) * (one - mean)
            square += (1 - SECOND) * (one**2 - square)
            weight -= rate * mean / (np.sqrt(square) + SMALL)

    def save(self, path: Path) -> None:
        """Write a checkpoint."""
        with replacing(path) as part, open(part, "wb") as file:
            arrays = [*self.network.weights, *self._mean, *self._square]
            named = {f"a{number}": one for number, one in enumerate(arrays)}
            np.savez(file, step=np.array(self.step), **named)  # type: ignore[arg-type]  # its stub means allow_pickle

    def load(self, path: Path) -> None:
        """Go on from a checkpoint."""
        with np.load(path) as kept:
            arrays = [*self.network.weights, *self._mean, *self._square]
            for number, one in enumerate(arrays):
                one[...] = kept[f"a{number}"]
            self.step = int(kept["step"])


def main(argv: Sequence[str] | None = None) -> int:
    """Train until the last step, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m training_demo.train", description=__doc__)
    parser.add_argument("folder", type=Path, help="for checkpoints, and for a list of what was logged")
    parser.add_argument("--run", required=True, help="identifier of the run")
    parser.add_argument("--steps", type=int, default=6000, help="steps in all (default: %(default)s)")
    parser.add_argument("--backend", action="append", required=True, help="tailrace, mlflow or wandb; may be repeated")
    options = parser.parse_args(argv)

    config = ExperimentConfig(
        name=EXPERIMENT, physics_domain=PhysicsDomain.PINN, framework=Framework.NUMPY, tags=["pde", "demo"], random_seed=0,
        description="A physics-informed neural network for the heat equation",
        physics_metadata=PhysicsMetadata(
            pde_type="heat", dimensionality=1, boundary_conditions=["u = 0"], analytical_solution="exp(-alpha pi^2 t) sin(pi x)",
            physical_constants={"alpha": DIFFUSIVITY},
        ),
    )  # fmt: skip
    tracker = ExperimentTracker.create(options.backend, config, spool=options.folder / "spool")
    training, problem = Training(seed=0), Problem()
    checkpoint = options.folder / "checkpoint.npz"
    if checkpoint.exists():
        training.load(checkpoint)
    with (
        tracker.start_run("pinn", run_id=options.run) as run,
        open(options.folder / "logged.txt", "ab", buffering=0) as logged,
    ):
        tracker.log_params({"learning_rate": RATE, "widths": "24, 24", "collocation_points": problem.points})
        while training.step < options.steps:
            losses, gradient = problem.losses(training.network)
            step = training.step
            values = {
                "loss": losses.total,
                "residual": losses.residual,
                "boundary": losses.boundary,
                "initial": losses.initial,
            }
            tracker.log_metrics(values, step=step)
            # What the demo compares both back ends with. It is written after the call, so it has no step that was not logged.
            logged.write(f"{step} {losses.total!r}\n".encode())
            training.update(gradient)
            if training.step % VALIDATE_EVERY == 0:
                validate(tracker, training, problem)
            if training.step % CHECKPOINT_EVERY == 0:
                training.save(checkpoint)
        tracker.log_model({f"w{number}": one for number, one in enumerate(training.network.weights)}, "network")
        field = options.folder / "field.npy"
        x, t = np.meshgrid(np.linspace(0, 1, 41), np.linspace(0, 1, 41))
        np.save(
            field,
            np.stack([training.network.forward(x.ravel(), t.ravel())[0].value[:, 0].reshape(x.shape), exact(x, t)]),
        )
        tracker.log_artifact(field)
    print(run.status())
    return 0


def validate(tracker: ExperimentTracker, training: Training, problem: Problem) -> None:
    """Log how good the solution is."""
    error, largest = relative_error(training.network)
    losses, _ = problem.losses(training.network)
    tracker.log_metrics({"l2_error": error}, step=training.step)
    metrics = PINNMetrics(
        equation="heat", physics_loss=losses.residual, boundary_loss=losses.boundary, initial_condition_loss=losses.initial,
        solution_l2_error=error, solution_max_error=largest, pde_residual_l2=problem.residual_rms(training.network),
        collocation_points=problem.points,
    )  # fmt: skip
    tracker.log_physics_metrics(metrics, step=training.step)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(main())
