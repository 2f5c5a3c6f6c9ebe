"""Rows of an exported log, which can be predicted and posted like any other table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from tailrace.written import Given

__all__ = ["features_of", "is_exported"]

PREFIX = "x."


def is_exported(names: Iterable[Any]) -> bool:
    """Whether columns are those of an export (or of `Stream.to_frame`): ``at``, ``y`` and ``x.<feature>``."""
    known = {str(name) for name in names}
    return {"at", "y"} <= known and any(name.startswith(PREFIX) for name in known)


def features_of(row: Mapping[str, Any]) -> dict[str, Any]:
    """The features of such a row by their own names, with the texts that they were read from, if they were."""
    own, texts = (_without_prefix(part) for part in (row, getattr(row, "written", {})))
    return Given(own, texts)


def _without_prefix(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name[len(PREFIX) :]: value for name, value in row.items() if name.startswith(PREFIX)}
