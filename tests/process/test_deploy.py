"""What is run by others: the image, the compose files, the unit and the workflow say what this release understands.

No container engine is needed: files are read, and the commands in them are run outside.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psycopg
import pytest
import typer
import yaml

from tests.postgres import PostgresServer
from tests.process.conftest import Start, run
from tests.test_docs import ROOT
from ticketfeed.cli import make_app
from ticketfeed.cli.resolver import RULE
from ticketfeed.settings import SETTINGS, variable_name
from ticketfeed.storage.connection_limits import DEFAULT_CONNECTIONS
from ticketfeed.storage.postgres.store import SNAPSHOT_CONNECTIONS
from ticketfeed.storage.queries import ACCOUNT_TABLES, load_migrations

DEPLOY = ROOT / "deploy"
COMPOSE = sorted(DEPLOY.glob("compose.*.yaml"))
SCRIPTS = sorted(DEPLOY.glob("postgres/*.sh"))
DOCKERFILE = (ROOT / "Dockerfile").read_text()


def known_variables() -> set[str]:
    """The environment variables that commands read, without former names."""
    return {row.variable for row in SETTINGS.values() if row.has_option} | {variable_name(RULE), "TICKETFEED_CONFIG"}


def check_arguments(arguments: list[str]) -> None:
    """Raises for a command line that this release does not take."""
    command: Any = typer.main.get_command(make_app())
    words = list(arguments)
    while hasattr(command, "commands"):
        command = command.commands[words.pop(0)]
    known = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    assert {word for word in words if word.startswith("-")} <= known


def instructions() -> list[tuple[str, str]]:
    """(instruction, its text) of the Dockerfile, lines joined."""
    joined = re.sub(r"\\\n\s*", " ", re.sub(r"^#.*\n", "", DOCKERFILE, flags=re.M))
    return [(line.partition(" ")[0], line.partition(" ")[2].strip()) for line in joined.splitlines() if line.strip()]


def test_image() -> None:
    """Small, pinned, built in a stage of its own, nobody's but its user's, and asked whether it is ready."""
    found = instructions()
    bases = [text for name, text in found if name == "FROM"]
    assert all(re.match(r"python:3\.\d+-slim", base) for base in bases)
    last = found[max(index for index, (name, _) in enumerate(found) if name == "FROM") :]
    names = [name for name, _ in last]
    assert "ADD" not in [name for name, _ in found]
    assert dict(last)["USER"] == "10001:10001"
    assert names.index("USER") > names.index("RUN")
    assert {"VOLUME", "HEALTHCHECK", "EXPOSE", "STOPSIGNAL"} <= set(names)
    assert all("--no-cache-dir" in text for name, text in found if name == "RUN" and "pip install" in text)
    check_arguments(json.loads(dict(last)["CMD"]))
    assert set(re.findall(r"TICKETFEED_\w+(?==)", dict(last)["ENV"])) <= known_variables()
    copied = [name for _, text in found for name in text.split() if _ == "COPY" and "--from" not in text]
    assert {"pyproject.toml", "README.md", "LICENSE", "src"} <= set(copied)
    kept = (ROOT / ".dockerignore").read_text().split()
    assert {f"!{name}" for name in ("pyproject.toml", "README.md", "LICENSE", "src")} <= set(kept)


@pytest.mark.usefixtures("folder")
def test_the_image_knows_whether_it_is_ready(serve: Start, tmp_path: Path) -> None:
    """The command of HEALTHCHECK succeeds beside a server that is ready, over http or https, wherever its port is said,
    and fails without one."""
    check = json.loads(dict(instructions())["HEALTHCHECK"].partition("CMD ")[2])
    assert check[0] == "ticketfeed"
    for options in ((), ("--tls", "--ca-dir", str(tmp_path / "ca"))):
        server = serve(*options)
        (tmp_path / "ticketfeed.toml").write_text(f"port = {server.address[1]}\n")
        assert run(*check[1:], cwd=tmp_path).code == 0
        (tmp_path / "ticketfeed.toml").unlink()
        assert run(*check[1:], cwd=tmp_path, env={"TICKETFEED_PORT": str(server.address[1])}).code == 0
        assert server.end() == 0
        assert run(*check[1:], "--port", str(server.address[1]), cwd=tmp_path).code == 1


@pytest.mark.usefixtures("folder")
def test_a_read_only_root(serve: Start, tmp_path: Path) -> None:
    """A server that can write nowhere but into its store's folder, /tmp and the folder of kept pages needs no more."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    server = serve("--workers", "2", env={"HOME": "/nonexistent", "TMPDIR": str(folder)})
    assert server.ask().status == 200
    assert server.end() == 0


@pytest.mark.parametrize("path", COMPOSE, ids=lambda path: path.name)
def test_compose(path: Path) -> None:
    """Services of ours take options that there are, write only where they may, listen on loopback, end in time; no
    password stands in the file; what is mounted exists; whoever is waited for says when it is there."""
    text = path.read_text()
    services = yaml.safe_load(text)["services"]
    assert not re.search(r"PASSWORD: (?!\$\{)", text)
    for name, service in services.items():
        for volume in service.get("volumes", []):
            source = volume.partition(":")[0]
            assert not source.startswith("./") or (DEPLOY / source).is_file(), volume
        for other, condition in (service.get("depends_on") or {}).items():
            if condition["condition"] == "service_healthy":
                assert "healthcheck" in services[other], other
        if service.get("image") != "ticketfeed":
            continue
        check_arguments(service["command"])
        assert service["read_only"] is True, name
        assert service["tmpfs"] == ["/tmp"], name
        assert any(volume.endswith("/var/tmp") for volume in service["volumes"]), name
        assert {key for key in service.get("environment", {}) if key.startswith("TICKETFEED_")} <= known_variables()
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
        if service["command"][0] == "serve":
            assert int(service["stop_grace_period"].removesuffix("s")) > 30


@pytest.mark.parametrize("name", ["postgres", "citus"])
def test_room_for_connections(name: str) -> None:
    """PostgreSQL takes all that the server processes may open, and on Citus what nodes open to one another."""
    services = yaml.safe_load((DEPLOY / f"compose.{name}.yaml").read_text())["services"]
    servers = [each for each in services.values() if "max_connections" in str(each.get("command"))]
    assert len(servers) == {"postgres": 2, "citus": 3}[name]
    rooms = {re.findall(r"max_connections=(\d+)", str(each["command"]))[0] for each in servers}
    processes = int(services["feed"]["command"][-1]) * {"postgres": 2, "citus": 1}[name]  # --scale feed=2
    reads, writes, _ = DEFAULT_CONNECTIONS
    primary = processes * (reads + writes + SNAPSHOT_CONNECTIONS)
    worker = primary + 2 * processes * reads  # for the coordinator; its own, and those of the other worker's
    assert len(rooms) == 1  # a replica with less than its primary does not start
    assert {"postgres": primary, "citus": worker}[name] < int(rooms.pop()) - 20


def test_commands_in_comments() -> None:
    """The commands that these files tell to type exist."""
    for path in (*COMPOSE, DEPLOY / "ticketfeed.service"):
        for line in re.findall(r"(?:exec feed|/bin/)\s*ticketfeed ([a-z].*)", path.read_text()):
            check_arguments(line.split())


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_scripts(path: Path) -> None:
    """They are sound shell, and end at the first error."""
    assert subprocess.run(["sh", "-n", str(path)], check=False).returncode == 0
    assert "\nset -eu\n" in path.read_text()


def test_citus_distributes_every_table() -> None:
    """Every table of an account is distributed by it, but for what only tells of readers or counts requests."""
    made = {}
    for _, _, sql in load_migrations("postgres"):
        for name, columns in re.findall(r"CREATE (?:UNLOGGED )?TABLE ticketfeed\.(\w+) \((.*?)\n\);", sql, re.S):
            made[name] = "account_id" in columns
        for name, renamed in re.findall(r"ALTER TABLE ticketfeed\.(\w+) RENAME TO (\w+);", sql):
            made[renamed] = made.pop(name)
    assert {*ACCOUNT_TABLES, "account"} == {name for name, has in made.items() if has} - {
        "consumer",
        "request",
        "request_window",
        "login",
        "anonymous_request",
    }
    assert "ticketfeed store distribute" in (ROOT / "docs/how-to/citus.md").read_text()


def test_replica_script(open_folder: Path) -> None:
    """Run outside: the scripts make a primary that lets replicas in, and a replica that follows; started again, it
    goes on from what it has."""
    primary = PostgresServer(open_folder / "primary")
    server = primary._server
    if server.system_user is not None:
        shutil.chown(open_folder, server.system_user)
    info = server.get_postmaster_info()
    env = {
        "PATH": f"{server.bin_path}:{os.environ['PATH']}",
        "PGDATA": str(server.pgdata),
        "PGHOST": str(info.socket_dir),
        "PGPASSWORD": "secret",
        "POSTGRES_USER": "postgres",
        "POSTGRES_DB": "postgres",
        "REPLICATION_PASSWORD": 'it\'s "secret"',
    }
    as_user: dict[str, Any] = {"user": server.system_user, "cwd": str(open_folder)} if server.system_user else {}
    subprocess.run(["sh", str(DEPLOY / "postgres/primary.sh")], env=env, check=True, capture_output=True, **as_user)
    assert (server.pgdata / "pg_hba.conf").read_text().endswith("host replication replicator all scram-sha-256\n")
    data = open_folder / "replica" / "docker"
    env |= {"PGDATA": str(data), "PRIMARY_HOST": str(info.socket_dir)}
    sockets = open_folder / "sockets"
    sockets.mkdir()
    if server.system_user is not None:
        shutil.chown(sockets, server.system_user)
    outside = ["-c", f"unix_socket_directories={sockets}", "-c", "listen_addresses="]
    command = ["sh", str(DEPLOY / "postgres/replica.sh"), *outside]
    for table in ("first", "second"):
        with psycopg.connect(primary.url, autocommit=True) as connection:
            connection.execute(f"CREATE TABLE {table} (id int)".encode())
        replica = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **as_user)
        try:
            wait_for_table(f"host={sockets} user=postgres dbname=postgres", table)
        finally:
            replica.terminate()
            replica.wait(30)
    primary.stop()


def wait_for_table(conninfo: str, name: str) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            with psycopg.connect(conninfo, autocommit=True) as connection:
                asked = "SELECT pg_is_in_recovery(), to_regclass(%s) IS NOT NULL"
                if connection.execute(asked, (name,)).fetchone() == (True, True):
                    return
        except psycopg.Error:
            pass
        assert time.monotonic() < deadline, "the replica does not follow"
        time.sleep(0.1)


def test_unit(tmp_path: Path) -> None:
    """systemd finds nothing to complain of, where it is there; what it starts is a command of this release."""
    text = (DEPLOY / "ticketfeed.service").read_text()
    (start,) = re.findall(r"^ExecStart=(.*)$", text, re.M)
    check_arguments(start.split()[1:])
    analyze = shutil.which("systemd-analyze")
    if analyze:
        unit = tmp_path / "ticketfeed.service"
        unit.write_text(text.replace(start.split()[0], sys.executable))
        done = subprocess.run([analyze, "verify", "--man=no", str(unit)], capture_output=True, text=True, check=False)
        assert [line for line in done.stderr.splitlines() if "ticketfeed.service" in line] == []


def test_workflow() -> None:
    """It runs `make test`, on every Python that the package says it supports, and nothing that make does not."""
    workflow = yaml.safe_load((ROOT / ".github/workflows/test.yml").read_text())
    job = workflow["jobs"]["test"]
    assert [step["run"] for step in job["steps"] if "run" in step] == ["make test"]
    supported = re.findall(r'"Programming Language :: Python :: (3\.\d+)"', (ROOT / "pyproject.toml").read_text())
    assert job["strategy"]["matrix"]["python"] == supported
