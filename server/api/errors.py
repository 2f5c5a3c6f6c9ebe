"""Every failure as one shape: ``{"error": {"code", "message", "field"?, "request_id"}}``."""

import logging
from typing import Any
from urllib.parse import quote

from django.core.exceptions import BadRequest, ObjectDoesNotExist, SuspiciousOperation
from django.db import DatabaseError, InterfaceError
from django.http import Http404, HttpRequest, HttpResponse
from rest_framework import exceptions as rest
from rest_framework.response import Response

from server.api.codec import answer
from server.streams import quota_usage
from server.streams.errors import Invalid, NotFound, TailraceError, TooMany, Unavailable, Unsupported
from server.streams.locks import give_up
from server.streams.quotas import QuotaExceeded

logger = logging.getLogger(__name__)


class MethodNotAllowed(TailraceError):
    """The address doesn't do that."""

    status = 405
    code = "method_not_allowed"


class InternalError(TailraceError):
    """A bug: the log holds its traceback under the request's id."""

    status = 500
    code = "internal"


def translated(exc: BaseException, request: HttpRequest) -> TailraceError:
    """Any exception as one that the API can answer with; what nobody expected is logged with its traceback."""
    if isinstance(exc, TailraceError):
        logger.info("request %s %s %s: %s", request_id(request), request.method, quote(request.path), exc.code)
        if isinstance(exc, QuotaExceeded):
            _note_refusal(exc)
        return exc
    if isinstance(exc, (DatabaseError, InterfaceError)):
        logger.warning("database: %s (request %s)", exc, request_id(request))
        return give_up(exc)
    if isinstance(exc, ObjectDoesNotExist):
        logger.warning("request %s %s: %s", request_id(request), quote(request.path), exc)
        return NotFound(f"what {request.path} is about was deleted meanwhile")
    if isinstance(exc, Http404):
        return NotFound(f"nothing is at {request.path}: GET /api/v1/docs/ lists what there is", code="no_such_address")
    if isinstance(exc, rest.MethodNotAllowed):
        return MethodNotAllowed(f"{request.path} doesn't take {request.method}")
    if isinstance(exc, rest.UnsupportedMediaType):
        return Unsupported(f"content type {request.content_type!r} isn't understood: send application/json")
    if isinstance(exc, rest.APIException):
        found = TailraceError(str(exc.detail), code=str(exc.default_code))
        found.status = exc.status_code
        return found
    if isinstance(exc, (SuspiciousOperation, BadRequest)):
        return Invalid(f"the request can't be served: {exc}", code="bad_request")
    logger.error("request %s %s %s failed", request_id(request), request.method, quote(request.path), exc_info=exc)
    return InternalError(f"the server failed; its log says why under request id {request_id(request)}")


def _note_refusal(error: QuotaExceeded) -> None:
    try:
        quota_usage.note_refusal(error)
    except Unavailable as exc:  # the refusal holds all the same; the next one is told of
        logger.warning("a quota that is used up can't be told of in the audit trail: %s", exc)


def request_id(request: HttpRequest) -> str:
    return getattr(request, "request_id", "-")


def body_of(error: TailraceError, request: HttpRequest) -> dict[str, Any]:
    """The one error shape; on the riverapi side the message stands at the top too, where its clients look."""
    message = error.message if error.for_anyone is None or _may_hear_of_models(request) else error.for_anyone
    shown: dict[str, Any] = {"code": error.code, "message": message}
    if error.field is not None:
        shown["field"] = error.field
    shown["request_id"] = request_id(request)
    if request.path.startswith("/api/") and not request.path.startswith("/api/v1/"):
        return {"message": message, "error": shown}
    return {"error": shown}


def _may_hear_of_models(request: HttpRequest) -> bool:
    identity = getattr(request, "identity", None)
    return identity is None or not identity.permissions.isdisjoint(("read", "predict"))


def headers_of(error: TailraceError) -> dict[str, str]:
    headers: dict[str, str] = dict(getattr(error, "headers", {}))
    if isinstance(error, (TooMany, Unavailable)):
        headers["Retry-After"] = str(error.retry_after)
    return headers


def respond(exc: BaseException, request: HttpRequest) -> HttpResponse:
    """The answer to a request that failed."""
    error = translated(exc, request)
    response = answer(body_of(error, request), error.status)
    for name, value in headers_of(error).items():
        response[name] = value
    return response


def handle(exc: Exception, context: dict[str, Any]) -> Response:
    """Django REST Framework's hook: the same answer."""
    request = context["request"]._request
    error = translated(exc, request)
    return Response(body_of(error, request), status=error.status, headers=headers_of(error))
