"""Outputs of connectors: whatever layout a program writes, its tickets are recognised and compared with the feed."""

import gzip
import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import apsw
import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import requests

from ticketfeed.client.exporter import Exporter
from ticketfeed.client.oauth import Bearer
from ticketfeed.client.outputs import read_output
from ticketfeed.client.run import Run
from ticketfeed.client.sinks import SinkOptions, open_sink
from ticketfeed.protocol.errors import BadInput
from ticketfeed.protocol.output_check import OutputTicket
from ticketfeed.testing import FeedServer, serve_desk

TIME = "2023-11-14T22:13:20Z"
SECOND = 1_700_000_000
RECORD = {"id": 1, "generated_timestamp": SECOND, "updated_at": TIME, "status": "open", "subject": "a, b"}
TICKET = OutputTicket(SECOND, SECOND, "open", "a, b")


def lines(*values: object) -> bytes:
    return b"".join(json.dumps(value).encode() + b"\n" for value in values)


SINGER = [
    {"type": "SCHEMA", "stream": "tickets", "schema": {}, "key_properties": ["id"]},
    {"type": "RECORD", "stream": "users", "record": {"id": 9}},
    {"type": "RECORD", "stream": "tickets", "record": {"id": 1, "status": "new", "updated_at": "2001-01-01T00:00:00Z"}},
    {"type": "RECORD", "stream": "tickets", "record": RECORD},
    {"type": "STATE", "value": {}},
]
AIRBYTE = [
    {"type": "LOG", "log": {"level": "INFO", "message": "begins"}},
    {"type": "RECORD", "record": {"stream": "deleted_tickets", "data": {"id": 8}, "emitted_at": 1}},
    {"type": "RECORD", "record": {"stream": "tickets", "namespace": None, "data": RECORD, "emitted_at": 1}},
]
NORMALISED = {**RECORD, "id": "1", "generated_timestamp": str(SECOND), "updated_at": "2023-11-14T23:13:20.000+01:00"}

TEXTS: list[tuple[str, bytes]] = [
    ("lines", lines(RECORD)),
    ("lines with a mark", b"\xef\xbb\xbf" + lines(RECORD)),
    ("the last state counts", lines({**RECORD, "status": "new"}, RECORD)),
    ("without a last line end", lines(RECORD).rstrip()),
    ("pages", lines({"tickets": [RECORD], "end_of_stream": True})),
    ("one page, indented", json.dumps({"tickets": [RECORD]}, indent=2).encode()),
    ("a list", json.dumps([RECORD]).encode()),
    ("a list, indented", json.dumps([RECORD], indent=1).encode()),
    ("texts for numbers", lines(NORMALISED)),
    ("Singer", lines(*SINGER)),
    ("Airbyte", lines(*AIRBYTE)),
    ("Airbyte, local JSON", lines({"_airbyte_ab_id": "x", "_airbyte_data": RECORD})),
    ("compressed", gzip.compress(lines(RECORD))),
    ("CSV", b'id,status,subject,updated_at,generated_timestamp\n1,open,"a, b",2023-11-14 22:13:20,1700000000\n'),
    (
        "CSV, semicolons",
        f"id;status;subject;updated_at;generated_timestamp\r\n1;open;a, b;{TIME};{SECOND}\r\n".encode(),
    ),
    (
        "CSV, carriage returns",
        f"id\tstatus\tsubject\tupdated_at\tgenerated_timestamp\r1\topen\ta, b\t{TIME}\t{SECOND}\r".encode(),
    ),
    (
        "CSV, compressed",
        gzip.compress(
            f'x,id,subject,status,updated_at,generated_timestamp\n"1\n2",1,"a, b",open,{TIME},{SECOND}\n'.encode()
        ),
    ),
]


@pytest.mark.parametrize(("layout", "data"), TEXTS, ids=[layout for layout, _ in TEXTS])
def test_texts(layout: str, data: bytes, tmp_path: Path) -> None:
    """A file is recognised by its content, and a ticket whatever it is wrapped in."""
    path = tmp_path / "output.txt"
    path.write_bytes(data)
    output = read_output(str(path))
    assert output.tickets == {1: TICKET}, layout
    assert output.torn == []


def write_sqlite(path: Path, table: str) -> None:
    connection = apsw.Connection(str(path))
    connection.execute(
        f'CREATE TABLE "{table}" (id TEXT, status TEXT, subject TEXT, updated_at TEXT, generated_timestamp INT)'
    )
    connection.execute(f'INSERT INTO "{table}" VALUES (?, ?, ?, ?, ?)', ("1", "open", "a, b", TIME, SECOND))
    connection.execute('CREATE TABLE "_dlt_loads" (id)')
    connection.close()


def write_duckdb(path: Path, table: str) -> None:
    with duckdb.connect(str(path)) as connection:
        connection.execute("CREATE SCHEMA zendesk")
        connection.execute("CREATE TABLE users (id INT)")
        connection.execute(
            f"CREATE TABLE zendesk.{table} AS SELECT 1 AS id, 'open' AS status, 'a, b' AS subject, "
            f"TIMESTAMPTZ '{TIME}' AS updated_at, {SECOND} AS generated_timestamp"
        )


def write_parquet(path: Path, _table: str) -> None:
    pq.write_table(pa.Table.from_pylist([{**NORMALISED, "id": Decimal(1)}]), path)


@pytest.mark.parametrize("write", [write_sqlite, write_duckdb, write_parquet])
@pytest.mark.parametrize("table", ["tickets", "raw_tickets"])
def test_tables(write: Callable[[Path, str], None], table: str, tmp_path: Path) -> None:
    """A database or Parquet file is recognised by its content, and its table by its name."""
    path = tmp_path / "output"
    write(path, table)
    assert read_output(str(path)).tickets == {1: TICKET}


@pytest.mark.parametrize(
    ("data", "torn"),
    [
        (lines(RECORD)[:-9], 1),
        (lines(RECORD) + b'{"id": 2, "stat', 1),
        (lines(RECORD, {"id": 3}, {"status": "open"}, 7, "x", {**RECORD, "id": None}), 5),
        (lines(RECORD) + b"\x00\x00\x00\n", 1),
        (b"id,status\n1,open\n2\n", 1),
        (b"id,status\n1,open\rtwo,of\n", 1),
        (gzip.compress(lines(*[{**RECORD, "id": id, "subject": str(id**5)} for id in range(3000)]))[:-20], 1),
        (lines(SINGER[3]) + b'{"type": "RECORD", "stream": "tick\n', 1),
        (lines({"type": "RECORD", "stream": "tickets", "record": None}), 1),
    ],
)
def test_torn(data: bytes, torn: int, tmp_path: Path) -> None:
    """What is no whole record is counted, and the rest is read."""
    path = tmp_path / "output"
    path.write_bytes(data)
    assert read_output(str(path)).torn_count == torn


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (None, "there is no output"),
        (b"\x89PNG\r\n\x1a\n\x00\x00", "has none of the formats"),
        (b"name,value\nx,y\n", "has none of the formats"),
        (b"PAR1 and no more", "cannot be read"),
        (b"SQLite format 3\x00 and no more" + b"\x00" * 200, "cannot be read"),
        (b"\x00" * 8 + b"DUCK and no more" + b"\x00" * 200, "cannot be read"),
    ],
)
def test_bad_files(data: bytes | None, text: str, tmp_path: Path) -> None:
    """A file that is missing, damaged or of another kind is refused in one line."""
    path = tmp_path / "output"
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(BadInput, match=text) as refused:
        read_output(str(path))
    assert "\n" not in str(refused.value)


def test_bad_values(tmp_path: Path) -> None:
    """A database or Parquet file with a value that cannot be read is refused in one line."""
    sqlite, parquet = tmp_path / "tickets.sqlite", tmp_path / "tickets.parquet"
    connection = apsw.Connection(str(sqlite))
    connection.execute("CREATE TABLE tickets AS SELECT 1 AS id, CAST(x'ff' AS TEXT) AS subject")
    connection.close()
    pq.write_table(pa.table({"id": [1], "updated_at": pa.array([2**62], pa.timestamp("us"))}), parquet)
    for path in (sqlite, parquet):
        with pytest.raises(BadInput, match=f"{path.name} cannot be read: .*") as refused:
            read_output(str(path))
        assert "\n" not in str(refused.value)


def test_empty(tmp_path: Path) -> None:
    """An empty file is an output without tickets."""
    (tmp_path / "output").touch()
    assert read_output(str(tmp_path / "output")).tickets == {}


def export(desk: FeedServer, target: str) -> None:
    """Export the tickets with our own exporter."""
    source = desk.url
    identity: dict[str, Any] = {"source": source, "account": None, "streams": ["tickets"], "since": 0, "until": None}
    with (
        Exporter(source, credentials=Bearer(desk.token), give_up_after_seconds=5) as exporter,
        open_sink(target, ["tickets"], SinkOptions()) as sink,
    ):
        checkpoint = sink.open(identity)
        Run(exporter, sink, identity, checkpoint, lambda _page, _held: None).run()


def test_own_exporter(tmp_path: Path) -> None:
    """What our exporter writes passes, in each format; once the consumer was given changes that the file has not,
    it fails with their ids."""
    names = ("t.ndjson", "t.ndjson.gz", "t.ndjson.zst", "t.csv", "t.csv.gz", "t.parquet", "t.duckdb", "t.sqlite", "t/")
    with serve_desk(tickets=40) as desk:
        desk.put("tickets", {"id": 900, "status": "open"}, {"id": 901, "status": "deleted"})
        targets = [f"{tmp_path}/{name}" for name in names]
        for target in targets:
            export(desk, target)
            verdict = desk.verdict(output=target)
            assert (verdict.outcome, verdict.tickets) == ("PASS", 42), (target, verdict)
        desk.put("tickets", {"id": 900, "status": "deleted"}, {"id": 902}, {"id": 903, "status": "deleted"})
        ticket = desk.get("/api/v2/tickets")["tickets"][0]
        desk.put("tickets", {**ticket, "subject": "changed"})
        assert desk.verdict(output=targets[0]).outcome == "PASS"
        page = desk.get("/api/v2/incremental/tickets/cursor?start_time=0")
        assert page["end_of_stream"]
        requests.get(f"{desk.url}/api/v2/incremental/tickets/cursor?start_time=0", auth=desk.auth, timeout=60)
        for target in targets:
            verdict = desk.verdict(output=target)
            output = verdict.output
            assert output is not None
            assert (verdict.outcome, output.missing, output.stale, output.alive) == (
                "FAIL",
                (902,),
                (ticket["id"],),
                (900,),
            )
            assert verdict.reason == "in the output: 1 missing, 1 stale, 1 deleted but still alive"
