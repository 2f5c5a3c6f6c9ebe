"""The OpenAPI schema, and its documentation page, which loads nothing from other servers."""

from typing import Any

from csp.utils import build_policy
from drf_spectacular.renderers import OpenApiJsonRenderer, OpenApiYamlRenderer
from drf_spectacular.utils import extend_schema
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.request import Request
from rest_framework.response import Response

from server.api.v1.view import AlwaysFirst

POLICY = {
    "default-src": ["'none'"],
    "script-src": ["'self'"],
    "style-src": ["'self'"],
    "img-src": ["'self'", "data:"],
    "connect-src": ["'self'"],
    "frame-ancestors": ["'none'"],
    "form-action": ["'none'"],
    "base-uri": ["'none'"],
}
"""Content security policy of the documentation page, which runs Swagger UI."""

HEADERS = {
    "Content-Security-Policy": build_policy(POLICY),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "same-origin",
    "X-Frame-Options": "DENY",
}


class _JSONFirst(DefaultContentNegotiation):
    """JSON by default; YAML on request."""

    def select_renderer(self, request: Request, renderers: Any, format_suffix: Any = None) -> Any:
        wanted = request.query_params.get("format")
        yaml = wanted == "yaml" or (wanted is None and "yaml" in request.headers.get("Accept", ""))
        renderer = renderers[1 if yaml else 0]
        return renderer, renderer.media_type


class _JSON(OpenApiJsonRenderer):
    media_type = "application/json"


class _YAML(OpenApiYamlRenderer):
    media_type = "application/yaml"


class Schema(SpectacularAPIView):
    """OpenAPI 3.1, as JSON or (``?format=yaml``) as YAML."""

    renderer_classes = [_JSON, _YAML]
    content_negotiation_class = _JSONFirst
    metadata_class = None


class Docs(SpectacularSwaggerSplitView):
    """Swagger UI, from files that the server has; the script that starts it is one of them (``?script``)."""

    url_name = "v1-schema"
    template_name = "api/docs.html"
    content_negotiation_class = AlwaysFirst
    metadata_class = None

    @extend_schema(exclude=True)
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        response: Response = super().get(request, *args, **kwargs)
        for name, value in HEADERS.items():
            response[name] = value
        return response
