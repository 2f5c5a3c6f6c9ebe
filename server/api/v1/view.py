"""Base class of the native API's views, and the declaration of their operations."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from server.api import caller, fields
from server.api.codec import storable_object
from server.api.serializers import QuerySerializer, RequestSerializer

F = TypeVar("F", bound=Callable[..., Any])
JSON, NDJSON, CSV = "application/json", "application/x-ndjson", "text/csv"


@dataclass(frozen=True)
class Operation:
    """Declaration of one method of a view.

    Attributes
    ----------
    name
        Its ``operationId``.
    body
        The serializer of the body, or media type to serializer or schema.
    answers
        Status to a serializer, to {media type: serializer or schema}, or to None (no body).
    query
        The serializer of the query parameters.
    errors
        Statuses of errors, in addition to those of all operations: see :mod:`server.api.v1.openapi`.
    headers
        Headers that the operation reads, in the form of OpenAPI.
    needs_body
        Whether a request without the body is refused.
    """

    name: str
    body: Any = None
    answers: dict[int, Any] | None = None
    query: type[QuerySerializer] = QuerySerializer
    errors: Sequence[int] = ()
    headers: Sequence[dict[str, Any]] = ()
    needs_body: bool = True


def operation(name: str, body: Any = None, **parts: Any) -> Callable[[F], F]:
    """Declare a method of a view: the first line of its docstring is the summary, the others are the description."""

    def decorate(method: F) -> F:
        method.operation = Operation(name, body, **parts)  # type: ignore[attr-defined]
        return method

    return decorate


class AlwaysFirst(BaseContentNegotiation):
    """Ignores the Accept header, so that a script that accepts text still gets JSON."""

    def select_parser(self, request: Any, parsers: Any) -> Any:
        return parsers[0]

    def select_renderer(self, request: Any, renderers: Any, format_suffix: Any = None) -> Any:
        return renderers[0], renderers[0].media_type


class View(APIView):
    """A view that refuses unknown query parameters, answers in JSON, and has all errors in one form.

    Attributes
    ----------
    tag
        The group of the view's operations in the schema; if empty, the name of the module.
    path
        Fields of path parameters that are not names.
    query
        The checked query parameters of the current request.
    """

    content_negotiation_class = AlwaysFirst
    metadata_class = None
    tag: ClassVar[str] = ""
    path: ClassVar[Mapping[str, fields.Field]] = {}
    query: dict[str, Any]

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        declared = self._operation(request)
        if declared is not None:
            self.query = _checked(declared.query, request._request.GET)

    def finalize_response(self, request: Request, response: Response, *args: Any, **kwargs: Any) -> Response:
        return caller.warned(request._request, super().finalize_response(request, response, *args, **kwargs))

    def body(self, request: Request) -> dict[str, Any]:
        """Return the body, checked by the operation's serializer. Any content type is accepted, such as that of ``curl -d``."""
        declared = self._operation(request)
        assert declared is not None
        return _checked(declared.body, storable_object(request._request))

    def _operation(self, request: Request) -> Operation | None:
        return getattr(getattr(self, str(request.method).lower(), None), "operation", None)


def _checked(serializer_class: type[RequestSerializer], data: Any) -> dict[str, Any]:
    serializer = serializer_class(data=data)
    serializer.is_valid(raise_exception=True)
    found: dict[str, Any] = serializer.validated_data
    return found


def created(data: Any, location: str) -> Response:
    """Return a 201 response with the address of the new object."""
    return Response(data, status=201, headers={"Location": location})
