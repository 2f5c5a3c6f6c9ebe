"""What MLflow's clients ask about a server: whether it is up, which version of the protocol it has, and what it can do."""

from typing import Any

from django.http import HttpRequest, HttpResponse

from server.api.mlflow.routes import Given, Routes
from server.api.riverapi.request import methods

ROUTES = Routes()
"""Routes below ``/api/3.0/mlflow/``."""

MLFLOW_VERSION = "3.17.2"
"""The version of MLflow whose protocol this is. Tests compare with it."""


@ROUTES.add("GET", "server-info", "read")
def server_info(request: HttpRequest, given: Given) -> Any:
    """Say which optional parts of MLflow this server has: none."""
    return {
        "store_type": "SqlStore",
        "workspaces_enabled": False,
        "trace_archival_enabled": False,
        "multipart_uploads_enabled": False,
        "multipart_downloads_enabled": False,
        "presigned_upload_run_id_supported": False,
        "presigned_upload_model_id_supported": False,
        "features_enabled": {"gateway": False},
    }


def _health(request: HttpRequest) -> HttpResponse:
    """GET /health: whether the process answers."""
    return HttpResponse(b"OK", content_type="text/plain")


def _version(request: HttpRequest) -> HttpResponse:
    """GET /version: the version of MLflow whose protocol the server has."""
    return HttpResponse(MLFLOW_VERSION.encode(), content_type="text/plain")


health, version = methods(get=_health, head=_health), methods(get=_version, head=_version)
