"""Conversion of every failure to one form: ``{"error": {"code", "message", "field"?, "request_id"}}``.

MLflow's clients get another form (:mod:`server.api.mlflow_errors`).
"""

import logging
from typing import Any
from urllib.parse import quote

from django.core.exceptions import BadRequest, ObjectDoesNotExist, SuspiciousOperation
from django.db import DatabaseError, InterfaceError
from django.http import Http404, HttpRequest, HttpResponse
from rest_framework import exceptions as rest
from rest_framework.response import Response

from server.api.codec import answer
from server.api.mlflow_errors import answer_to, speaks_mlflow
from server.core.db.locks import to_unavailable
from server.core.errors import Invalid, NotFound, TailraceError, TooMany, Unavailable, Unsupported
from server.streams.quotas import quota_usage
from server.streams.quotas.limits import QuotaExceeded

logger = logging.getLogger(__name__)


class MethodNotAllowed(TailraceError):
    """The address doesn't support this method."""

    status = 405
    code = "method_not_allowed"


class InternalError(TailraceError):
    """A bug. The log has its traceback, with the request's id."""

    status = 500
    code = "internal"


def translated(exc: BaseException, request: HttpRequest) -> TailraceError:
    """Return an exception as an error that the API can answer with. An unexpected one is logged with its traceback."""
    if isinstance(exc, TailraceError):
        logger.info("request %s %s %s: %s", request_id(request), request.method, quote(request.path), exc.code)
        if isinstance(exc, QuotaExceeded):
            _note_refusal(exc)
        return exc
    if isinstance(exc, (DatabaseError, InterfaceError)):
        logger.warning("database: %s (request %s)", exc, request_id(request))
        return to_unavailable(exc)
    if isinstance(exc, ObjectDoesNotExist):
        logger.warning("request %s %s: %s", request_id(request), quote(request.path), exc)
        return NotFound(f"the object of {request.path} was deleted in the meantime")
    if isinstance(exc, Http404):
        return NotFound(
            f"there is no address {request.path}: GET /api/v1/docs/ lists all addresses", code="no_such_address"
        )
    if isinstance(exc, rest.MethodNotAllowed):
        return MethodNotAllowed(f"{request.path} does not accept {request.method}")
    if isinstance(exc, rest.UnsupportedMediaType):
        return Unsupported(f"content type {request.content_type!r} is not supported: send application/json")
    if isinstance(exc, rest.APIException):
        found = TailraceError(str(exc.detail), code=str(exc.default_code))
        found.status = exc.status_code
        return found
    if isinstance(exc, (SuspiciousOperation, BadRequest)):
        return Invalid(f"the request can't be served: {exc}", code="bad_request")
    logger.error("request %s %s %s failed", request_id(request), request.method, quote(request.path), exc_info=exc)
    return InternalError(f"internal error: the server's log has the reason under request id {request_id(request)}")


def _note_refusal(error: QuotaExceeded) -> None:
    try:
        quota_usage.record_refusal(error)
    except Unavailable as exc:  # the request is refused anyway; the next refusal is recorded
        logger.warning("can't record in the audit trail that a quota is used up: %s", exc)


def request_id(request: HttpRequest) -> str:
    return getattr(request, "request_id", "-")


def body_of(error: TailraceError, request: HttpRequest) -> dict[str, Any]:
    """Return the body of an error. For riverapi it also has the message at the top level, where its clients look.

    For the Open Inference Protocol it is the message alone.
    """
    message = error.message if error.for_anyone is None or _may_hear_of_models(request) else error.for_anyone
    shown: dict[str, Any] = {"code": error.code, "message": message}
    if error.field is not None:
        shown["field"] = error.field
    shown["request_id"] = request_id(request)
    if request.path.startswith("/v2"):
        return {"error": message}
    if request.path.startswith("/api/") and not request.path.startswith(("/api/v1/", "/api/seed/")):
        return {"message": message, "error": shown}
    return {"error": shown}


def _may_hear_of_models(request: HttpRequest) -> bool:
    identity = getattr(request, "caller", None)
    return identity is None or not identity.permissions.isdisjoint(("read", "predict"))


def headers_of(error: TailraceError) -> dict[str, str]:
    headers: dict[str, str] = dict(getattr(error, "headers", {}))
    if isinstance(error, (TooMany, Unavailable)):
        headers["Retry-After"] = str(error.retry_after)
    return headers


def respond(exc: BaseException, request: HttpRequest) -> HttpResponse:
    """Return the response to a failed request."""
    error = translated(exc, request)
    if speaks_mlflow(request.path):
        response = answer(*answer_to(error, request_id(request)))
    else:
        response = answer(body_of(error, request), error.status)
    for name, value in headers_of(error).items():
        response[name] = value
    return response


def handle(exc: Exception, context: dict[str, Any]) -> Response:
    """Return the same response for Django REST Framework: its exception handler."""
    request = context["request"]._request
    error = translated(exc, request)
    return Response(body_of(error, request), status=error.status, headers=headers_of(error))
