"""Nobody who waits, for input or for a lock, keeps others waiting."""

import asyncio
import contextlib
import http.client
import json
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from email.message import Message
from pathlib import Path
from typing import NamedTuple

import apsw
import psycopg
import pytest

from tests.engines import EngineName
from tests.process.conftest import COMMAND, ENVIRONMENT, TOKEN, Running, Start, run
from tests.waiting import SECONDS_MAX
from ticketfeed.protocol.tickets import parse_ticket
from ticketfeed.storage import open_store
from ticketfeed.writing.credentials import add_user_credential

ACCOUNTS = ("acme", "other")


@pytest.fixture
def url(engine_name: EngineName, new_url: Callable[[str], str]) -> str:
    """A store with two accounts, each with a token."""
    url = new_url(engine_name)
    asyncio.run(fill(url))
    return url


async def fill(url: str) -> None:
    store = await open_store(url)
    for name in ACCOUNTS:
        account = await store.create_account(name)
        await add_user_credential(store, account, "a@example.com", "admin", "api_token", TOKEN)
    await store.close()


@contextlib.contextmanager
def held(url: str, account: str) -> Iterator[None]:
    """A stranger holds what writes of the account need: its row, or with SQLite the lock of the file."""
    if url.startswith("sqlite:///"):
        with contextlib.closing(apsw.Connection(url.removeprefix("sqlite:///"))) as connection:
            connection.set_busy_timeout(round(1000 * SECONDS_MAX))
            connection.execute("BEGIN IMMEDIATE")
            yield
        return
    with psycopg.connect(url) as stranger:
        own = stranger.execute("SELECT account_id FROM ticketfeed.account WHERE subdomain = %s", (account,)).fetchone()
        stranger.execute("SELECT FROM ticketfeed.feed_state WHERE account_id = %s FOR UPDATE", own)
        yield
        stranger.rollback()


async def put_one(url: str) -> None:
    """Write to acme, in this process."""
    store = await open_store(url)
    (account,) = [each for each in await store.list_accounts() if each.subdomain == "acme"]
    await store.write(account, lambda write: write.put_tickets([parse_ticket(b'{"id":1}', account="acme", now=1)]))
    await store.close()


def test_a_load_that_waits_for_its_input(url: str, tmp_path: Path) -> None:
    """It holds no lock: its own account is written meanwhile. All of it is loaded when its input has ended, or
    nothing if it was invalid at the end."""
    for last, code in (b'{"id":12}\n', 0), (b'{"id":true}\n', 2):
        command = [*COMMAND, "load", "-", "--account", "acme", "--store", url]
        process = subprocess.Popen(
            command,
            cwd=tmp_path,
            env=ENVIRONMENT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert process.stdin
        lines = b"".join(b'{"id":%d}\n' % (1000 + 10_000 * (code + 1) + number) for number in range(10_000))
        process.stdin.write(lines)  # more than a pipe holds, so it has begun to read
        process.stdin.flush()
        asyncio.run(put_one(url))
        out, _ = process.communicate(last)
        assert process.returncode == code
        assert out == (b"loaded 10,001 tickets\n" if code == 0 else b"")
    done = run("get", "/api/v2/tickets/count", "--account", "acme", "--store", url, cwd=tmp_path)
    assert json.loads(done.out)["count"]["value"] == 10_002


class Asked(NamedTuple):
    status: int
    headers: Message
    body: bytes
    seconds: float


def ask(server: Running, method: str, path: str, account: str = "acme") -> Asked:
    """One request on a connection of its own."""
    headers = {"Host": f"{account}.localhost", "Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
    body = b'{"ticket":{"comment":{"body":"x"}}}' if method == "POST" else None
    with contextlib.closing(http.client.HTTPConnection(*server.address, timeout=SECONDS_MAX)) as connection:
        began = time.monotonic()
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        body = answer.read()
        return Asked(answer.status, answer.headers, body, time.monotonic() - began)


# More than there are threads or connections.
WRITERS = 12
WATCHED = (
    "/_ticketfeed/ready",
    "/_ticketfeed/health",
    "/_ticketfeed/metrics",
    "/_ticketfeed/",
    "/_ticketfeed/consumers",
)
READ = ("/api/v2/incremental/tickets/cursor?start_time=0", "/api/v2/tickets/count", "/api/v2/search?query=type:user")


def test_a_stranger_that_holds_what_writes_need(url: str, serve: Start) -> None:
    """Writes wait for it once, and get 503 with Retry-After within five seconds, however many wait. Whoever reads or
    watches is answered within a second; on PostgreSQL so are writes to other accounts."""
    server = serve("--store", url)
    with ThreadPoolExecutor(WRITERS + 1) as threads:
        with held(url, "acme"):
            waiting = [threads.submit(ask, server, "POST", "/api/v2/tickets") for _ in range(WRITERS)]
            time.sleep(0.5)
            for _ in range(2):
                for path in (*WATCHED, *READ):
                    found = ask(server, "GET", path)
                    assert (found.status, found.seconds < 1.0) == (200, True), (path, found)
            if url.startswith("postgresql"):
                other = ask(server, "POST", "/api/v2/tickets", "other")
                assert (other.status, other.seconds < 1.0) == (201, True), other
            for each in waiting:
                refused = each.result()
                assert refused.status == 503, refused
                assert 4.0 < refused.seconds < 6.0, refused
                assert refused.headers["retry-after"] == "5"
        assert ask(server, "POST", "/api/v2/tickets").status == 201
    reasons = " ".join(line["event"] for line in server.logs if line["level"] == "warning")
    assert "another process holds the write lock" in reasons or "another write holds the account" in reasons
