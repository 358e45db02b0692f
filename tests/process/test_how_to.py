"""Every command of the how-to pages, of the five minutes and of the README runs as it is written, page by page.

A page is one terminal: its commands run in order, in one folder, with what they export. A server runs until the next
one is started. Names that stand for the reader's own (hosts, files, programs) are put in place here, and a demo is made
smaller; the few commands that cannot run on somebody's machine for a test are listed with the reason.
"""

import contextlib
import gzip
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.ports import free_port
from tests.postgres import PostgresServer
from tests.process.conftest import ENVIRONMENT, PATH, TOKEN, Running, run
from tests.test_docs import ROOT
from tests.waiting import wait_until

PAGES = sorted([ROOT / "README.md", *ROOT.glob("docs/start/*.md"), *ROOT.glob("docs/how-to/*.md")])
SECONDS_MAX = 120.0

# Not run, and why.
LEFT_OUT = {
    r"^pip install ": "what is tested is installed already",
    r"^docker |docker run": "no engine is needed to test",
    r"\bsudo\b": "it would change this machine",
    r"--port 443\b": "a port that only some may take",
    r"/home/you/": "a path of the reader's, and certificates of the reader's programs",
    r"^my-connector$": "a program of the reader's",
    r"coordinator\.example\.com|worker1\.example\.com|^ticketfeed store distribute": "they need Citus",
    r"^ticketfeed mirror verify": "it takes minutes with the budget that the page sets: tests/mirror/test_verify.py",
    r"^ticketfeed verdict": "it judges a connector of the reader's",
    r"^python load_desk\.py$": "it needs dlt: tests/connectors/test_dlt.py runs it",
}
SERVERS = ("ticketfeed serve", "ticketfeed demo")
ENDLESS = ("ticketfeed simulate",)
WITHOUT_COMMANDS = {"deploy.md", "outages.md"}
# Pages that begin with nothing; the others have a store.
BEGIN_WITHOUT_STORE = {"load-data.md", "keep-an-archive.md", "mirror.md", "quickstart.md", "README.md"}

CLIENT = f"""
import requests
import sys

address = "https://demo.zendesk.com{PATH}.json?start_time=0&per_page=10"
answer = requests.get(address, auth=("a@example.com/token", "{TOKEN}"))
sys.exit(0 if answer.status_code == 200 and answer.json()["tickets"] else answer.text)
"""

FEW_SCENARIOS = "--scenario maintenance --scenario scope-cut"
OLD = f"""
curl -s -u "$TICKETFEED_SOURCE_EMAIL/token:$TICKETFEED_SOURCE_TOKEN" -o "$2" "$1{PATH}?start_time=0"
"""


def commands(page: Path) -> list[str]:
    """The commands of a page's console blocks, without comments, continued lines joined."""
    found: list[str] = []
    for block in re.findall(r"^ *```console\n(.*?)^ *```", page.read_text(), re.S | re.M):
        for line in re.sub(r"\\\n\s*", " ", block).splitlines():
            if line.strip().startswith("$ "):
                found.append(re.sub(r"\s{2,}#.*$", "", line.strip()[2:]).strip())
    return found


def programs(page: Path) -> Iterator[tuple[str, str]]:
    """Files whose text a page shows: a block that begins with the file's name in a comment."""
    yield from re.findall(r"```\w+\n# ([\w.]+\.(?:py|toml))\n(.*?)```", page.read_text(), re.S)


def has_opened_store(pid: int) -> bool:
    return any(Path(file.path).suffix == ".db" for file in psutil.Process(pid).open_files())


class Terminal:
    def __init__(self, folder: Path, port: int, database_url: str, source: str) -> None:
        self.folder, self.port, self.source = folder, port, source
        login, _, self.source_url = source.partition(" '")
        email, _, token = login.partition("/token:")
        self.credentials = f"{email} TICKETFEED_SOURCE_TOKEN={token}"
        self.database_url = database_url
        self.server: subprocess.Popen[str] | None = None
        self.cursor = ""
        self.env = {
            **ENVIRONMENT,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "TICKETFEED_PORT": str(port),
            "XDG_STATE_HOME": str(folder / "state"),
        }

    def type(self, command: str) -> None:
        """Run what the page says. Raises AssertionError where it fails."""
        command = self._in_place(command)
        if command.startswith("export "):
            self.env.update(word.partition("=")[::2] for word in shlex.split(command)[1:])
        elif command.startswith(SERVERS):
            self.stop()
            self.start(command)
        elif command.startswith(ENDLESS):
            self._watch(command)
        else:
            self._run(command)

    def _in_place(self, command: str) -> str:
        command = re.sub(r"^make demo$", "ticketfeed demo", command)
        command = re.sub(r"^ticketfeed demo(?: --tickets \d+)?", "ticketfeed demo --tickets 300", command)
        # Two pages in place of three, and two scenarios in place of all.
        command = re.sub(r"^ticketfeed torture --report", f"ticketfeed torture {FEW_SCENARIOS} --report", command)
        tickets = 2500 if "empty-page" in command else 1150
        command = re.sub(r"^ticketfeed torture", f"ticketfeed torture --tickets {tickets}", command)
        command = command.replace("postgresql://feed:secret@db.example.com/desk", self.database_url)
        command = command.replace("you@example.com/token:TOKEN 'https://acme.zendesk.com", self.source)
        command = re.sub(r"(export|mirror) https://acme\.zendesk\.com", rf"\1 {self.source_url}", command)
        command = command.replace("EMAIL=you@example.com TICKETFEED_SOURCE_TOKEN=TOKEN", f"EMAIL={self.credentials}")
        command = re.sub(r"([:\s])8080\b", rf"\g<1>{self.port}", command)
        return command.replace("AFTER_CURSOR", self.cursor.replace("=", "%3D"))

    def start(self, command: str) -> None:
        words = [str(Path(sys.executable).parent / "ticketfeed"), *shlex.split(command)[1:]]
        log = (self.folder / "server.log").open("w")
        self.server = subprocess.Popen(
            words, cwd=self.folder, env=self.env, stdout=subprocess.PIPE, stderr=log, text=True, start_new_session=True
        )
        log.close()
        assert self.server.stdout
        line = self.server.stdout.readline()
        assert line.startswith("ready: http"), (command, line, (self.folder / "server.log").read_text())

    def _watch(self, command: str) -> None:
        """Let it work for a while, then end it as the page says, with ^C."""
        words = [str(Path(sys.executable).parent / "ticketfeed"), *shlex.split(command)[1:]]
        # A shell that starts us in the background has us ignore ^C, and what we start would, too.
        process = subprocess.Popen(
            words,
            cwd=self.folder,
            env=self.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )
        wait_until(lambda: has_opened_store(process.pid))
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=SECONDS_MAX)
        assert process.returncode == 130, (command, output)

    def _run(self, command: str) -> None:
        if command.startswith("ticketfeed restore") and "sqlite" in command:  # the page says that none may be there
            self.stop()
            for file in self.folder.glob("ticketfeed.db*"):
                file.unlink()
        done = subprocess.run(
            ["bash", "-o", "pipefail", "-c", command],
            cwd=self.folder,
            env=self.env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=SECONDS_MAX,
            check=False,
        )
        assert done.returncode == 0, (command, done.stdout[-2000:], done.stderr[-2000:])
        if command.startswith("curl"):
            assert b'"error"' not in done.stdout[:200], (command, done.stdout[:500])
            assert done.stdout, command
            with contextlib.suppress(ValueError, AttributeError):
                self.cursor = json.loads(done.stdout).get("after_cursor") or self.cursor

    def stop(self) -> None:
        if self.server is not None:
            self.server.terminate()
            assert self.server.wait(40) == 0
            assert self.server.stdout
            self.server.stdout.close()
            self.server = None


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small world as a file of lines."""
    folder = tmp_path_factory.mktemp("world")
    assert run("generate", "30", "--out", "world.ndjson", cwd=folder).code == 0
    return folder / "world.ndjson"


def prepare(folder: Path, filled: Path, world: Path, page: Path) -> None:
    """The reader's own files."""
    if page.name not in BEGIN_WITHOUT_STORE:
        shutil.copy(filled, folder / "ticketfeed.db")
    shutil.copy(filled, folder / "t.db")
    tickets, users = [], []
    for line in world.read_bytes().splitlines():
        record = json.loads(line)
        if "users" in record:
            users += record["users"]
        elif "id" in record:
            tickets.append(record)
    (folder / "tickets.ndjson").write_text("\n".join(map(json.dumps, tickets)))
    (folder / "users.ndjson").write_text("\n".join(map(json.dumps, users)))
    (folder / "users.json.gz").write_bytes(gzip.compress(json.dumps({"users": users}).encode()))
    (folder / "page-1.json").write_text(json.dumps({"tickets": tickets[:10], "end_of_stream": False}))
    (folder / "page-2.json.gz").write_bytes(gzip.compress(json.dumps({"tickets": tickets[10:]}).encode()))
    for number, half in enumerate((tickets[:10], tickets[10:]), 1):
        (folder / f"export-2026-0{number}.ndjson").write_text("\n".join(map(json.dumps, half)))
    (folder / "more.ndjson").write_text("\n".join(map(json.dumps, tickets[:3])))
    (folder / "my_connector.py").write_text(CLIENT)
    (folder / "sync.sh").write_text("#!/bin/sh\nexec python my_connector.py\n")
    (folder / "old.sh").write_text(OLD)
    (folder / "sync.sh").chmod(0o700)
    for name, text in programs(page):
        (folder / name).write_text(text)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_page(
    page: Path,
    tmp_path: Path,
    filled: Path,
    world: Path,
    server: Running,
    postgres: PostgresServer,
) -> None:
    """The commands of a page run in the order in which they stand there."""
    prepare(tmp_path, filled, world, page)
    port = free_port()
    host, source_port = server.address
    source = f"a@example.com/token:{TOKEN} 'http://{host}:{source_port}"
    url = postgres.new_database() if "postgresql://" in page.read_text() else ""
    terminal = Terminal(tmp_path, port, url, source)
    try:
        if page.name == "write-tickets.md":  # where another server is there before
            terminal.start("ticketfeed demo --tickets 300 --store sqlite:///other.db")
        for command in commands(page):
            if not any(re.search(pattern, command) for pattern in LEFT_OUT):
                terminal.type(command)
    finally:
        terminal.stop()


def test_what_is_left_out() -> None:
    """Each reason for leaving a command out is still needed, and most commands run."""
    every = [command for page in PAGES for command in commands(page)]
    left_out = [command for command in every if any(re.search(pattern, command) for pattern in LEFT_OUT)]
    unused = {pattern for pattern in LEFT_OUT if not any(re.search(pattern, command) for command in every)}
    assert unused == set()
    assert len(left_out) * 3 < len(every), left_out


def test_every_how_to_has_commands() -> None:
    """A how-to page without a command that runs would not be tested."""
    assert [page.name for page in PAGES if not commands(page) and page.name not in WITHOUT_COMMANDS] == []
