"""Targets under attack: runs that are killed, disks that are full, folders and databases that cannot be written."""

import contextlib
import subprocess
import sys
from pathlib import Path

import apsw
import pytest

from tests.client.crash import CASES
from tests.client.targets import TARGETS, Target
from tests.client.test_sinks import IDENTITY, TICKETS, export, point
from tests.client.traps import plain_ticket
from ticketfeed.client.sinks import Batch, SinkOptions, open_sink
from ticketfeed.protocol.errors import BadInput, TargetError

KILLS = 6  # for each target; `python -m tests.client.crash KILLS` takes more
_READ_ONLY = """
import os, sys
from tests.client.test_sinks import IDENTITY
from ticketfeed.client.sinks import SinkOptions, open_sink
from ticketfeed.protocol.errors import TargetError
from tests.client.targets import TARGETS  # loads the libraries while they can be read
sink = open_sink(sys.argv[1], ["tickets"], SinkOptions(format=sys.argv[2]))
if os.geteuid() == 0:  # who may write whatever the folder's mode says
    os.seteuid(65534)
try:
    with sink:
        sink.open(IDENTITY)
except TargetError as error:
    print(error)
"""


def child(*words: str) -> str:
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.mark.parametrize("target", CASES, ids=lambda target: target.name)
def test_killed_runs_lose_nothing(target: Target) -> None:
    """However often a run is killed, wherever it is, the target ends with each row as without a kill."""
    assert "nothing missing, torn or double" in child("-m", "tests.client.crash", str(KILLS), target.name)


@pytest.mark.parametrize("format", ["ndjson", "parquet"])
def test_a_run_that_was_killed_before_its_first_manifest(tmp_path: Path, format: str) -> None:
    """What it left of the manifest makes a folder no other program's; whatever else is in it does."""
    options = SinkOptions(format=format)
    for other in ("", "mine.txt"):
        folder = tmp_path / f"tickets{other}"
        folder.mkdir()
        (folder / "_manifest.json.part").write_bytes(b'{"made')
        if other:
            (folder / other).touch()
        with pytest.raises(BadInput, match="no manifest") if other else contextlib.nullcontext():
            export(f"{folder}/", [[plain_ticket(1)]], options)
        assert (folder / "_manifest.json").exists() is not bool(other)


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_a_full_disk_is_told_and_gone_on_from(tmp_path: Path, target: Target) -> None:
    """A write that the disk refuses ends with one line; with room again the run goes on, nothing missing or double."""
    said = child("-m", "tests.client.full_disk", target.name, str(tmp_path))
    assert "cannot be written: " in said
    assert said.count("\n") == 1


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_a_folder_that_cannot_be_written(tmp_path: Path, target: Target) -> None:
    """A target in a folder that may only be read ends with one line."""
    tmp_path.chmod(0o555)
    for folder in (tmp_path.parent, tmp_path.parent.parent):  # pytest's own are for their owner alone
        folder.chmod(folder.stat().st_mode | 0o055)
    said = child("-c", _READ_ONLY, target.path(tmp_path), target.options.format)
    assert "cannot be written: " in said
    assert said.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_locked_sqlite_database(tmp_path: Path) -> None:
    """A database that another program has locked for long ends the run with one line, and the next run goes on."""
    path = f"{tmp_path}/tickets.sqlite"
    export(path, [[plain_ticket(1)]], SinkOptions())
    with open_sink(path, TICKETS, SinkOptions()) as sink:
        assert sink.open(IDENTITY) == point(1)
        other = apsw.Connection(path)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(TargetError, match="locked by another program"):
            sink.write([Batch("tickets", [plain_ticket(2)])], point(2))
        other.execute("ROLLBACK")
        other.close()
    with open_sink(path, TICKETS, SinkOptions()) as sink:
        assert sink.open(IDENTITY) == point(1)


def test_a_sqlite_database_is_read_while_it_is_written(tmp_path: Path) -> None:
    """A reader sees whole writes while the run goes on, and the run does not wait for it."""
    path = f"{tmp_path}/tickets.sqlite"
    with open_sink(path, TICKETS, SinkOptions()) as sink:
        sink.open(IDENTITY)
        sink.write([Batch("tickets", [plain_ticket(1)])], point(1))
        reader = apsw.Connection(path)
        reader.execute("BEGIN")
        assert reader.execute("SELECT count(*) FROM tickets").get == 1
        sink.write([Batch("tickets", [plain_ticket(2)])], point(2))
        assert reader.execute("SELECT count(*) FROM tickets").get == 1
        reader.execute("COMMIT")
        assert reader.execute("SELECT count(*) FROM tickets").get == 2
        reader.close()
    assert [file.name for file in tmp_path.iterdir()] == ["tickets.sqlite"]


@pytest.mark.parametrize("ending", [".ndjson", ".csv.gz", ".parquet", "/"])
def test_a_manifest_of_something_else_is_refused(tmp_path: Path, ending: str) -> None:
    """A target whose manifest cannot be read is refused in one line."""
    target = f"{tmp_path}/tickets{ending}"
    export(target, [[plain_ticket(1)]], SinkOptions())
    path = Path(target)
    manifest = path / "_manifest.json" if path.is_dir() else path.with_name(f"{path.name}.manifest.json")
    for text in (b"{}", b"[1]", b"\xff"):
        manifest.write_bytes(text)
        with open_sink(target, TICKETS, SinkOptions()) as sink, pytest.raises(BadInput) as refused:
            sink.open(IDENTITY)
        assert "was not made by ticketfeed export" in str(refused.value)


@pytest.mark.parametrize("ending", [".ndjson", ".ndjson.gz", ".csv", ".parquet"])
def test_a_file_that_is_not_its_manifests_is_refused(tmp_path: Path, ending: str) -> None:
    """A file that was cut or replaced behind its manifest's back is not appended to."""
    path = tmp_path / f"tickets{ending}"
    export(str(path), [[plain_ticket(1)]], SinkOptions())
    other = tmp_path / f"other{ending}"
    export(str(other), [], SinkOptions())
    path.write_bytes(other.read_bytes())
    with open_sink(str(path), TICKETS, SinkOptions()) as sink, pytest.raises(BadInput, match="restore it, or remove"):
        sink.open(IDENTITY)
    path.unlink()
    with open_sink(str(path), TICKETS, SinkOptions()) as sink, pytest.raises(BadInput, match="restore it, or remove"):
        sink.open(IDENTITY)


def test_a_parquet_file_without_its_manifest_goes_on(tmp_path: Path) -> None:
    """A Parquet file knows its checkpoint: without the manifest beside it, the next run goes on all the same."""
    path = tmp_path / "tickets.parquet"
    export(str(path), [[plain_ticket(1)]], SinkOptions())
    path.with_name("tickets.parquet.manifest.json").unlink()
    with open_sink(str(path), TICKETS, SinkOptions()) as sink:
        assert sink.open(IDENTITY) == point(1)
        sink.write([Batch("tickets", [plain_ticket(1), plain_ticket(2)])], point(2))
        sink.finish(point(2))
    found = next(target for target in TARGETS if target.name == "parquet").read(path, "tickets")
    assert [record["id"] for record in found] == [1, 2]


@pytest.mark.parametrize(
    ("target", "streams", "options", "said"),
    [
        ("x.txt", ["tickets"], SinkOptions(), "no target of an export"),
        ("x", ["tickets"], SinkOptions(), "no target of an export"),
        ("", ["tickets"], SinkOptions(), "the name of the target is empty"),
        ("x.ndjson", ["tickets", "users"], SinkOptions(), "takes one stream"),
        ("x.parquet", ["tickets", "users"], SinkOptions(), "takes one stream"),
        ("-", ["tickets", "users"], SinkOptions(), "takes one stream"),
        ("x.duckdb", ["tickets"], SinkOptions(format="ndjson"), "--format ndjson is for a folder/"),
        ("x.duckdb", ["tickets"], SinkOptions(compact=True), "--compact"),
        ("-", ["tickets"], SinkOptions(compact=True), "--compact"),
        ("x.csv", ["tickets"], SinkOptions(custom_fields="columns"), "--custom-fields columns needs"),
        ("singer:", ["tickets"], SinkOptions(custom_fields="columns"), "--custom-fields columns needs"),
        ("x.sqlite", ["cats"], SinkOptions(), "unknown stream cats"),
    ],
)
def test_what_does_not_go_together_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: str, streams: list[str], options: SinkOptions, said: str
) -> None:
    """A target of no kind, and a parameter that the target cannot use, are refused by name before anything is read."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadInput, match=said) as refused, open_sink(target, streams, options) as sink:
        sink.open(IDENTITY)
    assert "\n" not in str(refused.value)


_MEMORY = """
import re, sys
from tests.client.test_sinks import IDENTITY, point
from tests.client.traps import plain_ticket
from ticketfeed.client.sinks import Batch, SinkOptions, open_sink
with open_sink(sys.argv[1], ["tickets"], SinkOptions(format=sys.argv[2])) as sink:
    sink.open(IDENTITY)
    for number in range(int(sys.argv[3])):
        ids = range(number * 500, number * 500 + 500)
        sink.write([Batch("tickets", [plain_ticket(id, description=f"{id} " * 200) for id in ids])], point(number))
    sink.finish(point(number))
# Not ru_maxrss, which a child inherits from whoever started it.
print(int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) // 1024)
"""


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_memory_does_not_grow_with_the_rows(tmp_path: Path, target: Target) -> None:
    """10,000 tickets take hardly more memory than 1,000; the benchmark measures 1,000,000."""
    few = int(child("-c", _MEMORY, f"{tmp_path}/few{target.ending}", target.options.format, "2"))
    many = int(child("-c", _MEMORY, f"{tmp_path}/many{target.ending}", target.options.format, "20"))
    assert many < few * 1.5, (few, many)
    assert many < 200
