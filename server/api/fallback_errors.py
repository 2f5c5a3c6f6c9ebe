"""Fallback error handlers: what no view answers."""

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import Resolver404, resolve

from server.api.errors import InternalError, respond
from server.core.errors import NotFound


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    """What Django refuses before a view sees it."""
    return respond(exception, request)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    """An address that there isn't; most often its last slash is missing."""
    hint = "GET /api/v1/docs/ lists what there is"
    if not request.path.endswith("/"):
        try:
            resolve(request.path + "/")
            hint = f"did you mean {request.path}/?"
        except Resolver404:
            pass
    return respond(NotFound(f"nothing is at {request.path}: {hint}", code="no_such_address"), request)


def failed(request: HttpRequest) -> HttpResponseBase:
    """What went wrong outside any view."""
    return respond(InternalError("the server failed; its log says why under this request id"), request)
