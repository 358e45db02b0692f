"""`ticketfeed mirror` as a real process: kills, signals, knobs, two at once, `serve --mirror`."""

import asyncio
import json
import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.ports import free_port
from tests.process.conftest import COMMAND, ENVIRONMENT, TICKETS, TOKEN, Done, Running, Start, run
from tests.waiting import SECONDS_MAX, wait_until
from ticketfeed import open_store
from ticketfeed.mirror.status import status_of
from ticketfeed.protocol.mirrors import Mirror

CREDENTIALS = {"TICKETFEED_SOURCE_BEARER": TOKEN}
STORE = ("--store", "sqlite:///mirror.db")
ZENDESK = ("--profile", "zendesk", "--rule", "incremental_exports=0", "--settle-seconds", "1")


def mirror(source: Running | str, *arguments: str, cwd: Path) -> Done:
    address = source if isinstance(source, str) else f"http://{source.netloc}"
    return run("mirror", address, *STORE, *arguments, cwd=cwd, env=CREDENTIALS)


def status(folder: Path) -> dict[str, Any]:
    """As `mirror status` prints it, read in this process, which is quicker; empty where there is no mirror yet."""
    mirror = mirror_in(folder)
    return status_of(mirror, time.time()) if mirror else {}


def mirror_in(folder: Path) -> Mirror | None:
    async def read() -> Mirror | None:
        store = await open_store(f"sqlite:///{folder / 'mirror.db'}", create=False)
        try:
            mirrors = await store.read_mirrors()
        finally:
            await store.close()
        return mirrors.popitem()[1] if mirrors else None

    return asyncio.run(read()) if (folder / "mirror.db").exists() else None


def tickets_in(store: str, folder: Path) -> list[bytes]:
    done = run("export", f"sqlite:///{store}", "--to", "-", cwd=folder)
    assert done.code == 0, done.err
    return done.out.splitlines()


@contextmanager
def started(source: Running, folder: Path, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """A mirror that follows, killed at the end."""
    with (folder / "mirror.log").open("ab") as log:
        process = subprocess.Popen(
            [*COMMAND, "mirror", f"http://{source.netloc}", *STORE, *arguments],
            cwd=folder,
            env={**ENVIRONMENT, **CREDENTIALS},
            stderr=log,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def change(folder: Path, seconds: float) -> subprocess.Popen[bytes]:
    arguments = ["simulate", "--rate", "40", "--minutes", str(seconds / 60)]
    return subprocess.Popen([*COMMAND, *arguments], cwd=folder, env=ENVIRONMENT, stdout=subprocess.DEVNULL)


def test_kills_lose_nothing(start: Start, folder: Path) -> None:
    """The mirror is killed at any instant, and so is the source, while the source changes: in the end both hold the
    same tickets byte for byte, and nothing that the store holds names the source's credentials."""
    chance, port = random.Random(5), str(free_port())
    source = start("serve", *ZENDESK, "--port", port)
    changing = change(folder, 8)
    for number in range(8):
        with started(source, folder, "--requests-per-minute", "0"):
            time.sleep(0.3 + chance.random() * 1.2)
            if number % 3 == 2:
                source.process.kill()
                source.process.wait()
                time.sleep(0.3)
                source = start("serve", *ZENDESK, "--port", port)
    assert changing.wait(SECONDS_MAX) == 0
    time.sleep(2.2)
    done = mirror(source, "--once", "--requests-per-minute", "0", cwd=folder)
    assert done.code == 0, done.err
    theirs = tickets_in("ticketfeed.db", folder)
    assert tickets_in("mirror.db", folder) == theirs
    assert len(theirs) > TICKETS
    assert status(folder)["state"] == "stopped"
    assert run("check", *STORE, cwd=folder).code == 0
    for file in folder.glob("mirror*"):
        assert TOKEN.encode() not in file.read_bytes(), file


def test_one_that_runs(serve: Start, folder: Path) -> None:
    """While it runs a second one is refused, knobs are seen within seconds; SIGTERM ends it with 0 behind a page."""
    source = serve()
    with started(source, folder, "--requests-per-minute", "6") as process:
        wait_until(lambda: status(folder))
        assert f"this account is mirrored already, by process {process.pid} on " in mirror(source, cwd=folder).problem
        told = json.loads(run("mirror", "status", "--json", *STORE, cwd=folder).out)
        assert " ".join(told) == (
            "source state reason copied applied behind_seconds behind_changes requests_per_minute requests_used "
            "eta_seconds last_error verified_at differences"
        )
        assert told["state"] == "copying"
        wait_until(lambda: status(folder)["requests_used"] == 6)
        assert b"paused" in run("mirror", "pause", *STORE, cwd=folder).out
        assert status(folder)["state"] == "paused"
        assert b"0 requests a minute" in run("mirror", "budget", "0", *STORE, cwd=folder).out
        time.sleep(2.5)
        before = status(folder)
        assert b"running" in run("mirror", "resume", *STORE, cwd=folder).out
        wait_until(lambda: status(folder)["copied"] > before["copied"])
        wait_until(lambda: status(folder)["state"] == "following")
        assert "read-only" in run("load", "-", *STORE, "--account", "mirror", cwd=folder, input=b'{"id":1}').problem
        process.send_signal(signal.SIGTERM)
        assert process.wait(SECONDS_MAX) == 0
    assert tickets_in("mirror.db", folder) == tickets_in("ticketfeed.db", folder)
    ended = status(folder)
    assert (ended["state"], ended["reason"], ended["last_error"], ended["behind_changes"]) == ("stopped", None, None, 0)


def test_served(serve: Start, start: Start, folder: Path) -> None:
    """`serve --mirror` walks in one of its processes, and another one goes on when that one is killed; an admin sees
    how it goes and pauses it over HTTP."""
    source = serve()
    address = f"http://{source.netloc}"
    server = start("serve", "--port", "0", "--workers", "2", *STORE, "--mirror", address, env=CREDENTIALS)
    wait_until(lambda: status(folder).get("copied"))
    run("mirror", "budget", "0", *STORE, cwd=folder)
    wait_until(lambda: status(folder)["behind_changes"] == 0 and status(folder)["state"] == "following")
    assert tickets_in("mirror.db", folder) == tickets_in("ticketfeed.db", folder)
    refused = mirror(source, cwd=folder).problem
    walking = [pid for pid in server.children() if f"mirrored already, by process {pid} " in refused]
    assert len(walking) == 1
    os.kill(walking[0], signal.SIGKILL)

    def another_walks() -> bool:
        copy = mirror_in(folder)
        assert copy is not None
        return copy.lease is not None and copy.lease.pid != walking[0] and status(folder)["state"] == "following"

    wait_until(another_walks)


def test_an_archive(folder: Path) -> None:
    """`--final` closes a mirror whose source is gone, and not one whose source is another account."""
    source, before = "sqlite:///source.db", (folder / "ticketfeed.db").rename(folder / "source.db")
    assert run("mirror", source, *STORE, "--once", cwd=folder).code == 0
    before.rename(folder / "kept.db")
    assert run("generate", "20", "--seed", "9", "--store", source, cwd=folder).code == 0
    refused = run("mirror", source, *STORE, "--final", cwd=folder)
    assert (refused.code, "--accept-source" in refused.problem) == (2, True)
    assert status(folder)["state"] == "stopped"
    (folder / "kept.db").rename(before)
    assert run("mirror", source, *STORE, "--final", cwd=folder).code == 0
    assert status(folder)["state"] == "archived"


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["mirror", "nonsense", *STORE], "SOURCE is https://NAME.zendesk.com"),
        (["mirror", "http://127.0.0.1:1", "--store", "memory:"], "a memory: store ends with the command"),
        (["mirror", "http://127.0.0.1:1", *STORE, "--once", "--give-up-after", "1s"], "no connection to the source"),
        (
            ["mirror", "http://127.0.0.1:1", *STORE, "--once", "--give-up-after", "x"],
            "--give-up-after 'x' is no duration",
        ),
        (["mirror", "http://127.0.0.1:1", *STORE, "--account", "A b"], "invalid account name"),
        (["mirror", "http://127.0.0.1:1", *STORE, "--final"], "there is no account 'mirror'"),
        (["mirror", "status"], "mirror.db"),
        (["serve", "--mirror", "x"], "SOURCE is https://NAME.zendesk.com"),
        (["mirror", "pause", "--store", "sqlite:///ticketfeed.db"], "the store has no mirror"),
        (["mirror", "budget", "5", "--store", "sqlite:///ticketfeed.db", "--account", "demo"], "demo is no mirror"),
    ],
)
def test_bad_input(folder: Path, arguments: list[str], word: str) -> None:
    """One line says what is wrong."""
    if arguments == ["mirror", "status"]:
        arguments = [*arguments, *STORE]
    assert word in run(*arguments, cwd=folder, env=CREDENTIALS).problem
