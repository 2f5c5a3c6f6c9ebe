"""`TrackingWarning`: something could not be logged."""

from __future__ import annotations

__all__ = ["TrackingWarning"]


class TrackingWarning(UserWarning):
    """Something could not be logged. The run's `status` lists all such problems."""
