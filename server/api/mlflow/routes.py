"""Routes: an address, a method, the permission that it needs, and the fields of its requests."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import URLPattern, path

from server.accounts.access import allow
from server.api import caller
from server.api.codec import answer
from server.api.errors import MethodNotAllowed
from server.api.mlflow.messages import Field, Fields, read_fields, read_request

Given = dict[str, Any]
Handler = Callable[[HttpRequest, Given], Any]


@dataclass(frozen=True)
class Route:
    """One method of an address.

    Parameters
    ----------
    address
        Below ``/api/2.0/mlflow/``, such as ``runs/create``; it may have parts as Django's, such as ``<str:model_id>``.
    permission
        See :class:`server.accounts.models.Access`.
    handler
        Gets the request and its fields, and returns what to answer: an object, or a response.
    fields
        What the request contains.
    is_raw
        Whether the body is a file, and all fields are parts of the address.
    """

    address: str
    method: str
    permission: str
    handler: Handler
    fields: Fields = field(default_factory=dict)
    is_raw: bool = False


class Routes:
    """The routes of a module, by address."""

    def __init__(self) -> None:
        self.all: list[Route] = []

    def add(self, method: str, address: str, permission: str, **fields: Field) -> Callable[[Handler], Handler]:
        """Declare a function as the handler of a route."""

        def declared(handler: Handler) -> Handler:
            self.all.append(Route(address, method, permission, handler, fields))
            return handler

        return declared

    def add_raw(self, method: str, address: str, permission: str, **parts: Field) -> Callable[[Handler], Handler]:
        """Declare a function as the handler of a route whose body it reads itself."""

        def declared(handler: Handler) -> Handler:
            self.all.append(Route(address, method, permission, handler, parts, is_raw=True))
            return handler

        return declared


def patterns(routes: Iterable[Route], prefix: str = "") -> list[URLPattern]:
    """Return the URL patterns of routes, with what each method needs."""
    by_address: dict[str, dict[str, Route]] = {}
    for route in routes:
        by_address.setdefault(route.address, {})[route.method] = route
    in_order = sorted(by_address.items(), key=lambda found: "<" in found[0])  # logged-models/search is no model
    return [path(prefix + address, _allowed(found)) for address, found in in_order]


def _allowed(routes: dict[str, Route]) -> Callable[..., HttpResponseBase]:
    methods: dict[str, Any] = {name.lower(): one.permission for name, one in routes.items()}
    return allow(_view(routes), **methods)


def _view(routes: dict[str, Route]) -> Callable[..., HttpResponseBase]:
    """Return the view of an address. Tokens that are limited to some streams can't use it: runs are of the whole server."""

    def view(request: HttpRequest, **parts: str) -> HttpResponseBase:
        route = routes.get(str(request.method))
        if route is None:
            raise MethodNotAllowed(f"{request.path} takes {', '.join(routes)}, not {request.method}")
        caller.check_unlimited(request, "experiments and runs")
        given = read_fields(route.fields, parts) if route.is_raw else read_request(route.fields, request, parts)
        found = route.handler(request, given)
        return found if isinstance(found, HttpResponseBase) else answer({} if found is None else found)

    view.csrf_exempt = True  # type: ignore[attr-defined]  # callers have tokens, not cookies
    view.routes = routes  # type: ignore[attr-defined]
    view.__qualname__ = next(iter(routes.values())).handler.__qualname__
    return view
