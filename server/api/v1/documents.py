"""The schema and the page that shows it, which loads nothing from elsewhere."""

from typing import Any

from drf_spectacular.renderers import OpenApiJsonRenderer, OpenApiYamlRenderer
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerView
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.request import Request

from server.api.v1.view import AlwaysFirst


class _JSONFirst(DefaultContentNegotiation):
    """JSON unless YAML is asked for."""

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


class Docs(SpectacularSwaggerView):
    """Swagger UI, from files that the server has."""

    url_name = "v1-schema"
    content_negotiation_class = AlwaysFirst
    metadata_class = None
