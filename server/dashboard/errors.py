"""Error pages."""

import logging
from http import HTTPStatus
from typing import Any, TypeVar

from django.core.exceptions import BadRequest, PermissionDenied, SuspiciousOperation
from django.db import DatabaseError, InterfaceError
from django.http import Http404, HttpRequest, HttpResponse
from django.template.loader import render_to_string

from server.core.db.locks import to_unavailable
from server.core.errors import Forbidden, Invalid, NotFound, TailraceError

logger = logging.getLogger(__name__)

Response = TypeVar("Response", bound=HttpResponse)

TITLES = {
    400: "Invalid request",
    403: "Access denied",
    404: "Page not found",
    405: "Method not allowed",
    409: "Conflict",
    429: "Too many requests",
    500: "Server error",
    503: "Temporarily unavailable",
}


def respond(exc: BaseException, request: HttpRequest) -> HttpResponse:
    """Return the error page of an exception. Unexpected exceptions are logged with their traceback."""
    error = _translated(exc, request)
    response = explained(request, HttpResponse(status=error.status), error.message)
    retry_after = getattr(error, "retry_after", None)
    if retry_after is not None:
        response["Retry-After"] = str(retry_after)
    return response


def explained(request: HttpRequest, response: Response, message: str) -> Response:
    """Give a response the error page with this message."""
    context: dict[str, Any] = {
        "title": TITLES.get(response.status_code, HTTPStatus(response.status_code).phrase),
        "message": message,
        "request_id": getattr(request, "request_id", ""),
    }
    if response.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR:
        context["caller"] = getattr(request, "caller", None)  # without a query: the database may have failed
    response.content = render_to_string("dashboard/error.html", context, request=request)
    return response


def csrf_failed(request: HttpRequest, reason: str = "") -> HttpResponse:
    """Return the page for a form that failed the CSRF check."""
    message = (
        "The form was sent without the cookie of this site. Allow cookies for this site, go back, reload the page and "
        "send the form again."
    )
    if not request.is_secure():
        message += (
            " You are not using https://. Browsers on other machines than the server send the cookies of this site "
            "over https:// only."
        )
    logger.info("a form to %r was refused: %s", request.path, reason)
    return explained(request, HttpResponse(status=403), message)


def _translated(exc: BaseException, request: HttpRequest) -> TailraceError:
    if isinstance(exc, TailraceError):
        return exc
    if isinstance(exc, (DatabaseError, InterfaceError)):
        logger.warning("database: %s (request %s)", exc, getattr(request, "request_id", "-"))
        return to_unavailable(exc)
    if isinstance(exc, Http404):
        return NotFound(f"there is no page at {request.path}")
    if isinstance(exc, PermissionDenied):
        return Forbidden("you don't have access to this page")
    if isinstance(exc, (SuspiciousOperation, BadRequest)):
        return Invalid(f"the request is invalid: {exc}")
    logger.error(
        "request %s %s %r failed", getattr(request, "request_id", "-"), request.method, request.path, exc_info=exc
    )
    failed = TailraceError(
        "an unexpected error occurred; the log of the server has the reason, under the request ID below"
    )
    failed.status = HTTPStatus.INTERNAL_SERVER_ERROR
    return failed
