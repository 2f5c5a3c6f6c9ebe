"""Helpers for the views of the riverapi protocol: dispatch by method, and the model that a request names."""

import functools
from collections.abc import Callable
from typing import Any

from django.http import HttpRequest, QueryDict
from django.http.response import HttpResponseBase

from server.api.codec import body, json_object
from server.api.errors import MethodNotAllowed, respond
from server.core.errors import Invalid
from server.core.validation import format_value

View = Callable[..., HttpResponseBase]


def methods(**views: View) -> View:
    """Return a view that calls another view for each HTTP method: ``methods(get=…, post=…)``."""
    by_method = {method.upper(): view for method, view in views.items()}
    allowed = ", ".join(by_method)

    def dispatch(request: HttpRequest, **kwargs: Any) -> HttpResponseBase:
        view = by_method.get(str(request.method))
        if view is None:
            response = respond(MethodNotAllowed(f"{request.path} takes {allowed}, not {request.method}"), request)
            response["Allow"] = allowed
            return response
        return view(request, **kwargs)

    functools.update_wrapper(dispatch, next(iter(views.values())))
    dispatch.csrf_exempt = True  # type: ignore[attr-defined]  # callers have tokens, not cookies
    return dispatch


def model_name(request: HttpRequest) -> str:
    """Return the model that a request names as ``?model=``, in a JSON body (also of a GET request) or in a form.

    Raises
    ------
    Invalid
        If it names none.
    """
    name: Any = request.GET.get("model")
    data = body(request)
    if name is None and data.strip():
        if data.lstrip()[:1] in b"{[" or request.content_type == "application/json":
            name = json_object(request).get("model")
        else:
            name = QueryDict(data).get("model")
    if name is None:
        raise Invalid("model is missing: expected its name, in the body or as ?model=", field="model", code="missing")
    if not isinstance(name, str) or not name:
        raise Invalid(f"model is {format_value(name)}: expected the name of a model", field="model")
    return name
