"""dlt's own source of REST APIs, told of Zendesk's addresses as its users do, into DuckDB."""

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb

from tests.connectors.store import EMAIL, TOKEN, World, change_store, exported, fill_store, listed, read_with, same
from tests.connectors.test_dlt import python

PROGRAM = """
import json, sys
import dlt
from dlt.sources.rest_api import rest_api_source

email, token = sys.argv[1:]

def cursor_export(kind, cursor_path, initial_value):
    return {
        "path": f"incremental/{kind}/cursor.json",
        "data_selector": kind,
        "params": {"per_page": 40, "start_time": "{incremental.start_value}"},
        "incremental": {"cursor_path": cursor_path, "initial_value": initial_value},
        "paginator": {
            "type": "cursor", "cursor_path": "after_cursor", "cursor_param": "cursor", "stop_after_empty_page": True
        },
    }

def cursor_list(path, kind=None):
    return {
        "path": path,
        "data_selector": kind or path,
        "params": {"page[size]": 40},
        "paginator": {"type": "json_link", "next_url_path": "links.next"},
    }

comments = cursor_list("tickets/{resources.listed_tickets.id}/comments", "comments")
source = rest_api_source({
    "client": {
        "base_url": "https://acme.zendesk.com/api/v2/",
        "auth": {"type": "http_basic", "username": f"{email}/token", "password": token},
    },
    "resource_defaults": {"primary_key": "id", "write_disposition": "merge", "max_table_nesting": 0},
    "resources": [
        {"name": "tickets", "endpoint": cursor_export("tickets", "generated_timestamp", 0)},
        {"name": "listed_tickets", "write_disposition": "replace", "endpoint": cursor_list("tickets", "tickets")},
        {"name": "comments", "write_disposition": "replace", "endpoint": comments},
        *({"name": name, "endpoint": cursor_list(name)} for name in ("users", "organizations", "ticket_fields")),
    ],
})
pipeline = dlt.pipeline("zendesk", destination="duckdb", dataset_name="desk", pipelines_dir="pipes")
pipeline.run(source)
print(json.dumps(pipeline.last_trace.last_normalize_info.row_counts))
"""


def test_rest_api(tmp_path: Path) -> None:
    """Every record arrives value for value; the next run reads on from where the last ended, and merges changes."""
    world = fill_store(tmp_path, 60)
    (tmp_path / "read.py").write_text(PROGRAM)
    read(tmp_path)
    check(tmp_path, world)
    world = change_store(tmp_path, world)
    assert 3 <= read(tmp_path)["tickets"] < 10
    check(tmp_path, world)


def read(folder: Path) -> dict[str, int]:
    """One run of the pipeline; the rows that it had, by table."""
    environment = {"DLT_DATA_DIR": str(folder / "dlt"), "RUNTIME__DLTHUB_TELEMETRY": "false"}
    return dict(json.loads(read_with(folder, python(), "read.py", EMAIL, TOKEN, env=environment).out))


def check(folder: Path, world: World) -> None:
    """Whether the destination holds this world, in which deleted tickets stay in the export, but not in the list."""
    tickets = listed(world)
    comments = {
        event["id"]: {**event, "created_at": audit["created_at"], "via": audit["via"], "metadata": audit["metadata"]}
        for audit in world["audits"].values()
        for event in audit["events"]
        if event["type"] in ("Comment", "VoiceComment") and audit["ticket_id"] in tickets
    }
    wanted = {
        "tickets": exported(world),
        "listed_tickets": tickets,
        "comments": comments,
        "users": {id: user for id, user in world["users"].items() if user["active"]},
        "organizations": world["organizations"],
        "ticket_fields": world["ticket_fields"],
    }
    for table, records in wanted.items():
        found = {row["id"]: row for row in rows(folder, table) if row.get("email") != EMAIL}
        assert found.keys() == records.keys(), table
        assert all(same(found[id], records[id]) for id in found), table


def rows(folder: Path, table: str) -> list[dict[str, Any]]:
    """The rows without what dlt adds, nested values decoded, times as text."""
    with duckdb.connect(str(folder / "zendesk.duckdb"), read_only=True) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        cells = connection.sql(f"SELECT * FROM desk.{table}")
        nested = {name for name, type in zip(cells.columns, cells.types, strict=True) if str(type) == "JSON"}
        return [
            {name: decode(cell, name in nested) for name, cell in row.items() if not name.startswith("_dlt")}
            for row in cells.to_arrow_table().to_pylist()
        ]


def decode(cell: Any, is_json: bool) -> Any:
    if is_json and cell is not None:
        return json.loads(cell)
    return cell.isoformat() if isinstance(cell, datetime) else cell
