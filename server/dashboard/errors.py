"""Pages that say what went wrong and what to do."""

import logging
from http import HTTPStatus
from typing import Any, TypeVar

from django.core.exceptions import BadRequest, PermissionDenied, SuspiciousOperation
from django.db import DatabaseError, InterfaceError
from django.http import Http404, HttpRequest, HttpResponse
from django.template.loader import render_to_string

from server.streams.errors import Forbidden, Invalid, NotFound, TailraceError
from server.streams.locks import give_up

logger = logging.getLogger(__name__)

Response = TypeVar("Response", bound=HttpResponse)

TITLES = {
    400: "That doesn’t work",
    403: "Not for you",
    404: "Nothing there",
    405: "Not like that",
    409: "That contradicts what is there",
    429: "Too often",
    500: "The server failed",
    503: "Not now",
}


def respond(exc: BaseException, request: HttpRequest) -> HttpResponse:
    """The page for any exception; what nobody expected is logged with its traceback."""
    error = _translated(exc, request)
    response = explained(request, HttpResponse(status=error.status), error.message)
    retry_after = getattr(error, "retry_after", None)
    if retry_after is not None:
        response["Retry-After"] = str(retry_after)
    return response


def explained(request: HttpRequest, response: Response, message: str) -> Response:
    """A response with a page that says why it is what it is."""
    context: dict[str, Any] = {
        "title": TITLES.get(response.status_code, HTTPStatus(response.status_code).phrase),
        "message": message,
        "request_id": getattr(request, "request_id", ""),
    }
    if response.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR:
        context["who"] = getattr(request, "identity", None)  # not looked up: the database may be what failed
    response.content = render_to_string("dashboard/error.html", context, request=request)
    return response


def csrf_failed(request: HttpRequest, reason: str = "") -> HttpResponse:
    """A form that didn't come from a page of this server, as far as its browser shows."""
    message = (
        "This form didn’t come with the cookie that a page of this server gave your browser. Go back, load the page "
        "again, and send it once more; cookies must be allowed for this site."
    )
    if not request.is_secure():
        message += (
            " You are not using https://: away from the server’s own machine, browsers send this site’s cookies over "
            "https:// only."
        )
    logger.info("a form to %r was refused: %s", request.path, reason)
    return explained(request, HttpResponse(status=403), message)


def _translated(exc: BaseException, request: HttpRequest) -> TailraceError:
    if isinstance(exc, TailraceError):
        return exc
    if isinstance(exc, (DatabaseError, InterfaceError)):
        logger.warning("database: %s (request %s)", exc, getattr(request, "request_id", "-"))
        return give_up(exc)
    if isinstance(exc, Http404):
        return NotFound(f"nothing is at {request.path}")
    if isinstance(exc, PermissionDenied):
        return Forbidden("this is not for you")
    if isinstance(exc, (SuspiciousOperation, BadRequest)):
        return Invalid(f"the request can't be served: {exc}")
    logger.error(
        "request %s %s %r failed", getattr(request, "request_id", "-"), request.method, request.path, exc_info=exc
    )
    failed = TailraceError("the server failed; its log says why, under the number below")
    failed.status = HTTPStatus.INTERNAL_SERVER_ERROR
    return failed
