"""What Prometheus is told: what the processes of a server have done, and how the feeds and their consumers stand.

Counters are kept by prometheus-client, in files that all processes share where there are several. How things stand is
read from the store when it is asked for, so every process tells the same.
"""

import os
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from ticketfeed.data.status import FeedStatus
from ticketfeed.server.ops.usage_tracker import Answered

if TYPE_CHECKING:
    from prometheus_client import Metric

__all__ = ["METRICS", "MULTIPROCESS_VARIABLE", "Metrics", "make_metrics"]

MULTIPROCESS_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

_CONSUMER = ("account", "credential", "export", "user_agent")
# name -> (type, labels, what it is): the table of docs/reference/metrics.md.
METRICS: dict[str, tuple[str, tuple[str, ...], str]] = {
    "ticketfeed_requests_total": (
        "counter",
        ("account", "endpoint", "method", "status"),
        "Requests that were answered.",
    ),
    "ticketfeed_request_seconds": (
        "histogram",
        ("account", "endpoint"),
        "From a request's head to the end of its answer.",
    ),
    "ticketfeed_sent_bytes_total": ("counter", ("account", "endpoint"), "Bytes of bodies sent."),
    "ticketfeed_pages_total": ("counter", ("account", "export"), "Pages of exports sent."),
    "ticketfeed_rows_total": ("counter", ("account", "export"), "Tickets, users and others in those pages."),
    "ticketfeed_store_up": ("gauge", (), "1 where the store can be read; 0 where not, and nothing below is told."),
    "ticketfeed_tickets": ("gauge", ("account",), "Tickets stored, deleted ones included."),
    "ticketfeed_newest_change_timestamp_seconds": ("gauge", ("account",), "The second of the newest change."),
    "ticketfeed_watermark_timestamp_seconds": ("gauge", ("account",), "The watermark: all up to it is complete."),
    "ticketfeed_watermark_lag_seconds": ("gauge", ("account",), "How far the watermark is behind the newest change."),
    "ticketfeed_store_bytes": ("gauge", (), "What the store takes on disk."),
    "ticketfeed_consumer_lag_tickets": (
        "gauge",
        _CONSUMER,
        "Changes that a consumer was not given yet, counted up to 10,000.",
    ),
    "ticketfeed_consumer_lag_seconds": (
        "gauge",
        _CONSUMER,
        "How long the first of them has waited.",
    ),
    "ticketfeed_consumer_missed_tickets": (
        "gauge",
        _CONSUMER,
        "Tickets in ranges that a consumer skipped.",
    ),
    "ticketfeed_consumer_looping": (
        "gauge",
        _CONSUMER,
        "1 while a consumer asks for the same page again and again.",
    ),
    "ticketfeed_consumer_repeats_total": (
        "counter",
        _CONSUMER,
        "Pages of which a consumer had been given everything before.",
    ),
    "ticketfeed_consumer_last_seen_timestamp_seconds": (
        "gauge",
        _CONSUMER,
        "When a consumer was last served.",
    ),
}


def make_metrics() -> "Metrics | None":
    """None where prometheus-client is not installed."""
    try:
        return Metrics()
    except ModuleNotFoundError as error:
        if error.name != "prometheus_client":
            raise
        return None


class Metrics:
    """The counters of one process, and the text of them all."""

    def __init__(self) -> None:
        import prometheus_client

        self._client = prometheus_client
        self._registry = registry = prometheus_client.CollectorRegistry()

        def made(kind: Any, name: str, **options: Any) -> Any:
            _, labels, text = METRICS[name]
            return kind(name, text, labels, registry=registry, **options)

        self._requests = made(prometheus_client.Counter, "ticketfeed_requests_total")
        self._seconds = made(prometheus_client.Histogram, "ticketfeed_request_seconds", buckets=_BUCKETS)
        self._sent = made(prometheus_client.Counter, "ticketfeed_sent_bytes_total")
        self._pages = made(prometheus_client.Counter, "ticketfeed_pages_total")
        self._rows = made(prometheus_client.Counter, "ticketfeed_rows_total")
        self._children: dict[tuple[str, ...], tuple[Any, Any, Any]] = {}

    def add(self, answered: Answered) -> None:
        """Count a request. The series it belongs to are looked up once."""
        context = answered.context
        account = context.account.subdomain if context.account else ""
        key = account, context.endpoint, answered.scope["method"], str(answered.status)
        children = self._children.get(key)
        if children is None:
            requests = self._requests.labels(*key)
            seconds, sent = (each.labels(account, context.endpoint) for each in (self._seconds, self._sent))
            children = self._children[key] = requests, seconds, sent
        children[0].inc()
        children[1].observe(answered.seconds)
        children[2].inc(answered.sent)
        if context.served is not None and answered.status == 200 and answered.is_whole:
            self._pages.labels(account, context.served.export).inc()
            self._rows.labels(account, context.served.export).inc(context.served.rows)

    def text(self, statuses: Sequence[FeedStatus] | None, only: str | None = None) -> tuple[bytes, str]:
        """The text for Prometheus, and its content type. `surveys`: None where the store cannot be read. `only`:
        nothing but of this account."""
        registry = self._client.CollectorRegistry()
        registry.register(_Filtered(self._collected(), only))
        registry.register(_Filtered(self._standing(statuses), only))
        return self._client.generate_latest(registry), self._client.CONTENT_TYPE_LATEST

    def _collected(self) -> Iterable["Metric"]:
        if MULTIPROCESS_VARIABLE not in os.environ:
            return list(self._registry.collect())
        from prometheus_client.multiprocess import MultiProcessCollector

        shared = self._client.CollectorRegistry()
        # The library says no types here.
        MultiProcessCollector(shared)  # type: ignore[no-untyped-call]
        return list(shared.collect())

    def _standing(self, statuses: Sequence[FeedStatus] | None) -> Iterable["Metric"]:
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        families: dict[str, Any] = {}
        for name, (kind, labels, text) in METRICS.items():
            if kind == "gauge" or name == "ticketfeed_consumer_repeats_total":
                family = GaugeMetricFamily if kind == "gauge" else CounterMetricFamily
                families[name] = family(name, text, labels=labels)

        def put(name: str, labels: Sequence[str], value: float) -> None:
            families[f"ticketfeed_{name}"].add_metric(labels, value)

        put("store_up", [], statuses is not None)
        for found in statuses or ():
            own = [found.account.subdomain]
            put("tickets", own, found.state.ticket_count)
            put("newest_change_timestamp_seconds", own, found.state.last_generated_timestamp)
            put("watermark_timestamp_seconds", own, found.state.watermark)
            put("watermark_lag_seconds", own, found.open_seconds)
            for standing in found.consumers:
                consumer = standing.consumer
                of = [*own, str(consumer.credential_id), consumer.reads, consumer.user_agent]
                put("consumer_lag_tickets", of, standing.pending)
                put("consumer_lag_seconds", of, standing.lag_seconds)
                put("consumer_missed_tickets", of, standing.missed)
                put("consumer_looping", of, consumer.is_looping)
                put("consumer_repeats_total", of, consumer.repeats)
                put("consumer_last_seen_timestamp_seconds", of, consumer.last_at)
        if statuses:
            put("store_bytes", [], statuses[0].size_bytes)
        return families.values()


class _Filtered:
    """Families without the samples of other accounts, and without when each series began, which nobody asks."""

    def __init__(self, families: Iterable["Metric"], only: str | None) -> None:
        self._families, self._only = families, only

    def collect(self) -> Iterable["Metric"]:
        for family in self._families:
            told = [sample for sample in family.samples if not sample.name.endswith("_created")]
            family.samples = [s for s in told if self._only in (None, s.labels.get("account"))]
            if family.samples or self._only is None:
                yield family
