"""The base of the native API's views."""

from typing import Any

from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from server.api import caller
from server.api.codec import json_object
from server.api.v1 import query


class AlwaysFirst(BaseContentNegotiation):
    """Answers as the view answers, whatever is accepted: a script that asks for text still gets its JSON."""

    def select_parser(self, request: Any, parsers: Any) -> Any:
        return parsers[0]

    def select_renderer(self, request: Any, renderers: Any, format_suffix: Any = None) -> Any:
        return renderers[0], renderers[0].media_type


class View(APIView):
    """Strict about query parameters, always JSON, errors in the one shape.

    Attributes
    ----------
    query
        The query parameters that the address has.
    """

    content_negotiation_class = AlwaysFirst
    metadata_class = None
    query: tuple[str, ...] = ()

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        query.only(request._request, self.query)

    def finalize_response(self, request: Request, response: Response, *args: Any, **kwargs: Any) -> Response:
        return caller.warned(request._request, super().finalize_response(request, response, *args, **kwargs))

    def payload(self, request: Request) -> dict[str, Any]:
        """The body as a JSON object, whatever its content type is said to be (``curl -d`` says it's a form)."""
        return json_object(request._request)


def created(data: dict[str, Any], location: str) -> Response:
    """201, with the address of what was made."""
    return Response(data, status=201, headers={"Location": location})
