"""Stages of Tailrace's campaigns in Apache Airflow: an operator that starts one, and a sensor that waits for it."""

from __future__ import annotations

from typing import Any

__all__ = ["get_provider_info"]


def get_provider_info() -> dict[str, Any]:
    """Return what Airflow shows of this provider."""
    return {
        "package-name": "tailrace-airflow",
        "name": "Tailrace",
        "description": "Stages of Tailrace's campaigns.",
        "connection-types": [],
    }
