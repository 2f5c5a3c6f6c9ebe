"""GET /metrics, for Prometheus."""

from collections.abc import Iterator

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt
from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.metrics_core import Metric

from server.core import build_info
from server.core.errors import Forbidden, TailraceError
from server.operations import database_metrics, exposition, process_gauges, process_metrics


class MethodNotAllowed(TailraceError):
    """The method isn't supported."""

    status = 405
    code = "method_not_allowed"
    headers = {"Allow": "GET, HEAD"}


def all_metrics() -> Iterator[Metric]:
    """Yield all metrics of this server, the same in each of its processes."""
    config = settings.TAILRACE
    process_gauges.update()
    yield InfoMetricFamily("tailrace_build", "Versions of the server", value=build_info.build())
    yield GaugeMetricFamily("tailrace_workers", "Configured number of server processes", value=config.workers)
    yield from process_metrics.families()
    yield from database_metrics.families()


@csrf_exempt
def metrics(request: HttpRequest) -> HttpResponse:
    """GET /metrics, in Prometheus's text format.

    Raises
    ------
    MethodNotAllowed
        If it isn't a GET.
    Forbidden
        If the caller's token is for some streams only.
    """
    if request.method not in ("GET", "HEAD"):
        raise MethodNotAllowed(f"/metrics supports GET, not {request.method}")
    caller = getattr(request, "caller", None)
    if caller is not None and caller.streams is not None:
        raise Forbidden(
            "this token is restricted to some streams, and /metrics covers the whole server", code="streams"
        )
    # Not OpenMetrics, which Prometheus prefers: it takes twice as long to write and adds nothing here.
    response = HttpResponse(exposition.text(all_metrics()), content_type=CONTENT_TYPE_PLAIN_0_0_4)
    response["Cache-Control"] = "no-store"
    return response
