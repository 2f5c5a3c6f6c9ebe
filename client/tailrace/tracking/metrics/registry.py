"""Metric types by domain: ours, and those that installed distributions register."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from importlib import import_module, metadata

from tailrace.errors import Unusable
from tailrace.similar_names import did_you_mean
from tailrace.tracking.metrics.base import DomainMetrics

__all__ = ["GROUP", "load_metric_type", "metric_types"]

GROUP = "tailrace.metrics"
"""Entry point group: the name is the domain, the value ``package.module:Class``."""

OURS = {
    "l2o": "tailrace.tracking.metrics.l2o:L2OMetrics",
    "neural_dft": "tailrace.tracking.metrics.neural_dft:NeuralDFTMetrics",
    "neural_operator": "tailrace.tracking.metrics.neural_operator:NeuralOperatorMetrics",
    "pinn": "tailrace.tracking.metrics.pinn:PINNMetrics",
    "quantum": "tailrace.tracking.metrics.quantum:QuantumMetrics",
}


def metric_types() -> dict[str, str]:
    """Returns the metric types by domain, each as ``package.module:Class``. None is imported."""
    found = {one.name: one.value for one in _entry_points()}
    return dict(sorted({**found, **OURS}.items()))


def load_metric_type(domain: str) -> type[DomainMetrics]:
    """Returns the metric type of a domain.

    Raises
    ------
    Unusable
        If there is none, it cannot be imported, or it is not derived from `DomainMetrics`.
    """
    known = metric_types()
    if domain not in known:
        raise Unusable(
            f"there is no metric type {domain!r}{did_you_mean(domain, known)}: there are {', '.join(known)}. Install the "
            f"distribution that registers it in the entry point group {GROUP!r}"
        )
    module, _, name = known[domain].partition(":")
    try:
        found = getattr(import_module(module), name)
    except Exception as error:
        raise Unusable(f"the metric type {domain!r} ({known[domain]}) can't be imported: {error}") from error
    if not isinstance(found, type) or not issubclass(found, DomainMetrics) or not found.domain:
        raise Unusable(
            f"the metric type {domain!r} ({known[domain]}) is not a class derived from tailrace.tracking.DomainMetrics with "
            "a domain"
        )
    return found


def _entry_points() -> Iterable[metadata.EntryPoint]:
    if sys.version_info >= (3, 10):  # noqa: UP036 - the client runs on 3.9
        return metadata.entry_points(group=GROUP)
    return metadata.entry_points().get(GROUP, ())
