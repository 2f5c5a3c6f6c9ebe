"""Errors in MLflow's form: ``{"error_code", "message"}``. The message is the same as in the other APIs."""

from typing import Any

from server.core.errors import TailraceError

PREFIXES = ("/api/2.0/", "/api/3.0/", "/api/4.0/")

CODES = {
    400: "INVALID_PARAMETER_VALUE",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "RESOURCE_DOES_NOT_EXIST",
    405: "ENDPOINT_NOT_FOUND",
    408: "DEADLINE_EXCEEDED",
    409: "RESOURCE_CONFLICT",
    410: "RESOURCE_DOES_NOT_EXIST",
    411: "BAD_REQUEST",
    413: "INVALID_PARAMETER_VALUE",
    415: "BAD_REQUEST",
    429: "REQUEST_LIMIT_EXCEEDED",
    500: "INTERNAL_ERROR",
    501: "NOT_IMPLEMENTED",
    503: "TEMPORARILY_UNAVAILABLE",
}
"""MLflow's code by status."""

CONFLICTS = {"exists": "RESOURCE_ALREADY_EXISTS", "deleted": CODES[400], "changed_param": CODES[400]}
"""MLflow's code of a conflict by ours. MLflow answers these with status 400."""


class LeftOut(TailraceError):
    """A part of MLflow that this server doesn't have."""

    status = 501
    code = "left_out"


def speaks_mlflow(path: str) -> bool:
    """Whether errors of an address have MLflow's form."""
    return path.startswith(PREFIXES)


def answer_to(error: TailraceError, request_id: str) -> tuple[dict[str, Any], int]:
    """Return the body and the status of a failed request."""
    code, status = CODES.get(error.status, "INTERNAL_ERROR"), error.status
    if error.code in CONFLICTS and status == 409:
        code, status = CONFLICTS[error.code], 400
    elif error.code == "no_such_address":
        code = "ENDPOINT_NOT_FOUND"
    return {"error_code": code, "message": error.message, "request_id": request_id}, status
