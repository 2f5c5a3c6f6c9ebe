"""`Experiment`: base class of a training that logs itself."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any

from tailrace.tracking.config import ExperimentConfig, Framework, PhysicsDomain, PhysicsMetadata
from tailrace.tracking.metrics.base import DomainMetrics
from tailrace.tracking.metrics.l2o import L2OMetrics
from tailrace.tracking.metrics.neural_dft import NeuralDFTMetrics
from tailrace.tracking.metrics.neural_operator import NeuralOperatorMetrics
from tailrace.tracking.metrics.pinn import PINNMetrics
from tailrace.tracking.metrics.quantum import QuantumMetrics
from tailrace.tracking.run import Run
from tailrace.tracking.tracker import ExperimentTracker

__all__ = [
    "Experiment",
    "ExperimentConfig",
    "ExperimentTracker",
    "Framework",
    "L2OMetrics",
    "NeuralDFTMetrics",
    "NeuralOperatorMetrics",
    "PINNMetrics",
    "PhysicsDomain",
    "PhysicsMetadata",
    "QuantumMetrics",
]


class Experiment(ABC):
    """A training. Derive from it, and define `setup`, `train_step` and, if wanted, `validate`; then call `run`.

    Parameters
    ----------
    config
        The experiment.
    tracker
        Logs it. None: one is made with `options`.
    options
        See `ExperimentTracker.create`.

    Attributes
    ----------
    step
        Number of the step, from 0. It is the step of what is logged without one.
    epoch
        Number of the epoch, from 0.
    """

    def __init__(self, config: ExperimentConfig, tracker: ExperimentTracker | None = None, **options: Any) -> None:
        self.config = config
        self.tracker = tracker or ExperimentTracker.create(config=config, **options)
        self.step = 0
        self.epoch = 0
        self._logged: set[str] = set()

    def setup(self) -> None:  # noqa: B027 - it need not be defined
        """Make the model and what training needs. Called once, when the run has started."""

    @abstractmethod
    def train_step(self, batch: Any) -> Any:
        """Learn one batch. If the result is a number, it is logged as ``train_loss``, unless this method did."""

    def validate(self, val_data: Any) -> Any:  # noqa: B027 - it need not be defined
        """Evaluate the model after an epoch. If the result is a dictionary of numbers, it is logged with ``val_``."""

    def run(
        self, train_data: Iterable[Any], val_data: Any = None, *, epochs: int = 1, name: str | None = None,
        run_id: str | None = None,
    ) -> Run:  # fmt: skip
        """Train: for each epoch all batches, then `validate` if there is data for it. Returns the run.

        Parameters
        ----------
        train_data
            The batches. They are gone through once for each epoch, so for several epochs they must not be an iterator.
        val_data
            Passed to `validate`.
        epochs
            How often to go through the batches.
        name, run_id
            See `ExperimentTracker.start_run`.
        """
        with self.tracker.start_run(name, run_id=run_id) as run:
            self.setup()
            for self.epoch in range(epochs):
                for batch in train_data:
                    self._logged.clear()
                    loss = self.train_step(batch)
                    is_one = loss is not None and not isinstance(loss, (Mapping, tuple, list, str))
                    if is_one and "train_loss" not in self._logged:
                        self.log_metrics({"train_loss": loss})
                    self.step += 1
                if val_data is not None:
                    found = self.validate(val_data)
                    if isinstance(found, Mapping):
                        self.log_metrics({f"val_{key}": value for key, value in found.items()})
        return run

    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Log metrics of the run. See `Run.log_metrics`."""
        self._logged.update(metrics)
        self.tracker.log_metrics(metrics, self.step if step is None else step)

    def log_physics_metrics(self, metrics: DomainMetrics | Mapping[str, Any], step: int | None = None) -> None:
        """Log metrics of the domain. See `Run.log_physics_metrics`."""
        self.tracker.log_physics_metrics(metrics, self.step if step is None else step)

    def log_params(self, params: Mapping[str, Any]) -> None:
        """Log parameters of the run. See `Run.log_params`."""
        self.tracker.log_params(params)

    def log_artifact(self, local_path: str | os.PathLike[str], artifact_path: str | None = None) -> None:
        """Log a file. See `Run.log_artifact`."""
        self.tracker.log_artifact(local_path, artifact_path)

    def log_model(self, model: Any, model_name: str = "model", **facts: Any) -> None:
        """Log a model. See `Run.log_model`."""
        self.tracker.log_model(model, model_name, **facts)
