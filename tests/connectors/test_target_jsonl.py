"""`ticketfeed export --to singer:` piped into target-jsonl, unmodified, from the package index."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.client.test_columns import alike
from tests.client.traps import TRAPS
from tests.connectors.venvs import connector_bin
from tests.process.conftest import ENVIRONMENT, run
from ticketfeed.client.exporter import Exporter
from ticketfeed.client.sinks.columns import table_of

WRITE = """
import sys
from tests.client.test_sinks import point
from tests.client.traps import TRAPS
from ticketfeed.client.sinks import Batch, SinkOptions, open_sink
with open_sink("singer:", ["tickets"], SinkOptions()) as sink:
    sink.open({})
    for number, records in enumerate(TRAPS.values()):
        sink.write([Batch("tickets", records)], point(number))
"""


def load(folder: Path, messages: bytes) -> list[Any]:
    """Feed the target; the STATE that it hands on."""
    (folder / "config.json").write_text(json.dumps({"destination_path": str(folder), "do_timestamp_file": False}))
    target = connector_bin("target-jsonl") / "target-jsonl"
    done = subprocess.run(
        [str(target), "--config", "config.json"],
        cwd=folder,
        input=messages,
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()[-3000:]
    return [json.loads(line) for line in done.stdout.splitlines()]


def loaded(folder: Path, stream: str) -> list[Any]:
    table = table_of(stream)
    rows = [json.loads(line) for line in (folder / f"{stream}.jsonl").read_bytes().splitlines()]
    return [json.loads(table.record([row[name] for name in table.names])) for row in rows]


def test_an_export(tmp_path: Path) -> None:
    """Every record arrives value for value; the last STATE is where `--resume-from` goes on, with nothing left."""
    assert run("generate", "40", "--out", "world.ndjson", cwd=tmp_path).code == 0
    assert run("load", "world.ndjson", cwd=tmp_path).code == 0
    streams = [word for name in ("tickets", "users", "tags") for word in ("--stream", name)]
    done = run("export", "sqlite:///ticketfeed.db", *streams, "--to", "singer:", cwd=tmp_path)
    assert done.code == 0, done.err
    states = load(tmp_path, done.out)
    for stream in ("tickets", "users", "tags"):
        with Exporter(f"sqlite:///{tmp_path}/ticketfeed.db", streams=[stream]) as exporter:
            wanted = [record for page in exporter for record in page.decode()]
        found = loaded(tmp_path, stream)
        assert len(found) == len(wanted)
        assert all(map(alike, found, wanted))
    (tmp_path / "state.json").write_text(json.dumps(states[-1]))
    again = run(
        *("export", "sqlite:///ticketfeed.db", "--stream", "tickets", "--resume-from", "state.json"),
        *("--to", "rest.ndjson"),
        cwd=tmp_path,
    )
    assert again.code == 0, again.err
    assert (tmp_path / "rest.ndjson").read_bytes() == b""


def test_traps(tmp_path: Path) -> None:
    """Each trap fits its schema, and arrives value for value."""
    written = subprocess.run(
        [sys.executable, "-c", WRITE], env=ENVIRONMENT, capture_output=True, timeout=60, check=True
    )
    load(tmp_path, written.stdout)
    wanted = [json.loads(record) for records in TRAPS.values() for record in records]
    found = loaded(tmp_path, "tickets")
    assert len(found) == len(wanted)
    assert all(map(alike, found, wanted))
