"""Connectors, unmodified, that are moved from a source to its mirror between two pages, and back.

They keep the address: what it leads to is changed, as in a company's own DNS or proxy. Their credentials are those of
the source; the mirror has been given the same ones.
"""

import contextlib
import itertools
import json
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

import pytest
from zenpy import Zenpy

from tests.connectors.store import EMAIL, TOKEN
from tests.connectors.venvs import connector_bin
from tests.process.conftest import ENVIRONMENT, Running, end_all, run, start_in
from tests.waiting import SECONDS_MAX
from ticketfeed.client.exporter import Exporter

# Long ones, so that few fill the 16 MiB of a page: tap-zendesk asks for a thousand, and takes its time for each.
TICKETS, DESCRIPTION = 40, "printer " * 80_000
STORE = ("--store", "sqlite:///mirror.db")
# Of the profile zendesk, but for what would make a test last minutes.
RULES = "incremental_exports=0 start_time_margin_seconds=0"


class Signpost:
    """An address that leads to one server or another: as it is, or whatever host it is asked for as a proxy."""

    def __init__(self, target: Running) -> None:
        self._target = target
        self._open: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.netloc = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._run(self._accept)

    def lead_to(self, target: Running) -> None:
        """From now on, also whoever is connected."""
        self._target = target
        for each in list(self._open):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self.lead_to(self._target)
        for thread in self._threads:
            thread.join(SECONDS_MAX)
        self._listener.close()

    def _run(self, work: Callable[..., None], *arguments: socket.socket) -> None:
        self._threads.append(threading.Thread(target=work, args=arguments))
        self._threads[-1].start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                self._run(self._lead, self._listener.accept()[0])

    def _lead(self, client: socket.socket) -> None:
        with client, self._target.connect() as server, contextlib.suppress(OSError):
            self._open += [client, server]
            head = client.recv(65536)
            if head.startswith(b"CONNECT "):
                client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            else:
                server.sendall(head)
            back = threading.Thread(target=_pump, args=(server, client))
            back.start()
            _pump(client, server)
            back.join()


def _pump(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        source.settimeout(None)
        while data := source.recv(65536):
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_RDWR)


class Mirrored:
    """A source and its mirror, each a store with processes of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.running = folder, list[Running]()
        self.load({"id": id, "subject": "first", "description": DESCRIPTION, **_times(id)} for id in range(1, TICKETS))
        self.do("token", "create", "--email", EMAIL, "--token", TOKEN)
        self.source = self.serve()
        self.follow()
        self.do("token", "create", "--email", EMAIL, "--token", TOKEN, *STORE)

    def do(self, *arguments: str) -> None:
        done = run(*arguments, cwd=self.folder, env={"TICKETFEED_SOURCE_BEARER": TOKEN})
        assert done.code == 0, done.err

    def serve(self, *options: str, env: dict[str, str] | None = None) -> Running:
        arguments = ("serve", "--port", "0", "--profile", "zendesk", "--settle-seconds", "1", *options)
        return start_in(self.folder, self.running, arguments, {"TICKETFEED_RULE": RULES, **(env or {})})

    def load(self, tickets: Iterable[dict[str, Any]]) -> None:
        (self.folder / "tickets.ndjson").write_text("\n".join(map(json.dumps, tickets)))
        self.do("load", "--account", "acme", "tickets.ndjson")

    def follow(self) -> None:
        """Copy what the source has now."""
        options = ("--account", "acme", "--once", "--requests-per-minute", "0")
        self.do("mirror", f"http://{self.source.netloc}", *STORE, *options)

    def change(self) -> set[int]:
        """Change some tickets of the source, the first and the last of them, and add one; then follow."""
        tickets = self.tickets()
        changed = [*list(tickets.values())[:3], *list(tickets.values())[-3:], {"id": max(tickets) + 1}]
        now = datetime.now(UTC).isoformat(timespec="seconds")
        self.load({**each, "subject": "changed", "updated_at": now} for each in changed)
        time.sleep(2.2)  # the source withholds the last second
        self.follow()
        return {each["id"] for each in changed}

    def tickets(self) -> dict[int, dict[str, Any]]:
        """What the source's export has in its default scope, in its order."""
        with Exporter(f"sqlite:///{self.folder}/ticketfeed.db", streams=["tickets"]) as exporter:
            every = [each for page in exporter for each in page.decode()]
        return {each["id"]: each for each in every if each.get("support_type") != "ai_agent"}

    def check(self, got: list[dict[str, Any]]) -> None:
        """Every ticket was given, at last as it is now: at its position."""
        positions = {id: each["generated_timestamp"] for id, each in self.tickets().items()}
        assert {ticket["id"]: ticket["generated_timestamp"] for ticket in got} == positions


def _times(id: int) -> dict[str, str]:
    """When a ticket was created and changed: one a minute, some days ago."""
    then = datetime.fromtimestamp(time.time() // 60 * 60 - 86400 * 3 + id * 60, UTC).isoformat(timespec="seconds")
    return {"created_at": then, "updated_at": then}


@pytest.fixture(scope="module")
def mirrored(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mirrored]:
    made = Mirrored(tmp_path_factory.mktemp("mirrored"))
    try:
        yield made
    finally:
        end_all(made.running)


@contextlib.contextmanager
def leading_to(target: Running) -> Iterator[Signpost]:
    signpost = Signpost(target)
    try:
        yield signpost
    finally:
        signpost.close()


def test_zenpy(mirrored: Mirrored, monkeypatch: pytest.MonkeyPatch) -> None:
    """zenpy goes on at the mirror in the same walk, with the cursor that the source gave it, and comes back with the
    mirror's: it has every ticket, also what changed meanwhile, and no page twice."""
    mirror = mirrored.serve(*STORE)
    with leading_to(mirrored.source) as signpost:
        monkeypatch.setenv("ZENPY_FORCE_SCHEME", "http")
        monkeypatch.setenv("ZENPY_FORCE_NETLOC", signpost.netloc)
        client = Zenpy(subdomain="acme", email=EMAIL, token=TOKEN)
        pages = client.tickets.incremental(start_time=0, paginate_by_time=False, per_page=10)
        got = [ticket.to_dict() for ticket in itertools.islice(pages, 15)]
        changed = mirrored.change()
        signpost.lead_to(mirror)
        got += [ticket.to_dict() for ticket in pages]
        mirrored.check(got)
        assert len(got) <= len(mirrored.tickets()) + len(changed)
        changed = mirrored.change()
        signpost.lead_to(mirrored.source)
        more = client.tickets.incremental(cursor=pages.after_cursor, paginate_by_time=False)
        assert {ticket.id for ticket in more} == changed
        del client, pages, more


def test_tap_zendesk(mirrored: Mirrored) -> None:
    """tap-zendesk is moved within one sync, and its next one goes on at the mirror from the state of the first."""
    folder = mirrored.folder
    state = {"XDG_STATE_HOME": str(folder / "state")}
    authority = run("ca", cwd=folder, env=state).out.decode().strip()
    source = mirrored.serve("--tls", env=state)
    mirror = mirrored.serve("--tls", *STORE, env=state)
    config = {"start_date": "2000-01-01T00:00:00Z", "subdomain": "acme", "access_token": TOKEN}
    (folder / "config.json").write_text(json.dumps(config))
    program = connector_bin("tap-zendesk") / "tap-zendesk"
    with leading_to(source) as signpost:
        env = {**ENVIRONMENT, "HTTPS_PROXY": f"http://{signpost.netloc}", "REQUESTS_CA_BUNDLE": authority}

        @contextlib.contextmanager
        def tap(*arguments: str) -> Iterator[IO[bytes]]:
            """Its standard output; it must end with 0."""
            command = [program, "--config", "config.json", *arguments]
            with (folder / "tap.log").open("wb") as log:
                process = subprocess.Popen(command, cwd=folder, env=env, stdout=subprocess.PIPE, stderr=log)
            with process:
                assert process.stdout
                try:
                    yield process.stdout
                    assert process.wait(SECONDS_MAX) == 0, (folder / "tap.log").read_text()[-3000:]
                finally:
                    process.kill()

        with tap("--discover") as out:
            found = json.loads(out.read() or b"{}")
        for stream in found["streams"]:
            for entry in stream["metadata"]:
                entry["metadata"]["selected"] = stream["tap_stream_id"] == "tickets"
        (folder / "catalog.json").write_text(json.dumps(found))

        with tap("--catalog", "catalog.json") as out:
            # It waits with the rest of its first page until somebody reads on.
            lines = [next(line for line in out if b'"RECORD"' in line)]
            changed = mirrored.change()
            signpost.lead_to(mirror)
            lines += out.read().splitlines()
        messages = [json.loads(line) for line in lines]
        mirrored.check([each["record"] for each in messages if each["type"] == "RECORD"])
        asked = [entry for entry in mirror.logs if "incremental/tickets" in entry.get("path", "")]
        assert len(asked) == 1, asked

        states = [each["value"] for each in messages if each["type"] == "STATE"]
        (folder / "state.json").write_text(json.dumps(states[-1]))
        again = mirrored.change()
        with tap("--catalog", "catalog.json", "--state", "state.json") as out:
            records = [json.loads(line)["record"] for line in out if b'"RECORD"' in line]
        assert again <= {record["id"] for record in records} <= changed | again
