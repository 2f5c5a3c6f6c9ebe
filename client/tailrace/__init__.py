"""Tailrace: post what a job measured, ask the models that learn from it.

>>> from tailrace import Client
>>> c = Client("http://127.0.0.1:8080")
>>> c.post("lammps-runtime", {"x": 8, "y": 8, "z": 16}, 120.3)  # doctest: +SKIP
>>> c.model("runtime").predict(x=8, y=16, z=8)  # doctest: +SKIP

`AsyncClient` does the same for programs that use asyncio.

Importing this package is cheap: what it names is imported on first use. The estimators, which need river, are in
`tailrace.estimators`.
"""

from __future__ import annotations

__version__ = "0.1.0"

TYPE_CHECKING = False
if TYPE_CHECKING:
    from tailrace.async_client import AsyncClient
    from tailrace.async_handles import AsyncModel, AsyncStream
    from tailrace.client import Client
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
    from tailrace.extras import MissingExtra
    from tailrace.model import Model
    from tailrace.posting import Posted, post
    from tailrace.results import PointWarning, Prediction, Predictions
    from tailrace.server import Server
    from tailrace.spool import Spool
    from tailrace.stream import Stream

__all__ = [
    "AsyncClient",
    "AsyncModel",
    "AsyncStream",
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
    "Server",
    "Spool",
    "SpoolError",
    "SpoolFull",
    "Stream",
    "TailraceError",
    "TooMany",
    "Unauthorized",
    "Unreachable",
    "Unusable",
    "__version__",
    "post",
]

_PLACES = {
    "async_client": ("AsyncClient",),
    "async_handles": ("AsyncModel", "AsyncStream"),
    "client": ("Client",),
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
    "extras": ("MissingExtra",),
    "model": ("Model",),
    "posting": ("Posted", "post"),
    "results": ("PointWarning", "Prediction", "Predictions"),
    "server": ("Server",),
    "spool": ("Spool",),
    "stream": ("Stream",),
}
"""Module to the public names that it defines."""


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
