"""Probes: is this process alive, and can it do its work?

Both answer anyone, from memory or within :data:`server.operations.readiness.PATIENCE` seconds, with a status code for machines
and ``{"status", "reason"}`` for people. ``docs/probes.md`` has the table.
"""

from django.http import HttpRequest, HttpResponse

from server.database_state import NO_DATABASE
from server.operations import liveness
from server.operations.readiness import GOES_ON, Examiner
from server.streams.codec import dumps

STUCK = "stuck"
EXAMINER = Examiner()


def healthz(request: HttpRequest) -> HttpResponse:
    """GET /healthz: this process works; 503 if it is stuck, whatever becomes of the database."""
    reason = liveness.stuck()
    return _answer({"status": STUCK, "reason": reason}, 503) if reason else _answer({"status": "ok"}, 200)


def readyz(request: HttpRequest) -> HttpResponse:
    """GET /readyz: the database is there, stores and has this version's tables; 503 says what is missing."""
    reason = liveness.stuck()
    if reason:
        return _answer({"status": STUCK, "reason": reason}, 503)
    state = EXAMINER.state()
    content = {"status": state.status, "reason": state.reason} if state.reason else {"status": state.status}
    return _answer(content, 200 if state.status in GOES_ON else 503)


def ping(request: HttpRequest) -> HttpResponse:
    """GET /ping: the same, by SageMaker's name."""
    return readyz(request)


def database_answers() -> bool:
    """Whether the database said anything at all just now."""
    return EXAMINER.state().status != NO_DATABASE


def _answer(content: dict[str, str], status: int) -> HttpResponse:
    response = HttpResponse(dumps(content), status=status, content_type="application/json")
    response["Cache-Control"] = "no-store"
    return response
