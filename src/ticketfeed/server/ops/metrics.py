"""Prometheus metrics: counters of the server's processes, and gauges of the feeds and their consumers.

Counters are held by prometheus-client, with several worker processes in files that they share. Gauges are read from the
store at each scrape, so every process reports the same values.
"""

import contextlib
import os
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from socket import gethostname
from typing import TYPE_CHECKING, Any

from ticketfeed.data.status import FeedStatus
from ticketfeed.mirror.status import STATES
from ticketfeed.protocol.model import Account
from ticketfeed.server.ops.usage_tracker import Answered
from ticketfeed.storage.pool_status import NodeStatus, PoolStatus

if TYPE_CHECKING:
    from prometheus_client import Metric

__all__ = ["METRICS", "MULTIPROCESS_VARIABLE", "Metrics", "forget_process", "make_metrics"]

MULTIPROCESS_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

_ACCOUNT = ("account",)
_CONSUMER = ("account", "credential", "export", "user_agent")
_POOL = ("server", "role", "pool")
# name -> (type, labels, what it is): the table of docs/reference/metrics.md.
METRICS: dict[str, tuple[str, tuple[str, ...], str]] = {
    "ticketfeed_requests_total": (
        "counter",
        ("account", "endpoint", "method", "status"),
        "Requests answered.",
    ),
    "ticketfeed_request_seconds": (
        "histogram",
        ("account", "endpoint"),
        "Seconds from the request head to the end of the response.",
    ),
    "ticketfeed_sent_bytes_total": ("counter", ("account", "endpoint"), "Bytes of response bodies sent."),
    "ticketfeed_pages_total": ("counter", ("account", "export"), "Export pages sent."),
    "ticketfeed_rows_total": ("counter", ("account", "export"), "Records in those pages."),
    "ticketfeed_credentials_refused_total": (
        "counter",
        ("account", "reason"),
        "Credentials refused: a wrong token, a wrong password, or unchecked, because too many were wrong before.",
    ),
    "ticketfeed_maintenance_rounds_total": (
        "counter",
        (),
        "Rounds of maintenance that this server has done; of all servers of a store one does them.",
    ),
    "ticketfeed_server_info": (
        "gauge",
        ("host", "version"),
        "1; the machine that the samples are from, and its release.",
    ),
    "ticketfeed_pool_connections": (
        "gauge",
        _POOL,
        "Open connections of this server's processes to a PostgreSQL server.",
    ),
    "ticketfeed_pool_used_connections": ("gauge", _POOL, "Those of them that are in use."),
    "ticketfeed_pool_waiting": ("gauge", _POOL, "Calls that wait for a connection."),
    "ticketfeed_pool_avoided": (
        "gauge",
        _POOL,
        "Processes that ask another server first, because this one failed in the last ten seconds.",
    ),
    "ticketfeed_pool_requests_total": ("counter", _POOL, "Uses of a connection."),
    "ticketfeed_pool_errors_total": (
        "counter",
        _POOL,
        "Connections that were not made, not given in time, or lost.",
    ),
    "ticketfeed_citus_node_up": (
        "gauge",
        ("node",),
        "1 if the coordinator reaches a worker node of Citus, else 0; asked at most every 15 seconds.",
    ),
    "ticketfeed_citus_node_bytes": ("gauge", ("node",), "Size of the database on a node that is reached."),
    "ticketfeed_store_up": ("gauge", (), "1 if the store is readable, else 0 (store metrics are then omitted)."),
    "ticketfeed_tickets": ("gauge", ("account",), "Tickets stored, including deleted ones."),
    "ticketfeed_newest_change_timestamp_seconds": ("gauge", ("account",), "The second of the newest change."),
    "ticketfeed_watermark_timestamp_seconds": ("gauge", ("account",), "The watermark: the feed is complete up to it."),
    "ticketfeed_watermark_lag_seconds": ("gauge", ("account",), "Seconds between the watermark and the newest change."),
    "ticketfeed_ticket_bytes": ("gauge", _ACCOUNT, "Bytes of the account's tickets when it was last measured."),
    "ticketfeed_records": ("gauge", _ACCOUNT, "Records other than tickets that it had then."),
    "ticketfeed_record_bytes": ("gauge", _ACCOUNT, "Bytes of those."),
    "ticketfeed_account_tickets_max": ("gauge", _ACCOUNT, "The account's quota of tickets; missing if it has none."),
    "ticketfeed_account_bytes_max": ("gauge", _ACCOUNT, "The account's quota of bytes; missing if it has none."),
    "ticketfeed_measured_timestamp_seconds": (
        "gauge",
        _ACCOUNT,
        "When an account was last measured: an hour after the last time at the earliest, a day if no ticket changed.",
    ),
    "ticketfeed_store_bytes": ("gauge", (), "Size of the store on disk."),
    "ticketfeed_consumer_lag_tickets": (
        "gauge",
        _CONSUMER,
        "Changes that a consumer has not received yet, counted up to 10,000.",
    ),
    "ticketfeed_consumer_lag_seconds": (
        "gauge",
        _CONSUMER,
        "Seconds that the first of them has been pending.",
    ),
    "ticketfeed_consumer_missed_tickets": (
        "gauge",
        _CONSUMER,
        "Tickets in ranges that a consumer skipped.",
    ),
    "ticketfeed_consumer_looping": (
        "gauge",
        _CONSUMER,
        "1 while a consumer requests the same page repeatedly.",
    ),
    "ticketfeed_consumer_repeats_total": (
        "counter",
        _CONSUMER,
        "Pages of which a consumer had received everything before.",
    ),
    "ticketfeed_consumer_last_seen_timestamp_seconds": (
        "gauge",
        _CONSUMER,
        "Time of the last request of a consumer.",
    ),
    "ticketfeed_mirror_info": ("gauge", ("account", "source"), "1 for an account that is a mirror of this source."),
    "ticketfeed_mirror_state": (
        "gauge",
        ("account", "state"),
        f"1 for the state that a mirror is in, 0 for the others: {', '.join(STATES)}.",
    ),
    "ticketfeed_mirror_copied_total": ("counter", _ACCOUNT, "Records that the source has given."),
    "ticketfeed_mirror_applied_total": (
        "counter",
        _ACCOUNT,
        "Records of this account that they changed; tickets bring their metric sets.",
    ),
    "ticketfeed_mirror_behind_seconds": (
        "gauge",
        _ACCOUNT,
        "How far a mirror is behind its source; missing until each stream has given a page, and of an archive.",
    ),
    "ticketfeed_mirror_behind_changes": (
        "gauge",
        _ACCOUNT,
        "Changes of tickets that are still to be read, estimated; missing if that is not known.",
    ),
    "ticketfeed_mirror_requests_per_minute": (
        "gauge",
        _ACCOUNT,
        "Requests that may be sent to the source a minute; 0 for no limit.",
    ),
    "ticketfeed_mirror_requests_used": ("gauge", _ACCOUNT, "Requests sent to the source in the last minute."),
    "ticketfeed_mirror_eta_seconds": ("gauge", _ACCOUNT, "Seconds until it is caught up; missing if not known."),
    "ticketfeed_mirror_verified_timestamp_seconds": (
        "gauge",
        _ACCOUNT,
        "When a mirror was last compared with its source; missing if it never was.",
    ),
    "ticketfeed_mirror_differences": (
        "gauge",
        _ACCOUNT,
        "Differences from the source that were found then, and again after the lag had cleared.",
    ),
}
# Metric -> the member of an account's size that it is.
_SIZES = {
    "ticketfeed_ticket_bytes": "ticket_bytes",
    "ticketfeed_records": "records",
    "ticketfeed_record_bytes": "record_bytes",
    "ticketfeed_measured_timestamp_seconds": "measured_at",
}
# Gauges of processes: metric -> the member of a pool's status that it is. The first of them are counted on.
_POOL_GAUGES = {
    "ticketfeed_pool_connections": "open",
    "ticketfeed_pool_used_connections": "used",
    "ticketfeed_pool_waiting": "waiting",
    "ticketfeed_pool_avoided": "is_avoided",
}
_POOL_COUNTERS = {"ticketfeed_pool_requests_total": "requests", "ticketfeed_pool_errors_total": "errors"}
# Counters that are stored, where all processes read them.
_STORED_COUNTERS = {
    "ticketfeed_consumer_repeats_total",
    "ticketfeed_mirror_copied_total",
    "ticketfeed_mirror_applied_total",
}
# Metric -> the member of a mirror's status that it is.
_MIRROR_VALUES = {
    "mirror_copied_total": "copied",
    "mirror_applied_total": "applied",
    "mirror_behind_seconds": "behind_seconds",
    "mirror_behind_changes": "behind_changes",
    "mirror_requests_per_minute": "requests_per_minute",
    "mirror_requests_used": "requests_used",
    "mirror_eta_seconds": "eta_seconds",
    "mirror_verified_timestamp_seconds": "verified_at",
    "mirror_differences": "differences",
}


def forget_process(pid: int | None) -> None:
    """Leave out the gauges of a process that has ended; what it counted stays counted."""
    with contextlib.suppress(ModuleNotFoundError):
        from prometheus_client.multiprocess import mark_process_dead

        mark_process_dead(pid)  # type: ignore[no-untyped-call]


def make_metrics() -> "Metrics | None":
    """The metrics, or None if prometheus-client is not installed."""
    try:
        return Metrics()
    except ModuleNotFoundError as error:
        if error.name != "prometheus_client":
            raise
        return None


class Metrics:
    """The counters of this process, and the exposition text of all processes."""

    def __init__(self) -> None:
        import prometheus_client

        self._client = prometheus_client
        self._registry = registry = prometheus_client.CollectorRegistry()

        def create(kind: Any, name: str, **options: Any) -> Any:
            _, labels, text = METRICS[name]
            return kind(name, text, labels, registry=registry, **options)

        self._requests = create(prometheus_client.Counter, "ticketfeed_requests_total")
        self._seconds = create(prometheus_client.Histogram, "ticketfeed_request_seconds", buckets=_BUCKETS)
        self._sent = create(prometheus_client.Counter, "ticketfeed_sent_bytes_total")
        self._pages = create(prometheus_client.Counter, "ticketfeed_pages_total")
        self._rows = create(prometheus_client.Counter, "ticketfeed_rows_total")
        self._refused = create(prometheus_client.Counter, "ticketfeed_credentials_refused_total")
        self._rounds = create(prometheus_client.Counter, "ticketfeed_maintenance_rounds_total")
        self._pools = {
            **{name: create(prometheus_client.Gauge, name, multiprocess_mode="livesum") for name in _POOL_GAUGES},
            **{name: create(prometheus_client.Counter, name) for name in _POOL_COUNTERS},
        }
        # What the counters of pools have been raised to, by metric and labels.
        self._counted: dict[tuple[str, ...], int] = {}
        self._children: dict[tuple[str, ...], tuple[Any, ...]] = {}

    def add(self, answered: Answered) -> None:
        """Count a request. Label lookups are cached: they cost more than counting."""
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
            page_key = account, context.served.export
            children = self._children.get(page_key)
            if children is None:
                children = self._children[page_key] = self._pages.labels(*page_key), self._rows.labels(*page_key)
            children[0].inc()
            children[1].inc(context.served.rows)

    def add_refusal(self, account: Account, reason: str) -> None:
        """Count credentials that were refused."""
        self._refused.labels(account.subdomain, reason).inc()

    def add_round(self) -> None:
        """Count a round of maintenance."""
        self._rounds.inc()

    def note_pools(self, pools: Iterable[PoolStatus]) -> None:
        """Take over how this process uses its connections now."""
        for each in pools:
            labels = each.server, each.role, each.pool
            for name, member in _POOL_GAUGES.items():
                self._pools[name].labels(*labels).set(getattr(each, member))
            for name, member in _POOL_COUNTERS.items():
                count, key = getattr(each, member), (name, *labels)
                self._pools[name].labels(*labels).inc(max(0, count - self._counted.get(key, 0)))
                self._counted[key] = count

    def text(
        self,
        statuses: Sequence[FeedStatus] | None,
        mirrors: Mapping[str, Mapping[str, Any]],
        only: str | None = None,
        nodes: Iterable[NodeStatus] = (),
    ) -> tuple[bytes, str]:
        """The exposition text and its content type.

        `statuses`: None if the store cannot be read. `mirrors`: the status of each (mirror/status.py), by account.
        `only`: the account to restrict the samples to. `nodes`: of Citus.
        """
        registry = self._client.CollectorRegistry()
        registry.register(_Filtered(self._counters(), only))
        registry.register(_Filtered(self._gauges(statuses, mirrors, nodes), only))
        return self._client.generate_latest(registry), self._client.CONTENT_TYPE_LATEST

    def _counters(self) -> Iterable["Metric"]:
        if MULTIPROCESS_VARIABLE not in os.environ:
            return list(self._registry.collect())
        from prometheus_client.multiprocess import MultiProcessCollector

        shared = self._client.CollectorRegistry()
        # The library is not annotated here.
        MultiProcessCollector(shared)  # type: ignore[no-untyped-call]
        return list(shared.collect())

    def _gauges(
        self,
        statuses: Sequence[FeedStatus] | None,
        mirrors: Mapping[str, Mapping[str, Any]],
        nodes: Iterable[NodeStatus],
    ) -> Iterable["Metric"]:
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        families: dict[str, Any] = {}
        for name, (kind, labels, text) in METRICS.items():
            if (kind == "gauge" and name not in _POOL_GAUGES) or name in _STORED_COUNTERS:
                family = GaugeMetricFamily if kind == "gauge" else CounterMetricFamily
                families[name] = family(name, text, labels=labels)

        def put(name: str, labels: Sequence[str], value: float) -> None:
            families[f"ticketfeed_{name}"].add_metric(labels, value)

        put("server_info", [gethostname(), version("ticketfeed")], 1)
        for node, size_bytes in nodes:
            put("citus_node_up", [node], size_bytes is not None)
            if size_bytes is not None:
                put("citus_node_bytes", [node], size_bytes)
        put("store_up", [], statuses is not None)
        for feed in statuses or ():
            own = [feed.account.subdomain]
            put("tickets", own, feed.state.ticket_count)
            put("newest_change_timestamp_seconds", own, feed.state.last_generated_timestamp)
            put("watermark_timestamp_seconds", own, feed.state.watermark)
            put("watermark_lag_seconds", own, feed.open_seconds)
            if feed.size is not None:
                for name, member in _SIZES.items():
                    families[name].add_metric(own, getattr(feed.size, member))
            for name, most in feed.quota._asdict().items():
                if most is not None:
                    put(f"account_{name}", own, most)
            for status in feed.consumers:
                consumer = status.consumer
                of = [*own, str(consumer.credential_id), consumer.reads, consumer.user_agent]
                put("consumer_lag_tickets", of, status.pending)
                put("consumer_lag_seconds", of, status.lag_seconds)
                put("consumer_missed_tickets", of, status.missed)
                put("consumer_looping", of, consumer.is_looping)
                put("consumer_repeats_total", of, consumer.repeats)
                put("consumer_last_seen_timestamp_seconds", of, consumer.last_at)
        if statuses:
            put("store_bytes", [], statuses[0].size_bytes)
        for account, values in mirrors.items():
            put("mirror_info", [account, values["source"]], 1)
            for state in STATES:
                put("mirror_state", [account, state], state == values["state"])
            for name, member in _MIRROR_VALUES.items():
                if values[member] is not None:
                    put(name, [account], values[member])
        return families.values()


class _Filtered:
    """Metric families restricted to one account, and without the `_created` samples."""

    def __init__(self, families: Iterable["Metric"], only: str | None) -> None:
        self._families, self._only = families, only

    def collect(self) -> Iterable["Metric"]:
        for family in self._families:
            samples = [sample for sample in family.samples if not sample.name.endswith("_created")]
            family.samples = [s for s in samples if self._only in (None, s.labels.get("account"))]
            if family.samples or self._only is None:
                yield family
