"""`ticketfeed export` as a real process, against `ticketfeed serve` and against a store."""

import gzip
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.client.exporting import identity_of
from tests.process.conftest import COMMAND, ENVIRONMENT, TICKETS, TOKEN, Done, Running, Start, run
from tests.waiting import SECONDS_MAX, wait_until
from ticketfeed.client.exporter import Exporter
from ticketfeed.client.oauth import Bearer
from ticketfeed.client.sinks import SinkOptions, open_sink
from ticketfeed.protocol.cursor import encode_cursor
from ticketfeed.protocol.model import Position

ROOT = Path(__file__).parents[2]
CREDENTIALS = {"TICKETFEED_SOURCE_BEARER": TOKEN}


def export(server: Running, *arguments: str, cwd: Path, env: dict[str, str] | None = None) -> Done:
    return run("export", f"http://{server.netloc}", *arguments, cwd=cwd, env=CREDENTIALS if env is None else env)


def given(server: Running, **options: object) -> list[bytes]:
    """What the source gives, read without any target."""
    with Exporter(f"http://{server.netloc}", credentials=Bearer(TOKEN), **options) as exporter:  # type: ignore[arg-type]
        return [record for page in exporter for record in page.records]


def lines(file: Path) -> list[bytes]:
    return file.read_bytes().splitlines()


def test_to_a_file(server: Running, tmp_path: Path) -> None:
    """All tickets, byte by byte as they were given; the summary; and a second run that finds nothing new."""
    done = export(server, "--to", "tickets.ndjson", cwd=tmp_path)
    assert (done.code, done.out) == (0, b""), done.err
    assert done.err.startswith(f"complete: {TICKETS:,} tickets (")
    assert lines(tmp_path / "tickets.ndjson") == given(server)
    again = export(server, "--to", "tickets.ndjson", cwd=tmp_path)
    assert again.err.startswith("complete: 0 tickets; ")
    assert lines(tmp_path / "tickets.ndjson") == given(server)


def test_the_same_from_the_store(server: Running, folder: Path) -> None:
    """A store URL gives what its server gives, without one."""
    done = run("export", "sqlite:///ticketfeed.db", "--to", "tickets.ndjson.gz", cwd=folder)
    assert done.code == 0, done.err
    assert gzip.decompress((folder / "tickets.ndjson.gz").read_bytes()).splitlines() == given(server)
    missing = run("export", "sqlite:///none.db", "--to", "x.ndjson", cwd=folder)
    assert "none.db" in missing.problem
    other = run("export", "sqlite:///ticketfeed.db", "--account", "nobody", "--to", "x.ndjson", cwd=folder)
    assert "no account 'nobody'" in other.problem


def test_all_streams_into_a_folder(server: Running, tmp_path: Path) -> None:
    """Every stream that the source has, each in its own folder; the manifest counts them."""
    done = export(server, "--stream", "all", "--format", "ndjson", "--to", "desk/", cwd=tmp_path)
    assert done.code == 0, done.err
    totals = json.loads((tmp_path / "desk/_manifest.json").read_text())["checkpoint"]["totals"]
    assert totals["tickets"]["records"] == TICKETS
    assert sum(totals["tickets"]["by_status"].values()) == TICKETS
    assert min(totals[name]["records"] for name in ("users", "comments", "ticket_events", "groups", "brands")) > 0


def test_custom_fields_have_a_table(server: Running, tmp_path: Path) -> None:
    """Columns of custom fields come with the table that says what they are called."""
    import apsw

    done = export(server, "--custom-fields", "columns", "--to", "t.sqlite", cwd=tmp_path)
    assert done.code == 0, done.err
    database = apsw.Connection(str(tmp_path / "t.sqlite"))
    titles = dict(database.execute("SELECT 'cf_' || id, title FROM ticket_fields"))
    columns = {row[1] for row in database.execute("PRAGMA table_info(tickets)") if row[1].startswith("cf_")}
    database.close()
    assert columns
    assert columns <= titles.keys()


def test_standard_output(server: Running, tmp_path: Path) -> None:
    """`-` is NDJSON on standard output."""
    done = export(server, "--to", "-", cwd=tmp_path)
    assert done.code == 0, done.err
    assert done.out.splitlines() == given(server)


def test_changes_only(serve: Start, folder: Path) -> None:
    """The second run brings what changed, and counts new, changed and deleted ones."""
    server = serve()
    assert export(server, "--to", "t.ndjson", cwd=folder).code == 0
    before = lines(folder / "t.ndjson")
    changed, deleted = json.loads(before[0])["id"], json.loads(before[1])["id"]
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3))
    news = [
        {"id": changed, "subject": "changed", "created_at": "2020-01-01T00:00:00Z"},
        {"id": deleted, "status": "deleted", "created_at": "2020-01-01T00:00:00Z"},
        {"id": 10**9, "subject": "new", "created_at": now},
    ]
    load = "\n".join(json.dumps(each) for each in news).encode()
    assert run("load", "-", cwd=folder, input=load).code == 0
    time.sleep(1.1)  # the second of the load must be over
    done = export(server, "--to", "t.ndjson", cwd=folder)
    assert "complete: 3 tickets (1 new, 1 changed, 1 deleted)" in done.err
    after = lines(folder / "t.ndjson")
    assert after[: len(before)] == before
    assert {json.loads(line)["id"] for line in after[len(before) :]} == {changed, deleted, 10**9}


def test_window(server: Running, tmp_path: Path) -> None:
    """Two windows that meet hold what one without bounds holds, each ticket once."""
    seconds = [json.loads(line)["generated_timestamp"] for line in given(server)]
    middle = str(seconds[len(seconds) // 2])
    assert export(server, "--to", "a.ndjson", "--until", middle, cwd=tmp_path).code == 0
    assert export(server, "--to", "b.ndjson", "--since", middle, cwd=tmp_path).code == 0
    first, second = lines(tmp_path / "a.ndjson"), lines(tmp_path / "b.ndjson")
    assert first
    assert second
    assert first + second == given(server)


def test_resume_from_another_tool(server: Running, tmp_path: Path) -> None:
    """A state of another tool is where the export begins; its form is told by its content."""
    tickets = given(server)
    last = json.loads(tickets[-100])
    second, cursor = last["generated_timestamp"], encode_cursor(Position(last["generated_timestamp"], last["id"]))
    (tmp_path / "singer.json").write_text(json.dumps({"bookmarks": {"tickets": {"generated_timestamp": second}}}))
    done = export(server, "--to", "a.ndjson", "--resume-from", "singer.json", cwd=tmp_path)
    assert done.code == 0, done.err
    wanted = [line for line in tickets if json.loads(line)["generated_timestamp"] >= second]
    assert lines(tmp_path / "a.ndjson") == wanted
    assert export(server, "--to", "b.ndjson", "--resume-from", cursor, cwd=tmp_path).code == 0
    assert lines(tmp_path / "b.ndjson") == tickets[-99:]
    again = export(server, "--to", "b.ndjson", "--resume-from", cursor, cwd=tmp_path)
    assert "b.ndjson continues from its own checkpoint" in again.err


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--to", "x.doc"], "x.doc is no target"),
        (["--to", "x.ndjson", "--stream", "calls"], "no stream 'calls'"),
        (["--to", "x.ndjson", "--stream", "all"], "takes one stream"),
        (["--to", "x.ndjson", "--since", "yesterday"], "--since 'yesterday' is no time"),
        (["--to", "x.ndjson", "--since", "2199-01-01"], "--since lies in the future"),
        (["--to", "x.ndjson", "--since", "200", "--until", "100"], "--until must lie behind --since"),
        (["--to", "x.ndjson", "--follow", "--until", "100"], "--follow has no end"),
        (["--to", "x.ndjson", "--follow", "--verify"], "--verify writes nothing"),
        (["--to", "x.ndjson", "--give-up-after", "soon"], "no duration"),
        (["--to", "x.ndjson", "--resume-from", "nothing.json"], "no cursor, and no file"),
        (["--to", "x.ndjson", "--account", "demo"], "over HTTP the host names it"),
        (["--to", "nowhere/x.ndjson"], "nowhere"),
    ],
)
def test_bad_options(server: Running, tmp_path: Path, arguments: list[str], word: str) -> None:
    """One line names what is wrong, and nothing is left behind."""
    done = export(server, *arguments, cwd=tmp_path)
    assert word in done.problem
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("source", "word"),
    [
        ("acme", "SOURCE is https://NAME.zendesk.com"),
        ("ftp://acme.zendesk.com", "SOURCE is https://NAME.zendesk.com"),
        ("https://a:b@acme.zendesk.com", "credentials do not belong into SOURCE"),
        ("https://acme.zendesk.com?x=1", "without ?"),
        ("https://[::1", "is no address"),
    ],
)
def test_bad_sources(tmp_path: Path, source: str, word: str) -> None:
    """A SOURCE that cannot be one is refused before anything is sent."""
    assert word in run("export", source, "--to", "x.ndjson", cwd=tmp_path, env=CREDENTIALS).problem


def test_bad_credentials(server: Running, tmp_path: Path) -> None:
    """Missing, wrong and insufficient credentials: one line, exit code 2, and nothing is left behind."""
    home = {"HOME": str(tmp_path)}
    assert "no credentials for 127.0.0.1" in export(server, "--to", "x.ndjson", cwd=tmp_path, env=home).problem
    wrong = {"TICKETFEED_SOURCE_BEARER": "wrong"}
    done = export(server, "--to", "x.ndjson", cwd=tmp_path, env=wrong)
    assert "refuses the credentials (401): invalid_token" in done.problem
    assert "wrong" not in done.err
    assert list(tmp_path.iterdir()) == []


def test_target_of_another_run(server: Running, tmp_path: Path) -> None:
    """Another filter, and a file that something else has made, are refused and left as they are."""
    assert export(server, "--to", "t.ndjson", cwd=tmp_path).code == 0
    before = (tmp_path / "t.ndjson").read_bytes()
    assert "t.ndjson" in export(server, "--to", "t.ndjson", "--since", "5", cwd=tmp_path).problem
    assert (tmp_path / "t.ndjson").read_bytes() == before
    (tmp_path / "mine.ndjson").write_text("mine\n")
    assert "mine.ndjson" in export(server, "--to", "mine.ndjson", cwd=tmp_path).problem
    assert (tmp_path / "mine.ndjson").read_text() == "mine\n"


def test_source_that_is_gone(tmp_path: Path) -> None:
    """Nobody answers for as long as the run has patience: one line, and nothing is left behind."""
    arguments = ("export", "http://127.0.0.1:9", "--to", "x.ndjson", "--give-up-after", "1s")
    problem = run(*arguments, cwd=tmp_path, env=CREDENTIALS).problem
    assert "no connection to the source: Connection refused; gave up after" in problem
    assert list(tmp_path.iterdir()) == []


def test_profile_zendesk(serve: Start, folder: Path) -> None:
    """With the original's rules: the wait for the rate limit is told, and ^C during it leaves a whole target."""
    server = serve("--profile", "zendesk", "--rule", "api_tokens=allowed")
    for _ in range(9):
        assert server.ask().status == 200
    command = [*COMMAND, "export", f"http://{server.netloc}", "--to", "t.ndjson"]
    environment = {**ENVIRONMENT, **CREDENTIALS}
    with subprocess.Popen(command, cwd=folder, env=environment, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        progress = json.loads(process.stderr.readline())
        assert progress["state"] == "waiting"
        assert "rate limit" in progress["reason"]
        assert progress["records"] == 1000
        process.send_signal(signal.SIGINT)
        rest = process.stderr.read()
        assert process.wait(SECONDS_MAX) == 130
    assert "interrupted; the next run continues here: 1,000 tickets" in rest
    assert len(lines(folder / "t.ndjson")) == 1000


def test_follow(serve: Start, folder: Path) -> None:
    """`--follow` goes on with what changes, until ^C: exit code 130, and a target that is whole."""
    server = serve()
    command = [*COMMAND, "export", f"http://{server.netloc}", "--to", "t.ndjson", "--follow"]
    with subprocess.Popen(command, cwd=folder, env={**ENVIRONMENT, **CREDENTIALS}, stderr=subprocess.PIPE) as process:
        wait_for_lines(folder / "t.ndjson", TICKETS)
        assert run("load", "-", cwd=folder, input=b'{"id":1000000001}').code == 0
        wait_for_lines(folder / "t.ndjson", TICKETS + 1)
        process.send_signal(signal.SIGINT)
        assert process.wait(SECONDS_MAX) == 130
    done = export(server, "--to", "t.ndjson", cwd=folder)
    assert done.code == 0, done.err
    assert len(lines(folder / "t.ndjson")) == TICKETS + 1


def wait_for_lines(file: Path, count: int) -> None:
    wait_until(lambda: file.exists() and file.read_bytes().count(b"\n") >= count)


TARGETS = ["t.ndjson", "t.csv.gz", "t.parquet", "t.duckdb", "t.sqlite", "desk/"]


@pytest.mark.parametrize("target", TARGETS)
def test_killed_at_random_moments(server: Running, tmp_path: Path, target: str) -> None:
    """Runs that are killed with SIGKILL at any moment, one after the other, give what an undisturbed run gives."""
    chance = random.Random(target)
    where = str(tmp_path / target) + ("/" if target.endswith("/") else "")
    command = [sys.executable, "-m", "tests.client.exporting", f"http://{server.netloc}", where, "20"]
    environment = {**ENVIRONMENT, **CREDENTIALS}
    kills = 0
    while kills < 8:
        with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            for _ in range(chance.randrange(1, 6)):
                process.stdout.readline()
            time.sleep(chance.random() * 0.02)
            os.kill(process.pid, signal.SIGKILL)
        kills += process.returncode == -signal.SIGKILL
        if process.returncode == 0:  # it was done before that
            for path in tmp_path.iterdir():
                shutil.rmtree(path) if path.is_dir() else path.unlink()
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    wanted = given(server)
    if target == "t.ndjson":
        assert lines(tmp_path / target) == wanted
    keys = sorted((each["id"], each["generated_timestamp"]) for each in map(json.loads, wanted))
    with open_sink(where, ["tickets"], SinkOptions()) as sink:
        checkpoint = sink.open(identity_of(f"http://{server.netloc}"))
        assert checkpoint is not None
        assert checkpoint.totals["tickets"]["records"] == TICKETS
        assert sorted(sink.positions("tickets")) == keys


def test_interrupted_twice(serve: Start, folder: Path) -> None:
    """^C twice in a row ends the command with 130, without a traceback, and leaves a target that can be read."""
    server = serve("--profile", "zendesk", "--rule", "api_tokens=allowed")
    for _ in range(9):
        assert server.ask().status == 200
    command = [*COMMAND, "export", f"http://{server.netloc}", "--to", "t.parquet"]
    with subprocess.Popen(command, cwd=folder, env={**ENVIRONMENT, **CREDENTIALS}, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        assert b'"waiting"' in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        errors = process.stderr.read()
        assert process.wait(SECONDS_MAX) == 130
    assert b"Traceback" not in errors
    done = run("export", "sqlite:///ticketfeed.db", "--to", "t.parquet", cwd=folder)
    assert "belongs to another run" in done.problem


@pytest.mark.parametrize("target", TARGETS)
def test_verify(serve: Start, folder: Path, target: str) -> None:
    """`--verify` proves a target complete; what has changed in the source since is no difference."""
    server = serve()
    assert export(server, "--to", target, cwd=folder).code == 0
    done = export(server, "--to", target, "--verify", cwd=folder)
    assert (done.code, done.out) == (0, b""), done.err
    assert f"compared {TICKETS:,} tickets, 0 differ: count, positions and bytes agree" in done.err
    news = b'{"id":%d,"subject":"changed"}\n{"id":1000000001}' % json.loads(given(server)[0])["id"]
    assert run("load", "-", cwd=folder, input=news).code == 0
    time.sleep(1.1)  # the second of the load must be over
    done = export(server, "--to", target, "--verify", cwd=folder)
    assert (done.code, done.out) == (0, b""), done.err
    assert "1 changed in the source since" in done.err
    assert export(server, "--to", target, cwd=folder).code == 0
    done = export(server, "--to", target, "--verify", cwd=folder)
    assert done.code == 0, done.err
    assert f"compared {TICKETS + 1:,} tickets, 0 differ" in done.err


def test_verify_names_what_is_missing(server: Running, tmp_path: Path) -> None:
    """Rows that were taken out of a table are named, with exit code 1."""
    import apsw

    assert export(server, "--to", "t.sqlite", cwd=tmp_path).code == 0
    database = apsw.Connection(str(tmp_path / "t.sqlite"))
    ids = [id for (id,) in database.execute("SELECT id FROM tickets ORDER BY id LIMIT 3 OFFSET 100")]
    database.execute("DELETE FROM tickets WHERE id IN (?, ?)", ids[:2])
    database.execute("UPDATE tickets SET generated_timestamp = generated_timestamp - 5 WHERE id = ?", ids[2:])
    database.close()
    done = export(server, "--to", "t.sqlite", "--verify", cwd=tmp_path)
    assert done.code == 1
    found = done.out.decode().splitlines()
    assert [line.partition(": ")[0] for line in found] == [f"ticket {id}" for id in ids]
    assert ["missing" in line for line in found] == [True, True, False]
    assert ", 3 differ: " in done.err


def test_verify_what_cannot_be(server: Running, tmp_path: Path) -> None:
    """There must be a target, and tickets in it."""
    assert "no t.sqlite to verify" in export(server, "--to", "t.sqlite", "--verify", cwd=tmp_path).problem
    problem = export(server, "--to", "t.sqlite", "--verify", "--stream", "users", cwd=tmp_path).problem
    assert "--verify compares tickets" in problem
