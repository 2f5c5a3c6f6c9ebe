"""Tracking of trainings: parameters, metrics and artifacts of a run, kept on disk and sent to one or several back ends.

>>> from tailrace.tracking import ExperimentConfig, ExperimentTracker
>>> tracker = ExperimentTracker.create(backend=["tailrace", "mlflow"], config=ExperimentConfig(name="heat"))  # doctest: +SKIP
>>> with tracker.start_run() as run:  # doctest: +SKIP
...     tracker.log_metrics({"loss": 0.25}, step=1)

Each call writes a line to a file, and returns. Threads in the background send the lines. Neither the network nor the disk
raises an error in a training, delays it or ends it. `tailrace flush` sends what is left.

Importing this package is fast, because each name is imported on first use.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from tailrace.tracking.config import ExperimentConfig, Framework, PhysicsDomain, PhysicsMetadata
    from tailrace.tracking.experiment import Experiment
    from tailrace.tracking.metrics.base import Check, DomainMetrics
    from tailrace.tracking.metrics.l2o import L2OMetrics
    from tailrace.tracking.metrics.neural_dft import NeuralDFTMetrics
    from tailrace.tracking.metrics.neural_operator import NeuralOperatorMetrics
    from tailrace.tracking.metrics.pinn import PINNMetrics
    from tailrace.tracking.metrics.quantum import QuantumMetrics
    from tailrace.tracking.metrics.registry import metric_types
    from tailrace.tracking.run import Run
    from tailrace.tracking.status import BackendStatus, RunStatus
    from tailrace.tracking.tracker import ExperimentTracker

__all__ = [
    "BackendStatus",
    "Check",
    "DomainMetrics",
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
    "Run",
    "RunStatus",
    "metric_types",
]

_PLACES = {
    "config": ("ExperimentConfig", "Framework", "PhysicsDomain", "PhysicsMetadata"),
    "experiment": ("Experiment",),
    "metrics.base": ("Check", "DomainMetrics"),
    "metrics.l2o": ("L2OMetrics",),
    "metrics.neural_dft": ("NeuralDFTMetrics",),
    "metrics.neural_operator": ("NeuralOperatorMetrics",),
    "metrics.pinn": ("PINNMetrics",),
    "metrics.quantum": ("QuantumMetrics",),
    "metrics.registry": ("metric_types",),
    "run": ("Run",),
    "status": ("BackendStatus", "RunStatus"),
    "tracker": ("ExperimentTracker",),
}
"""The public names that each module defines."""


def __getattr__(name: str) -> object:
    for module, names in _PLACES.items():
        if name in names:
            from importlib import import_module

            found: object = getattr(import_module(f"tailrace.tracking.{module}"), name)
            globals()[name] = found
            return found
    raise AttributeError(f"module 'tailrace.tracking' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
