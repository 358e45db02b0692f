"""ticketfeed.dlt in an environment that has dlt from the package index, into DuckDB and into files."""

import json
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.dataset as pd
import pytest

from tests.client.test_columns import alike
from tests.connectors.venvs import connector_bin
from tests.process.conftest import run
from tests.process.test_how_to import programs
from ticketfeed.client.exporter import Exporter
from ticketfeed.client.sinks.columns import Kind, table_of

ROOT = Path(__file__).parents[2]
SECONDS_MAX = 120

PROGRAM = """
import sys
import dlt
from ticketfeed.dlt import ticketfeed_source

where, hard_deletes, limit, streams = sys.argv[1], sys.argv[2] == "hard", int(sys.argv[3]), sys.argv[4:]
destination = dlt.destinations.filesystem("file://" + sys.argv[0].replace("load.py", "lake"))
pipeline = dlt.pipeline(
    "zendesk", destination=destination if where == "filesystem" else where, dataset_name="desk", pipelines_dir="pipes"
)
source = ticketfeed_source("sqlite:///ticketfeed.db", streams=streams, hard_deletes=hard_deletes, per_page=20)
if limit:
    source.tickets.add_limit(limit)
pipeline.run(source, loader_file_format="parquet")
for row in pipeline.last_trace.last_normalize_info.row_counts.items():
    print(*row)
"""


def load(folder: Path, where: str, *streams: str, deletes: str = "soft", limit: int = 0) -> dict[str, int]:
    """One run of the pipeline; the rows that it had, by table."""
    (folder / "load.py").write_text(PROGRAM)
    output = execute(folder, "load.py", where, deletes, str(limit), *streams)
    return {name: int(rows) for name, _, rows in (line.partition(" ") for line in output.splitlines())}


def execute(folder: Path, program: str, *arguments: str) -> str:
    done = subprocess.run(
        [str(python()), str(folder / program), *arguments],
        cwd=folder,
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "DLT_DATA_DIR": str(folder / "dlt"),
            "RUNTIME__DLTHUB_TELEMETRY": "false",
        },
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def python() -> Path:
    return connector_bin("dlt") / "python"


def loaded(folder: Path, where: str, stream: str) -> list[Any]:
    """The records in the destination, put together again from its columns."""
    table = table_of(stream)
    if where == "filesystem":
        found = pd.dataset(sorted((folder / "lake/desk" / stream).glob("*.parquet"))).to_table()
    else:
        with duckdb.connect(str(folder / "zendesk.duckdb"), read_only=True) as connection:
            connection.execute("SET TimeZone = 'UTC'")
            found = connection.sql(f"SELECT * FROM desk.{stream}").to_arrow_table()
    records = []
    for row in found.to_pylist():
        cells = []
        for column in table.columns:
            cell = row[column.name]
            if column.kind is Kind.TIME and cell is not None:
                cell = cell.isoformat().replace("+00:00", "Z")
            cells.append(json.loads(cell) if cell and column.kind in (Kind.INTEGERS, Kind.TEXTS) else cell)
        records.append(json.loads(table.record(cells)))
    return sorted(records, key=lambda record: str(record.get("id", record.get("name"))))


def given(folder: Path, stream: str) -> list[Any]:
    with Exporter(f"sqlite:///{folder}/ticketfeed.db", streams=[stream]) as exporter:
        records = [record for page in exporter for record in page.decode()]
    return sorted(records, key=lambda record: str(record.get("id", record.get("name"))))


def change(folder: Path) -> tuple[int, int]:
    """Change one ticket and delete another; their ids."""
    changed, deleted = [ticket["id"] for ticket in given(folder, "tickets") if ticket["status"] != "deleted"][:2]
    news = [
        {"id": changed, "subject": "changed", "created_at": "2020-01-01T00:00:00Z"},
        {"id": deleted, "status": "deleted", "created_at": "2020-01-01T00:00:00Z"},
    ]
    done = run("load", "-", cwd=folder, input="\n".join(map(json.dumps, news)).encode())
    assert done.code == 0, done.err
    time.sleep(1.1)  # the second of the load must be over
    return changed, deleted


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dlt")
    assert run("generate", "60", "--out", "world.ndjson", cwd=folder).code == 0
    assert run("load", "world.ndjson", cwd=folder).code == 0
    return folder


@pytest.fixture
def desk(original: Path, tmp_path: Path) -> Path:
    """A folder with a store that holds a world."""
    return Path(shutil.copytree(original, tmp_path / "desk"))


def test_into_duckdb(desk: Path) -> None:
    """Every record once and value for value; the next run brings what changed, and merges it."""
    streams = ("tickets", "users", "organizations", "ticket_events", "ticket_fields", "tags")
    first = load(desk, "duckdb", *streams)
    for stream in streams:
        wanted, found = given(desk, stream), loaded(desk, "duckdb", stream)
        assert len(wanted) == len(found) == first[stream]
        assert all(map(alike, found, wanted)), stream
    assert load(desk, "duckdb", "tickets").get("tickets", 0) == 0
    changed, deleted = change(desk)
    assert load(desk, "duckdb", "tickets")["tickets"] == 2
    found = loaded(desk, "duckdb", "tickets")
    assert found == given(desk, "tickets")
    states = {record["id"]: record for record in found}
    assert states[changed]["subject"] == "changed"
    assert states[deleted]["status"] == "deleted"


def test_hard_deletes(desk: Path) -> None:
    """With hard deletes, a deleted ticket leaves the destination, and those deleted before never come."""
    load(desk, "duckdb", "tickets", deletes="hard")
    _, deleted = change(desk)
    load(desk, "duckdb", "tickets", deletes="hard")
    found = loaded(desk, "duckdb", "tickets")
    assert deleted not in {record["id"] for record in found}
    assert found == [record for record in given(desk, "tickets") if record["status"] != "deleted"]


def test_in_pieces(desk: Path) -> None:
    """Runs that end after a page continue at the next one: no row is read twice or left out."""
    rows = [load(desk, "duckdb", "tickets", limit=1).get("tickets", 0) for _ in range(4)]
    assert rows == [20, 20, 20, 0]
    assert loaded(desk, "duckdb", "tickets") == given(desk, "tickets")


def test_into_files(desk: Path) -> None:
    """Files of Parquet: every record, and behind it each later state."""
    load(desk, "filesystem", "tickets")
    before = given(desk, "tickets")
    assert loaded(desk, "filesystem", "tickets") == before
    changed, deleted = change(desk)
    load(desk, "filesystem", "tickets")
    found = loaded(desk, "filesystem", "tickets")
    assert len(found) == len(before) + 2
    assert [record["subject"] for record in found if record["id"] == changed].count("changed") == 1
    assert [record["status"] for record in found if record["id"] == deleted].count("deleted") == 1


def test_the_program_of_the_page(desk: Path) -> None:
    """The program that the how-to page shows does what it says."""
    [(name, text)] = programs(ROOT / "docs/how-to/export-to-a-warehouse.md")
    (desk / name).write_text(text.replace("https://acme.zendesk.com", "sqlite:///ticketfeed.db"))
    for _ in range(2):
        assert "is LOADED and contains no failed jobs" in execute(desk, name)
        assert loaded(desk, "duckdb", "tickets") == given(desk, "tickets")
