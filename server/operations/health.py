"""Health probes: liveness and readiness.

They are public, and respond from memory or within :data:`server.core.db.readiness.PATIENCE` seconds, with a status code and
``{"status", "reason"}``. ``docs/reference/probes.md`` has the table.
"""

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest, HttpResponse

from server.core.db.database_state import NO_DATABASE
from server.core.db.readiness import READINESS, SERVING_STATES
from server.core.json_codec import dumps, loads
from server.operations import liveness

STUCK = "stuck"


def healthz(request: HttpRequest) -> HttpResponse:
    """GET /healthz: 200 if this process works; 503 if it is stuck. The state of the database doesn't matter."""
    reason = liveness.stuck()
    return _answer({"status": STUCK, "reason": reason}, 503) if reason else _answer({"status": "ok"}, 200)


def readyz(request: HttpRequest) -> HttpResponse:
    """GET /readyz: 200 if the database responds, accepts writes and has this version's schema; else 503 with the reason."""
    reason = liveness.stuck()
    if reason:
        return _answer({"status": STUCK, "reason": reason}, 503)
    state = READINESS.state()
    content = {"status": state.status, "reason": state.reason} if state.reason else {"status": state.status}
    return _answer(content, 200 if state.status in SERVING_STATES else 503)


def ping(request: HttpRequest) -> HttpResponse:
    """GET /ping: the same as /readyz, for SageMaker."""
    return readyz(request)


def live(request: HttpRequest) -> HttpResponse:
    """GET /v2/health/live: the same as /healthz, for the Open Inference Protocol."""
    return _open_inference("live", healthz, request)


def ready(request: HttpRequest) -> HttpResponse:
    """GET /v2/health/ready: the same as /readyz, for the Open Inference Protocol."""
    return _open_inference("ready", readyz, request)


def database_answers() -> bool:
    """Whether the database responds."""
    return READINESS.state().status != NO_DATABASE


def _open_inference(word: str, probe: Callable[[HttpRequest], HttpResponse], request: HttpRequest) -> HttpResponse:
    """Return a probe's response with the protocol's word, and the reason as its error."""
    if request.method != "GET":
        response = _answer({"error": f"{request.path} takes GET, not {request.method}"}, 405)
        response["Allow"] = "GET"
        return response
    found = probe(request)
    is_fine = found.status_code == 200
    content: dict[str, Any] = {word: is_fine}
    if not is_fine:
        content["error"] = loads(found.content).get("reason", "")
    return _answer(content, found.status_code)


def _answer(content: dict[str, Any], status: int) -> HttpResponse:
    response = HttpResponse(dumps(content), status=status, content_type="application/json")
    response["Cache-Control"] = "no-store"
    return response
