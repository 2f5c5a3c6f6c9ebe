"""Parts of MLflow that this server doesn't have. They answer what is missing, and where to read more."""

from typing import Any

from django.http import HttpRequest

from server.api.mlflow.messages import text
from server.api.mlflow.routes import Given, Routes
from server.api.mlflow_errors import LeftOut
from server.core.errors import NotFound

ROUTES = Routes()
"""Every other address below those of MLflow."""

PARTS = {
    "traces": "traces of language models",
    "unified-traces": "traces of language models",
    "get-online-trace-details": "traces of language models",
    "issues": "issues of traces",
    "label-schemas": "label schemas",
    "review-queues": "review queues",
    "datasets": "evaluation data sets",
    "scorers": "scorers",
    "gateway": "the gateway to language models",
    "prompt-optimization": "prompts",
    "webhooks": "MLflow's webhooks; the notifications of your account have webhooks",
    "users": "MLflow's users; users and roles are those of Tailrace",
    "workspaces": "workspaces",
    "jobs": "jobs",
    "mpu": "uploads in several parts; files are sent as a whole",
    "presigned": "presigned addresses; files are sent and fetched as a whole",
    "artifacts/presigned-upload-url": "presigned addresses; files are sent and fetched as a whole",
    "artifacts/presigned-download-url": "presigned addresses; files are sent and fetched as a whole",
    "metrics/get-history-bulk-interval": "samples of metrics of many runs, which MLflow's pages ask for",
    "metrics/get-history-bulk": "metrics of many runs at once, which MLflow's pages ask for",
}
"""Beginning of an address, and what it is."""


def left_out(what: str) -> LeftOut:
    """Return the error for what is left out."""
    return LeftOut(f"this server does not have {what}. Its documentation lists which parts of MLflow it has")


def _other(request: HttpRequest, given: Given) -> Any:
    rest = given["rest"]
    for part, what in PARTS.items():
        if rest == part or rest.startswith(f"{part}/"):
            raise left_out(what)
    raise NotFound(f"MLflow's API has no {request.method} {request.path} on this server", code="no_such_address")


for _method in ("GET", "POST", "PATCH", "PUT", "DELETE"):
    ROUTES.add_raw(_method, "<path:rest>", "read", rest=text())(_other)
