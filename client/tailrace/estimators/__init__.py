"""Estimators of Tailrace's own, for river's pipelines, on the server and beside it.

They need river (``pip install "tailrace[river]"``), which is why ``import tailrace`` doesn't import them.
"""

from .runtime import RuntimeRegressor

__all__ = ["RuntimeRegressor"]
