"""Tailrace's estimators for river's pipelines, used by the server and by programs that download models.

They need river (``pip install "tailrace[river]"``). Each estimator is imported on first use, so that
`tailrace.estimators.arithmetic` can set the environment before NumPy is imported.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from tailrace.estimators.bond_gpr import BondGPR
    from tailrace.estimators.by_bond_type import ByBondType
    from tailrace.estimators.runtime import RuntimeRegressor

__all__ = ["BondGPR", "ByBondType", "RuntimeRegressor"]

_MODULES = {"BondGPR": "bond_gpr", "ByBondType": "by_bond_type", "RuntimeRegressor": "runtime"}


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module 'tailrace.estimators' has no attribute {name!r}")
    from importlib import import_module

    found: object = getattr(import_module(f"tailrace.estimators.{_MODULES[name]}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
