"""Warnings that name the line of the program that called this package."""

from __future__ import annotations

import sys
import warnings

__all__ = ["warn"]


def warn(message: str, category: type[Warning]) -> None:
    """Issue a warning for the line of the nearest caller outside this package."""
    level, frame = 1, sys._getframe(0)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] == "tailrace":
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level)
