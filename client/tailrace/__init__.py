"""Client of Tailrace: posts what jobs measured, and gets predictions from the models that learn from it.

>>> from tailrace import Client
>>> c = Client("http://127.0.0.1:8080")
>>> c.post("lammps-runtime", {"x": 8, "y": 8, "z": 16}, 120.3)  # doctest: +SKIP
>>> c.model("runtime").predict(x=8, y=16, z=8)  # doctest: +SKIP

`AsyncClient` does the same for programs that use asyncio.

Importing this package is fast, because each name is imported on first use. The estimators, which need river, are in
`tailrace.estimators`.
"""

from __future__ import annotations

from tailrace.version import __version__

TYPE_CHECKING = False
if TYPE_CHECKING:
    from tailrace.asynchronous.calculations import AsyncCalculation
    from tailrace.asynchronous.campaigns import AsyncCampaign
    from tailrace.asynchronous.client import AsyncClient
    from tailrace.asynchronous.handles import AsyncModel, AsyncStream
    from tailrace.asynchronous.services import AsyncService
    from tailrace.asynchronous.tracking import AsyncRunFeed, AsyncTrackedExperiment, AsyncTrackedRun
    from tailrace.errors import (
        Conflict,
        Forbidden,
        NotFound,
        PredictionWarning,
        QuotaExceeded,
        QuotaWarning,
        Refused,
        SpoolError,
        SpoolFull,
        TailraceError,
        TooMany,
        Unauthorized,
        Unreachable,
        Unusable,
    )
    from tailrace.handles.calculation import Calculation
    from tailrace.handles.campaign import Campaign
    from tailrace.handles.client import Client
    from tailrace.handles.model import Model
    from tailrace.handles.run_feed import RunFeed
    from tailrace.handles.service import Service
    from tailrace.handles.stream import Stream
    from tailrace.handles.tracked_experiment import TrackedExperiment
    from tailrace.handles.tracked_run import TrackedRun
    from tailrace.optional_dependencies import MissingExtra
    from tailrace.posting.post import Posted, post
    from tailrace.results.predictions import PointWarning, Prediction, Predictions
    from tailrace.spool.spool import Spool
    from tailrace.transport.server import Server

__all__ = [
    "AsyncCalculation",
    "AsyncCampaign",
    "AsyncClient",
    "AsyncModel",
    "AsyncRunFeed",
    "AsyncService",
    "AsyncStream",
    "AsyncTrackedExperiment",
    "AsyncTrackedRun",
    "Calculation",
    "Campaign",
    "Client",
    "Conflict",
    "Forbidden",
    "MissingExtra",
    "Model",
    "NotFound",
    "PointWarning",
    "Posted",
    "Prediction",
    "PredictionWarning",
    "Predictions",
    "QuotaExceeded",
    "QuotaWarning",
    "Refused",
    "RunFeed",
    "Server",
    "Service",
    "Spool",
    "SpoolError",
    "SpoolFull",
    "Stream",
    "TailraceError",
    "TooMany",
    "TrackedExperiment",
    "TrackedRun",
    "Unauthorized",
    "Unreachable",
    "Unusable",
    "__version__",
    "post",
]

_PLACES = {
    "asynchronous.calculations": ("AsyncCalculation",),
    "asynchronous.campaigns": ("AsyncCampaign",),
    "asynchronous.client": ("AsyncClient",),
    "asynchronous.handles": ("AsyncModel", "AsyncStream"),
    "asynchronous.services": ("AsyncService",),
    "asynchronous.tracking": ("AsyncRunFeed", "AsyncTrackedExperiment", "AsyncTrackedRun"),
    "errors": (
        "Conflict",
        "Forbidden",
        "NotFound",
        "PredictionWarning",
        "QuotaExceeded",
        "QuotaWarning",
        "Refused",
        "SpoolError",
        "SpoolFull",
        "TailraceError",
        "TooMany",
        "Unauthorized",
        "Unreachable",
        "Unusable",
    ),
    "handles.calculation": ("Calculation",),
    "handles.campaign": ("Campaign",),
    "handles.client": ("Client",),
    "handles.model": ("Model",),
    "handles.run_feed": ("RunFeed",),
    "handles.service": ("Service",),
    "handles.stream": ("Stream",),
    "handles.tracked_experiment": ("TrackedExperiment",),
    "handles.tracked_run": ("TrackedRun",),
    "optional_dependencies": ("MissingExtra",),
    "posting.post": ("Posted", "post"),
    "results.predictions": ("PointWarning", "Prediction", "Predictions"),
    "spool.spool": ("Spool",),
    "transport.server": ("Server",),
}
"""The public names that each module defines."""


def __getattr__(name: str) -> object:
    for module, names in _PLACES.items():
        if name in names:
            from importlib import import_module

            found: object = getattr(import_module(f"tailrace.{module}"), name)
            globals()[name] = found
            return found
    raise AttributeError(f"module 'tailrace' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
