"""Traces, for whoever collects them: one span a request, sent to where OpenTelemetry's own variables say.

OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_SERVICE_NAME and the others of OpenTelemetry are read by its library. Spans carry no
header, and of a query only what the log has, too.
"""

import importlib.util
from collections.abc import Callable, MutableMapping
from typing import Any

from starlette.types import ASGIApp

from ticketfeed.protocol.errors import OperatorError
from ticketfeed.server.middleware.access_log import logged_query

__all__ = ["require_telemetry", "trace"]

_SERVICE = "ticketfeed"
# What only machines ask, every few seconds.
_UNTOLD = "/_ticketfeed/health,/_ticketfeed/ready,/_ticketfeed/metrics"


def require_telemetry() -> None:
    """Raises OperatorError where the extra is not installed."""
    if any(importlib.util.find_spec(name) is None for name in ("opentelemetry", "asgiref")):
        raise OperatorError("traces need OpenTelemetry: pip install 'ticketfeed[telemetry]'")


def trace(app: ASGIApp) -> tuple[ASGIApp, Callable[[], None]]:
    """The application, traced; and what sends the last spans at the end. Raises OperatorError without the extra."""
    require_telemetry()
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
    from opentelemetry.sdk.resources import OTELResourceDetector, Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.util.http import parse_excluded_urls

    resource = Resource.create({"service.name": _SERVICE}).merge(OTELResourceDetector().detect())  # variables win
    provider = TracerProvider(resource=resource)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    traced = OpenTelemetryMiddleware(
        app,
        excluded_urls=parse_excluded_urls(_UNTOLD),
        tracer_provider=provider,
        server_request_hook=_hide,
        exclude_spans=["receive", "send"],
    )
    return traced, provider.shutdown


def _hide(span: Any, scope: MutableMapping[str, Any]) -> None:
    """Put an address without unknown parameters in the place of the whole one, under the old name and the new."""
    if not span.is_recording():
        return
    query = "&".join(f"{name}={value}" for name, value in logged_query(scope["query_string"]).items())
    for name in ("http.url", "http.target", "url.query", "url.full"):
        if name in (span.attributes or {}):
            base = str(span.attributes[name]).partition("?")[0] if name != "url.query" else ""
            separator = "?" if base and query else ""
            span.set_attribute(name, f"{base}{separator}{query}")
