"""A dlt source over the exporter: every stream as a dlt resource of Arrow tables, for every destination that dlt has.

    import dlt
    from ticketfeed.dlt import ticketfeed_source

    pipeline = dlt.pipeline("zendesk", destination="duckdb", dataset_name="desk")
    pipeline.run(ticketfeed_source("https://acme.zendesk.com", streams=["tickets", "users"]))

Rows are merged on their id, and where a stream has come to is kept in dlt's state: the next run continues there. The
columns are those of the other targets of an export (names are the wire's, nested values and lists are JSON text,
`_extra` holds what the columns do not). Needs the extra `export`, and dlt.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from ticketfeed.client.exporter import Exporter
from ticketfeed.client.oauth import Credentials
from ticketfeed.client.sinks.arrow import arrow_batch, chunks
from ticketfeed.client.sinks.columns import Column, Kind, table_of
from ticketfeed.client.sinks.contract import SinkOptions
from ticketfeed.client.sinks.rows import LISTS, StreamRows, lists_as_text
from ticketfeed.client.streams import STREAMS, choose_streams

__all__ = ["DELETED", "ticketfeed_source"]

# With hard deletes, the column by which dlt knows what to delete.
DELETED = "_deleted"


def ticketfeed_source(
    source: str,
    streams: Sequence[str] = ("tickets",),
    *,
    credentials: Credentials | None = None,
    since: int = 0,
    until: int | None = None,
    hard_deletes: bool = False,
    **options: Any,
) -> Any:
    """A dlt source with a resource for each stream.

    `source`, `streams`, `credentials`, `since`, `until` and `options` are those of ticketfeed.Exporter. Deleted
    tickets are rows with the status `deleted`; with `hard_deletes` they are deleted in the destination.
    """
    import dlt  # here, so that this module can be imported where dlt is not installed

    names = choose_streams(tuple(streams))
    arguments = {"credentials": credentials, "since": since, "until": until, **options}

    # Inside, so that dlt takes no argument of ours from its configuration: credentials would be looked for there.
    def resources() -> Iterator[Any]:
        for name in names:
            hard = hard_deletes and name == "tickets"
            yield dlt.resource(
                _pages(name, source, arguments, dlt.current.resource_state, hard_deletes=hard),
                name=name,
                primary_key=table_of(name).columns[table_of(name).key].name,
                write_disposition="merge",
                columns=_hints(name, hard_deletes=hard),
            )

    return dlt.source(resources, name="ticketfeed", max_table_nesting=0)()


def _hints(stream: str, *, hard_deletes: bool) -> dict[str, Any]:
    hints: dict[str, Any] = {}
    time_key = STREAMS[stream].time_key
    if time_key in table_of(stream).names:  # of several states in one run, the latest
        hints[time_key] = {"dedup_sort": "desc"}
    if hard_deletes:
        hints[DELETED] = {"data_type": "bool", "hard_delete": True}
    return hints


def _pages(
    stream: str,
    source: str,
    arguments: dict[str, Any],
    resource_state: Callable[[], dict[str, Any]],
    *,
    hard_deletes: bool,
) -> Callable[[], Iterator[pa.Table]]:
    def pages() -> Iterator[pa.Table]:
        state = resource_state()
        states = {stream: state["position"]} if "position" in state else {}
        rows = StreamRows(stream, SinkOptions())
        with Exporter(source, streams=[stream], states=states, **arguments) as exporter:
            for page in exporter:
                tables = [_table(rows, records, hard_deletes=hard_deletes) for records in chunks(page.records)]
                yield from tables[:-1]
                # Before the last one: `add_limit` ends a resource at a yield, and what was yielded is loaded.
                state["position"] = dict(page.state)
                yield from tables[-1:]

    return pages


def _table(rows: StreamRows, records: Sequence[bytes], *, hard_deletes: bool) -> pa.Table:
    latest = [row for row in rows.latest(records).values() if row is not None]
    columns = [Column(column.name, Kind.JSON if column.kind in LISTS else column.kind) for column in rows.columns]
    table = pa.Table.from_batches([arrow_batch(columns, list(lists_as_text(rows.columns, latest)))])
    schema = table.schema.set(rows.table.key, table.schema.field(rows.table.key).with_nullable(False))
    table = table.cast(schema)
    if hard_deletes:
        table = table.append_column(DELETED, pc.fill_null(pc.equal(table.column("status"), "deleted"), False))
    return table
