"""Tailrace: post what a job measured, ask the models that learn from it.

Importing this package is cheap; the estimators, which need river, are in `tailrace.estimators`.
"""

__version__ = "0.1.0"

__all__ = ["__version__"]
