"""Estimators of Tailrace's own, for river's pipelines, on the server and beside it.

They need river (``pip install "tailrace[river]"``), which is why ``import tailrace`` doesn't import them.
"""

from .bond_gpr import BondGPR
from .by_bond_type import ByBondType
from .runtime import RuntimeRegressor

__all__ = ["BondGPR", "ByBondType", "RuntimeRegressor"]
