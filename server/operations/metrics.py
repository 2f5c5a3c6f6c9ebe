"""GET /metrics: what Prometheus reads."""

import platform
from collections.abc import Iterator
from importlib.metadata import version

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt
from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.metrics_core import Metric

from server.operations import counted, exposition, kept, levels
from server.streams.errors import Forbidden, TailraceError


class OnlyRead(TailraceError):
    """The address is for reading."""

    status = 405
    code = "method_not_allowed"
    headers = {"Allow": "GET, HEAD"}


def everything() -> Iterator[Metric]:
    """All metrics of this server, whichever of its processes is asked."""
    config = settings.TAILRACE
    levels.say()
    yield InfoMetricFamily("tailrace_build", "What serves", value=_build())
    yield GaugeMetricFamily("tailrace_workers", "Server processes that there should be", value=config.workers)
    yield from counted.families()
    yield from kept.families()


def _build() -> dict[str, str]:
    return {
        "version": version("tailrace"),
        "python": platform.python_version(),
        "server": settings.TAILRACE.server,
        "database": settings.DATABASES["default"]["ENGINE"].rpartition(".")[2],
    }


@csrf_exempt
def metrics(request: HttpRequest) -> HttpResponse:
    """GET /metrics, in Prometheus's text format.

    Raises
    ------
    OnlyRead
        If it isn't a GET.
    Forbidden
        If the caller's token is for some streams only.
    """
    if request.method not in ("GET", "HEAD"):
        raise OnlyRead(f"/metrics takes GET, not {request.method}")
    identity = getattr(request, "identity", None)
    if identity is not None and identity.streams is not None:
        raise Forbidden("this token is for some streams only, and this is about the whole server", code="streams")
    # OpenMetrics, which Prometheus would rather have, takes twice as long to write, and has nothing more to say here.
    response = HttpResponse(exposition.text(everything()), content_type=CONTENT_TYPE_PLAIN_0_0_4)
    response["Cache-Control"] = "no-store"
    return response
