"""Rows of an exported log: recognize them, and take their features, to predict or post them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from tailrace.observations.text_values import TextFeatures

__all__ = ["features_of", "is_exported"]

PREFIX = "x."


def is_exported(names: Iterable[Any]) -> bool:
    """Whether the columns are those of an export or of `Stream.to_frame`: ``at``, ``y`` and ``x.<feature>``."""
    known = {str(name) for name in names}
    return {"at", "y"} <= known and any(name.startswith(PREFIX) for name in known)


def features_of(row: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the features of an exported row, named without the prefix, with the texts of the values, if any."""
    own, texts = (_without_prefix(part) for part in (row, getattr(row, "texts", {})))
    return TextFeatures(own, texts)


def _without_prefix(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name[len(PREFIX) :]: value for name, value in row.items() if name.startswith(PREFIX)}
