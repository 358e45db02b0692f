"""OpenTelemetry traces: one span per request, exported to the endpoint of OpenTelemetry's own variables.

OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_SERVICE_NAME and the others of OpenTelemetry are read by its library. Spans contain no
headers, and the query only as it is logged.
"""

import importlib.util
from collections.abc import Callable, MutableMapping
from typing import Any
from urllib.parse import urlencode

from starlette.types import ASGIApp

from ticketfeed.protocol.errors import OperatorError
from ticketfeed.server.middleware.access_log import logged_query

__all__ = ["require_telemetry", "trace"]

_SERVICE = "ticketfeed"
# Polled by monitoring every few seconds.
_EXCLUDED = "/_ticketfeed/health,/_ticketfeed/ready,/_ticketfeed/metrics"


def require_telemetry() -> None:
    """Raises OperatorError if the extra `telemetry` is not installed."""
    if any(importlib.util.find_spec(name) is None for name in ("opentelemetry", "asgiref")):
        raise OperatorError("traces need OpenTelemetry: pip install 'ticketfeed[telemetry]'")


def trace(app: ASGIApp) -> tuple[ASGIApp, Callable[[], None]]:
    """The traced application, and what exports the last spans at shutdown. Raises OperatorError without the extra."""
    require_telemetry()
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
    from opentelemetry.sdk.resources import OTELResourceDetector, Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.util.http import parse_excluded_urls

    resource = Resource.create({"service.name": _SERVICE}).merge(
        OTELResourceDetector().detect()
    )  # environment variables take precedence
    provider = TracerProvider(resource=resource)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    traced = OpenTelemetryMiddleware(
        app,
        excluded_urls=parse_excluded_urls(_EXCLUDED),
        tracer_provider=provider,
        server_request_hook=_mask_url,
        exclude_spans=["receive", "send"],
    )
    return traced, provider.shutdown


def _mask_url(span: Any, scope: MutableMapping[str, Any]) -> None:
    """Replace the URL attributes, under their old and new names, by the URL as it is logged."""
    if not span.is_recording():
        return
    query = urlencode(logged_query(scope["query_string"]))
    for name in ("http.url", "http.target", "url.query", "url.full"):
        if name in (span.attributes or {}):
            base = str(span.attributes[name]).partition("?")[0] if name != "url.query" else ""
            separator = "?" if base and query else ""
            span.set_attribute(name, f"{base}{separator}{query}")
