"""OpenTelemetry traces of requests, sent by OTLP over HTTP if an endpoint is set. Otherwise nothing is imported.

OpenTelemetry's own variables set the rest: ``OTEL_SERVICE_NAME``, ``OTEL_TRACES_SAMPLER``,
``OTEL_EXPORTER_OTLP_HEADERS`` …
"""

import multiprocessing.util
import os
import time
from collections.abc import Callable
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.exceptions import MiddlewareNotUsed
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from server.core import tracing
from server.core.tracing import Step

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

NAME = "tailrace"
TRACES = "/v1/traces"
"""Path that OTLP appends to the URL of a collector."""

UNTRACED = frozenset(("/healthz", "/readyz", "/metrics"))
"""Paths that are not traced, because they are requested every few seconds."""


class Tracing:
    """Outermost middleware that creates a span for each request, in the trace of its ``traceparent`` header."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        if not settings.TAILRACE.traces:
            raise MiddlewareNotUsed
        self._get_response = get_response
        self._spans = Spans(provider())
        tracing.Tracing.tracer = self._spans

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if request.path_info in UNTRACED:
            return self._get_response(request)
        with self._spans.of_request(request) as span:
            response = self._get_response(request)
            describe(span, request, response)
        return response


def provider() -> "TracerProvider":
    """Return the tracer provider of this process, which sends spans in batches, in a separate thread."""
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    own = settings.TAILRACE.otlp_endpoint
    endpoint = None if not own else own if own.endswith(TRACES) else own.rstrip("/") + TRACES
    service = {} if os.environ.get("OTEL_SERVICE_NAME") else {"service.name": NAME}
    made = TracerProvider(resource=Resource.create(service), shutdown_on_exit=False)
    made.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint)))
    multiprocessing.util.Finalize(
        None, made.shutdown, exitpriority=100
    )  # granian's workers run nothing else at their end
    return made


class Spans:
    """Creates spans from the steps of requests. Implements :class:`server.core.tracing.Tracer`."""

    def __init__(self, made: "TracerProvider") -> None:
        from opentelemetry import propagate, trace

        self._trace = trace
        self._extract = propagate.extract
        self._tracer = made.get_tracer(NAME)

    def of_request(self, request: HttpRequest) -> Any:
        """Start the span of a request, which is current in its thread."""
        carrier = {
            name: request.META[f"HTTP_{name.upper()}"]
            for name in ("traceparent", "tracestate")
            if f"HTTP_{name.upper()}" in request.META
        }
        return self._tracer.start_as_current_span(
            str(request.method), context=self._extract(carrier), kind=self._trace.SpanKind.SERVER
        )

    def note(self, name: str, began: int, steps: list[Step], attributes: dict[str, int | str]) -> None:
        """Create a span with a child span for each step, inside the span of this thread's request."""
        to_epoch = time.time_ns() - perf_counter_ns()
        span = self._tracer.start_span(name, start_time=began + to_epoch, attributes=attributes)
        inside = self._trace.set_span_in_context(span)
        for step, step_began, step_ended in steps:
            child = self._tracer.start_span(f"{name}.{step}", context=inside, start_time=step_began + to_epoch)
            child.end(step_ended + to_epoch)
        span.end()


def describe(span: Any, request: HttpRequest, response: HttpResponseBase) -> None:
    """Set name and attributes of the request's span by OpenTelemetry's conventions. The name contains the route."""
    match = request.resolver_match
    if match is not None:
        span.update_name(f"{request.method} /{match.route}")
        span.set_attribute("http.route", f"/{match.route}")
    span.set_attribute("http.request.method", str(request.method))
    span.set_attribute("http.response.status_code", response.status_code)
    span.set_attribute("tailrace.request_id", getattr(request, "request_id", "-"))
    if response.status_code >= 500:
        from opentelemetry.trace import StatusCode

        span.set_status(StatusCode.ERROR)
