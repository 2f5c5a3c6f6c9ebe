"""View of GET /api/: name and versions of this server."""

from importlib.metadata import version

import river
from django.db import connection
from django.http import HttpRequest, HttpResponse

from server.api.codec import answer


def info(request: HttpRequest) -> HttpResponse:
    """Return the service's name, versions and the address of its documentation."""
    return answer(
        {
            "id": "tailrace",
            "status": "running",
            "name": "Tailrace",
            "description": "Models that learn from every job as it ends",
            "documentationUrl": request.build_absolute_uri("/api/v1/docs/"),
            "storage": connection.vendor,
            "river_version": river.__version__,
            "version": version("tailrace"),
        }
    )
