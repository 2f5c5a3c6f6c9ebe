"""The door: a page that says where things are, and errors that no view answers."""

from django.conf import settings
from django.db import DatabaseError, InterfaceError
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.urls import Resolver404, resolve
from django.utils.functional import SimpleLazyObject

from server.accounts import sessions
from server.api.errors import InternalError, respond
from server.learning import inspection
from server.streams.errors import NotFound
from server.streams.models import Stream

MOST_UNLEARNED = 20


def home(request: HttpRequest) -> HttpResponse:
    """GET /: a page with the way to everything else, and streams that no model learns from."""
    shown = {"server": request.get_host(), "scheme": request.scheme}
    return render(request, "api/home.html", {**shown, "unlearned": SimpleLazyObject(lambda: _unlearned(request))})


def _unlearned(request: HttpRequest) -> list[Stream]:
    """The latest streams without a model, for those who may read streams."""
    if settings.TAILRACE.auth != "open":
        who = sessions.identity(request)
        if who is None or not who.may("read"):
            return []
    try:
        return list(inspection.streams_without_models()[:MOST_UNLEARNED])
    except (DatabaseError, InterfaceError):
        return []  # the way to everything else is shown all the same


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
