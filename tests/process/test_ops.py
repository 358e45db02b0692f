"""A server as those see it who run it: several processes tell one story, and none of it holds a secret."""

import json
import re
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import psycopg
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from prometheus_client.parser import text_string_to_metric_families

from tests.postgres import PostgresServer
from tests.process.conftest import PATH, TICKETS, TOKEN, Running, Start, run
from tests.waiting import wait_until

METRICS_TOKEN = "a-token-for-the-metrics"


def consumers(folder: Path) -> list[dict[str, object]]:
    done = run("consumers", "--json", cwd=folder)
    assert done.code == 0, done.err
    return [json.loads(line) for line in done.out.splitlines()]


def walk(server: Running, per_page: int = 100, **headers: str) -> tuple[int, int]:
    """How many pages and tickets there are, each page on a connection of its own, so that any process may serve it."""
    target, pages, tickets = f"{PATH}?start_time=0&per_page={per_page}", 0, 0
    while True:
        answer = server.ask(target, **headers)
        page = json.loads(answer.body)
        pages, tickets = pages + 1, tickets + len(page["tickets"])
        if page["end_of_stream"]:
            return pages, tickets
        target = f"{PATH}?per_page={per_page}&cursor={page['after_cursor'].replace('=', '%3D')}"


def total(server: Running, name: str, **labels: str) -> float:
    text = server.ask("/_ticketfeed/metrics", token=METRICS_TOKEN).body.decode()
    return sum(
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    )


@pytest.mark.usefixtures("folder")
def test_several_processes_tell_one_story(serve: Start, tmp_path: Path) -> None:
    """A walk that three processes serve is one consumer without gap or repeat; whichever process is asked for
    metrics counts the requests of all; and who reads is still known when the server has ended."""
    server = serve("--workers", "3", env={"TICKETFEED_METRICS_TOKEN": METRICS_TOKEN})
    pages, tickets = walk(server, **{"User-Agent": "walker/2"})
    pids = server.children()
    assert len(pids) == 3

    def noted() -> bool:
        found = consumers(tmp_path)
        return bool(found) and found[0]["pages"] == pages

    wait_until(noted)
    (found,) = consumers(tmp_path)
    assert (found["tickets"], found["repeats"], found["gaps"], found["pending"]) == (tickets, 0, [], 0)
    assert (found["user_agent"], found["end_of_stream"]) == ("walker/2", True)
    for _ in range(6):  # of whichever process
        assert total(server, "ticketfeed_pages_total") == pages
        assert total(server, "ticketfeed_rows_total", export="tickets/cursor") == tickets
        assert total(server, "ticketfeed_tickets") == TICKETS
        assert total(server, "ticketfeed_consumer_lag_tickets") == 0
    verdict = json.loads(server.ask("/_ticketfeed/verdict").body)
    assert (verdict["outcome"], verdict["tickets"], verdict["missed"]) == ("PASS", tickets, 0), verdict
    assert server.end() == 0
    assert json.loads(run("verdict", "--json", cwd=tmp_path).out) == verdict
    for name, code, text in (("walker", 0, "PASS\t"), ("a@example.com", 0, "PASS\t"), ("nobody", 2, "")):
        done = run("verdict", "--consumer", name, cwd=tmp_path)
        assert (done.code, done.out.decode()[: len(text) or None]) == (code, text), done
    done = run("verdict", "--output", "nothing.csv", cwd=tmp_path)
    assert (done.code, done.err) == (2, "ticketfeed: there is no output nothing.csv\n")
    (later,) = consumers(tmp_path)
    assert later == found | {"pages_a_minute": later["pages_a_minute"]}
    done = run("consumers", cwd=tmp_path)
    line = done.out.decode().split("\t")
    assert line[:3] == ["a@example.com", "walker/2", "tickets/cursor"]
    assert (line[4], line[6]) == ("up to date", "no problems\n")


@pytest.mark.usefixtures("folder")
def test_the_last_second_is_passed_on(serve: Start, tmp_path: Path) -> None:
    """What was noted in the second before SIGTERM is not lost."""
    server = serve()
    server.ask()
    assert server.end() == 0
    assert [found["pages"] for found in consumers(tmp_path)] == [1]


@pytest.mark.usefixtures("folder")
def test_a_command_that_run_wraps_is_a_consumer(tmp_path: Path) -> None:
    """What a command was given by `ticketfeed run` is known when both have ended."""
    client = (
        "import requests; requests.get('https://demo.zendesk.com"
        f"{PATH}?start_time=0&per_page=10', headers={{'Authorization': 'Bearer {TOKEN}', 'User-Agent': 'mine'}})"
    )
    env = {"XDG_STATE_HOME": str(tmp_path / "state")}
    done = run("run", "--", sys.executable, "-c", client, cwd=tmp_path, env=env)
    assert done.code == 0, done.err
    assert [(found["user_agent"], found["tickets"]) for found in consumers(tmp_path)] == [("mine", 10)]


@pytest.mark.usefixtures("folder")
def test_logs_hold_no_secret(serve: Start, tmp_path: Path) -> None:
    """No line of the log, no file beside the store and nothing that `config show` prints holds a credential."""
    env = {"TICKETFEED_METRICS_TOKEN": METRICS_TOKEN}
    server = serve(env=env)
    server.ask()
    server.ask(token="wrong-token")
    server.ask("/_ticketfeed/metrics", token=METRICS_TOKEN)
    server.ask(f"{PATH}?cursor=broken&password={TOKEN}")
    assert server.end() == 0
    shown = run(
        "config", "show", "--store", "postgresql://me:s3cr%25et@host/db?password=s3cr%25et", cwd=tmp_path, env=env
    )
    told = server.errors.read_bytes() + shown.out + (tmp_path / "ticketfeed.db-sidecar").read_bytes()
    assert not [secret for secret in (TOKEN, "wrong-token", METRICS_TOKEN, "s3cr") if secret.encode() in told]
    ids = [line["request_id"] for line in server.logs if line["event"] == "request"]
    assert len(ids) == len(set(ids)) > 3


@pytest.fixture
def collector() -> Iterator[tuple[str, list[ExportTraceServiceRequest]]]:
    """A collector of traces: the address, and what was sent to it."""
    received: list[ExportTraceServiceRequest] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            received.append(ExportTraceServiceRequest.FromString(body))
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_args: object) -> None:
            return

    collecting = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=collecting.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{collecting.server_port}", received
    collecting.shutdown()
    collecting.server_close()


@pytest.mark.usefixtures("folder")
def test_traces(serve: Start, collector: tuple[str, list[ExportTraceServiceRequest]]) -> None:
    """With --telemetry each request is a span at the collector that OpenTelemetry's variables name, sent at the latest
    when the server ends; without a secret, and without what only machines ask."""
    address, received = collector
    server = serve("--telemetry", env={"OTEL_EXPORTER_OTLP_ENDPOINT": address, "OTEL_SERVICE_NAME": "desk"})
    server.ask(f"{PATH}?start_time=0&per_page=1&token=hidden")
    server.ask("/_ticketfeed/ready")
    assert server.end() == 0
    spans = [
        span for r in received for found in r.resource_spans for scope in found.scope_spans for span in scope.spans
    ]
    resources = [
        (a.key, a.value.string_value) for r in received for f in r.resource_spans for a in f.resource.attributes
    ]
    assert ("service.name", "desk") in resources
    assert len(spans) == 1
    told = {a.key: a.value.string_value for a in spans[0].attributes}
    assert PATH in " ".join(told.values())
    assert "hidden" not in str(spans)
    assert TOKEN not in str(received)


def test_settings_have_an_order(tmp_path: Path) -> None:
    """An option wins over its environment variable, that over the file, that over the profile or the default."""
    (tmp_path / "ticketfeed.toml").write_text('port = 1\nhost = "::1"\nworkers = 2\n[rules]\nticket_pages = 3\n')
    env = {"TICKETFEED_HOST": "127.0.0.2", "TICKETFEED_PORT": "4"}
    done = run("config", "show", "--json", "--port", "5", "--profile", "zendesk", cwd=tmp_path, env=env)
    shown = {row["name"]: (row["value"], row["origin"]) for row in json.loads(done.out)}
    assert shown["port"] == ("5", "--port")
    assert shown["host"] == ("127.0.0.2", "TICKETFEED_HOST")
    assert shown["workers"] == ("2", "ticketfeed.toml")
    assert shown["ticket_pages"] == ("3", "ticketfeed.toml")
    assert shown["settle_seconds"] == ("60", "profile zendesk")
    assert shown["telemetry"] == ("false", "default")


@pytest.mark.parametrize(
    ("arguments", "rule", "expected"),
    [
        ((), "settle_seconds", ("5", "ticketfeed.toml")),
        (("--rule", "settle_seconds=60"), "settle_seconds", ("60", "--rule")),
        (("--settle-seconds", "7"), "settle_seconds", ("7", "--settle-seconds")),
        (("--rule", "deleted_tickets=3"), "incremental_exports", ("30", "ticketfeed.toml")),
        (("--rule", "deleted_tickets=3"), "ticket_pages", ("9", "TICKETFEED_RULE")),
        (("--rule", "ticket_pages=3"), "ticket_pages", ("3", "--rule")),
        ((), "account_requests", ("8", "TICKETFEED_RULE")),
        ((), "start_time_margin_seconds", ("4", "TICKETFEED_START_TIME_MARGIN_SECONDS")),
    ],
)
def test_each_rule_comes_from_the_nearest_place(
    arguments: tuple[str, ...], rule: str, expected: tuple[str, str], tmp_path: Path
) -> None:
    """A rule that is said nearer takes the place of that one rule, and of no other."""
    text = "settle_seconds = 5\n[rules]\nincremental_exports = 30\naccount_requests = 6\n"
    (tmp_path / "ticketfeed.toml").write_text(text)
    env = {
        "TICKETFEED_RULE": "ticket_pages=9 account_requests=8 start_time_margin_seconds=3",
        "TICKETFEED_START_TIME_MARGIN_SECONDS": "4",
    }
    done = run("config", "show", "--json", "--profile", "zendesk", *arguments, cwd=tmp_path, env=env)
    shown = {row["name"]: (row["value"], row["origin"]) for row in json.loads(done.out)}
    assert shown[rule] == expected


@pytest.mark.parametrize("password", ["se?cret", "se#cret", "se:cr@t", "s3cr%25et", "se/cret"])
def test_no_password_is_shown(password: str, tmp_path: Path) -> None:
    """Whatever signs it holds."""
    done = run("config", "show", "--store", f"postgresql://me:{password}@host/db", cwd=tmp_path)
    assert b"cret" not in done.out
    assert b"cr@t" not in done.out
    assert b"postgresql://me:***@host/db" in done.out
    done = run("config", "show", "--store", f"host=there password={password} user=me", cwd=tmp_path)
    assert b"cret" not in done.out
    assert b"host=there password=*** user=me" in done.out


@pytest.mark.usefixtures("folder")
def test_looking_makes_nothing(tmp_path: Path) -> None:
    """Who only looks at a store that was never served leaves no file beside it."""
    before = {file.name for file in tmp_path.iterdir()}
    assert run("consumers", cwd=tmp_path).out == b""
    assert run("doctor", "--port", "0", cwd=tmp_path).code == 0
    assert {file.name for file in tmp_path.iterdir()} - before <= {"ticketfeed.db-wal", "ticketfeed.db-shm"}


@pytest.mark.usefixtures("folder")
def test_the_file_is_heeded(serve: Start, tmp_path: Path) -> None:
    """What the file says is what the server does, and every other command too; `--config` names another file."""
    (tmp_path / "ticketfeed.toml").write_text('profile = "zendesk"\n')
    assert serve().ask(f"{PATH}?start_time={2**31}").status == 400
    (tmp_path / "other.toml").write_text('store = "sqlite:///other.db"\n')
    assert "other.db" in run("--config", "other.toml", "token", "list", cwd=tmp_path).problem
    assert "other.db" in run("token", "list", cwd=tmp_path, env={"TICKETFEED_CONFIG": "other.toml"}).problem


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("prt = 1", "ticketfeed.toml: unknown setting prt; available settings: accept_clock"),
        ("port = ", "ticketfeed.toml is not TOML"),
        ('port = "many"', "invalid value for port in ticketfeed.toml: 'many' is not an integer"),
        ("[serve]\nport = 1", "serve cannot be a table"),
        ("rules = 3", "rules must be a table"),
        ("[rules]\nnothing = 3", "there is no rule 'nothing'"),
        ('[rules]\nticket_pages = "x"', "invalid value for ticket_pages in ticketfeed.toml: 'x' is not an integer"),
        ("settle_seconds = -1", "invalid value for settle_seconds in ticketfeed.toml: -1 is less than 0"),
        ("rule = 5\n[rules]\nticket_pages = 5", "unknown setting rule; available settings: accept_clock"),
        ('profile = "other"', "'other' is not one of"),
    ],
)
def test_a_wrong_file(text: str, problem: str, tmp_path: Path) -> None:
    """It is refused in one line that says what is wrong."""
    (tmp_path / "ticketfeed.toml").write_text(text)
    assert problem in run("config", "show", cwd=tmp_path).problem


def test_a_missing_file(tmp_path: Path) -> None:
    """One that was named must be there."""
    assert "nothing.toml" in run("--config", "nothing.toml", "config", "show", cwd=tmp_path).problem


def test_a_short_metrics_token(tmp_path: Path) -> None:
    """It is no secret."""
    assert "too short" in run("serve", "--metrics-token", "abc", cwd=tmp_path).problem


@pytest.mark.usefixtures("folder")
def test_doctor(serve: Start, tmp_path: Path) -> None:
    """It finds a sound server sound, sees what runs, and changes nothing."""
    server = serve()
    before = {file.name: file.stat().st_mtime_ns for file in tmp_path.glob("ticketfeed.db")}
    host, port = server.address
    done = run("doctor", "--host", host, "--port", str(port), cwd=tmp_path)
    lines = done.out.decode().splitlines()
    assert (done.code, done.err) == (0, ""), done
    assert not [line for line in lines if line.startswith("fail") or "other users" in line]
    assert f"ok    a ticketfeed server on {host} port {port} is ready" in lines
    assert f"ok    account demo: {TICKETS:,} tickets" in lines
    assert {file.name: file.stat().st_mtime_ns for file in tmp_path.glob("ticketfeed.db")} == before


def test_doctor_on_nothing(tmp_path: Path) -> None:
    """Where there is no store it says how to make one, makes none, and ends with 1."""
    done = run("doctor", "--port", "0", cwd=tmp_path)
    assert done.code == 1
    assert b"there is no store at ticketfeed.db; create one with: ticketfeed load" in done.out
    assert list(tmp_path.iterdir()) == []


def test_doctor_on_replicas(postgres: PostgresServer, tmp_path: Path) -> None:
    """Each server that pages are to be read from is tried: one that is away, or of another store, fails."""
    url, other = postgres.new_store(), postgres.new_store()
    for each in (url, other):
        with psycopg.connect(each) as connection:
            connection.execute("UPDATE ticketfeed.meta SET value = %s WHERE name = 'store_id'", (each,))
    away = "postgresql://me:s3cret@127.0.0.1:1/desk"
    options = [part for read_url in (url, other, away) for part in ("--read-store", read_url)]
    done = run("doctor", "--port", "0", "--store", url, *options, cwd=tmp_path)
    lines = [line for line in done.out.decode().splitlines() if "read from" in line]
    assert (done.code, [line[:4] for line in lines]) == (1, ["ok  ", "fail", "fail"])
    assert "it is no replica of the store" in lines[1]
    assert "postgresql://me:***@127.0.0.1:1/desk: connection failed" in lines[2]


def test_doctor_on_something_else(tmp_path: Path) -> None:
    """A store that cannot be opened is named with the reason, once, and no other is offered."""
    (tmp_path / "ticketfeed.db").write_text("hello")
    for store, reason in (("sqlite:///ticketfeed.db", "not an SQLite"), ("postgresql://a@127.0.0.1:1/a", "refused")):
        done = run("doctor", "--port", "0", "--store", store, cwd=tmp_path)
        assert done.code == 1
        (line,) = [line for line in done.out.decode().splitlines() if line.startswith("fail")]
        assert reason in line
        assert line.count("cannot open the store") <= 1
        assert "create one" not in line


@pytest.mark.usefixtures("folder")
def test_doctor_sees_a_consumer_that_skips(serve: Start, tmp_path: Path) -> None:
    """A consumer that goes on from behind what it was given is worth a warning, and a store that others can read."""
    (tmp_path / "ticketfeed.db").chmod(0o644)
    server = serve()
    server.ask()
    server.ask(f"{PATH}?start_time={2**31}")
    assert server.end() == 0
    done = run("doctor", "--port", "0", cwd=tmp_path)
    assert done.code == 0
    assert re.search(r"skipped 1,[0-9]{3} tickets in 1 range", done.out.decode())
    assert "other users of this machine may open ticketfeed.db (mode 0644)" in done.out.decode()
