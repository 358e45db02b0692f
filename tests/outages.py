"""`python -m tests.outages --minutes M`: each part of a deployment is killed in turn, under writers and readers.

These go over HTTP through all four servers, to sixteen accounts on PostgreSQL with a streaming replica; or on the Citus
that TICKETFEED_TEST_CITUS_DSN names, whose nodes are killed and started by commands: `--part 'kill -9 1' 'start 1'`,
repeatable. At the end one line of JSON: what was written, read and killed; and what was lost, out of order or missed.
Exit code 1 if anything was.
"""

import argparse
import asyncio
import logging
import subprocess
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from random import Random
from typing import NamedTuple

import msgspec
import psycopg

from tests.citus import CITUS_URL, NO_CITUS, CitusServer, worker_urls
from tests.ports import free_port
from tests.postgres import PostgresServer
from tests.process.crash import TOKEN, asker, await_real_time, prepare, start_server
from tests.process.http_work import as_seen
from tests.process.journal import Journal
from tests.process.team import PATIENCE_SECONDS, Team, Verdict
from tests.process.worker import Plan, Reader
from tests.simulation.observer import EVERYTHING, version_of
from ticketfeed.protocol.tickets import parse_ticket
from ticketfeed.storage import open_store

SERVERS = 4
ACCOUNTS = [f"account{number}" for number in range(16)]
TICKETS = 40
# How long a part is away, and how long all are there until the next one is killed.
AWAY_SECONDS, BETWEEN_SECONDS = (0.0, 1.0, 4.0, 8.0), (1.0, 4.0)
# What a violation says -> its kind; the rest is of the first kind.
KINDS = {
    "lost": ("is lost", "is gone", "ended with", "nobody wrote"),
    "missed": ("end_of_stream without", "behind a cursor"),
}


class Part(ABC):
    """One part of the deployment."""

    name: str

    @abstractmethod
    def kill(self) -> None:
        """End it at once."""

    @abstractmethod
    def start(self) -> None:
        """Start it again; it answers then."""


class Server(Part):
    def __init__(self, number: int, url: str, read_urls: Sequence[str], folder: Path) -> None:
        self.name, self.port = "server", free_port()
        self._started = url, self.port, folder / f"server{number}.errors", read_urls
        self._process: subprocess.Popen[bytes] | None = None

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def start(self) -> None:
        self._process = start_server(*self._started)


class Database(Part):
    def __init__(self, name: str, server: PostgresServer) -> None:
        self.name, self._server = name, server

    def kill(self) -> None:
        self._server.kill()

    def start(self) -> None:
        self._server.start()


class Commands(Part):
    def __init__(self, kill: str, start: str) -> None:
        self.name, self._kill, self._start = kill, kill, start

    def kill(self) -> None:
        subprocess.run(self._kill, shell=True, check=True)

    def start(self) -> None:
        subprocess.run(self._start, shell=True, check=True, stdout=subprocess.DEVNULL)


class Deployment(NamedTuple):
    """A store and its replicas, by URL, the parts that may die, and what waits for replicas that are behind."""

    url: str
    read_urls: list[str]
    parts: list[Part]
    catch_up: Callable[[], None]
    has_replicas: bool


@contextmanager
def on_postgres(folder: Path) -> Iterator[Deployment]:
    """A primary and a streaming replica."""
    primary = PostgresServer(folder / "primary")
    replica = primary.replica(folder / "replica")
    try:
        url = primary.new_database()
        name = psycopg.conninfo.conninfo_to_dict(url)["dbname"]
        read_url = replica.database_url(str(name))
        parts: list[Part] = [Database("primary", primary), Database("replica", replica)]
        yield Deployment(url, [read_url], parts, lambda: catch_up(url, read_url), has_replicas=True)
    finally:
        replica.stop()
        primary.stop()


def catch_up(url: str, read_url: str) -> None:
    """Wait until the replica has what the primary has now."""
    with psycopg.connect(url) as primary, psycopg.connect(read_url, autocommit=True) as replica:
        written = primary.execute("SELECT pg_current_wal_lsn()").fetchone()
        deadline = time.monotonic() + PATIENCE_SECONDS
        while replica.execute("SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn", written).fetchone() != (True,):
            assert time.monotonic() < deadline, "the replica does not catch up"
            time.sleep(0.1)


@contextmanager
def on_citus(commands: Sequence[Sequence[str]]) -> Iterator[Deployment]:
    """Pages are read from the workers."""
    if not CITUS_URL:
        raise SystemExit(NO_CITUS)
    url = CitusServer().new_store()
    yield Deployment(url, worker_urls(url), [Commands(*each) for each in commands], lambda: None, has_replicas=False)


def fill(url: str, journal: Journal) -> None:
    """The first state of every ticket, as one write for each account."""

    async def main() -> None:
        store = await open_store(url)
        for name in ACCOUNTS:
            texts = {id: f"prepare {name} {id}" for id in range(1, TICKETS + 1)}
            values = [{"id": id, "subject": text, "status": "open"} for id, text in texts.items()]
            drafts = [parse_ticket(msgspec.json.encode(each), account=name, now=int(time.time())) for each in values]
            versions = {str(each.id): version_of(as_seen(each.body(0)), 0) for each in drafts}
            note = {"writer": "prepare", "number": ACCOUNTS.index(name)}
            journal.note("try", **note, account=name, tickets=versions, keeps=False, began=time.monotonic())
            account = await store.create_account(name)
            await store.write(account, lambda write, drafts=drafts: write.put_tickets(drafts))  # type: ignore[misc]
            journal.note("acknowledged", **note, ended=time.monotonic())
        await store.close()

    asyncio.run(main())


def kill_in_turn(parts: Sequence[Part], seconds: float, chance: Random) -> Counter[str]:
    """Kill one part after the other, and start it again, until the time is over; returns how often each."""
    kills, deadline = Counter[str](), time.monotonic() + seconds
    while time.monotonic() < deadline:
        for part in chance.sample(parts, len(parts)):
            if time.monotonic() > deadline:
                break
            part.kill()
            kills[part.name] += 1
            time.sleep(chance.choice(AWAY_SECONDS))
            part.start()
            time.sleep(chance.uniform(*BETWEEN_SECONDS))
    return kills


def run(deployment: Deployment, folder: Path, journals: Path, seconds: float, chance: Random) -> str:
    """The figures, as JSON. Violations are printed."""
    url, read_urls, parts, wait_for_replicas, _ = deployment
    asyncio.run(prepare(url, ACCOUNTS))
    journal = Journal(journals / "prepare.journal")
    fill(url, journal)
    journal.close()
    servers = [Server(number, url, read_urls, folder) for number in range(SERVERS)]
    with ExitStack() as stack:
        team = stack.enter_context(Team(journals))
        for server in servers:
            stack.callback(server.kill)
            server.start()
        addresses = ",".join(f"127.0.0.1:{server.port}" for server in servers)
        for role in ("http_writer", "http_writer", "http_reader", "http_reader"):
            name = f"{role}{chance.randrange(10**6)}"
            plan = Plan(
                role=role,
                name=name,
                seed=chance.randrange(2**31),
                seconds=seconds * 10 + 3600,
                journal=team.journal(name),
                accounts=ACCOUNTS,
                address=addresses,
                token=TOKEN,
                tickets=TICKETS,
            )
            team.start(plan)
            team.wait_ready(name)
        kills = kill_in_turn([*servers, *parts], seconds, chance)
        team.stop()
        verdict = Verdict(url, team.finish(), as_seen, has_replicas=deployment.has_replicas)
        await_real_time(url)
        ask = asker(servers[0].port)
        for name in ACCOUNTS:  # whoever reaches the newest second first has it closed
            ask(Reader("first", name, EVERYTHING, seen=as_seen))
        wait_for_replicas()
        figures = verdict.give(ask)
    violations = verdict.observer.violations
    for violation in violations[:20]:
        print(violation, flush=True)
    kinds = Counter(_kind(violation) for violation in violations)
    told = {
        "seconds": seconds,
        "writes": figures.writes,
        "acknowledged": figures.acknowledged,
        "pages": figures.pages,
        "kills": dict(kills),
        "superseded": verdict.observer.superseded,
        **{kind: kinds[kind] for kind in ("lost", "out of order", "missed")},
    }
    return msgspec.json.encode(told).decode()


def _kind(violation: str) -> str:
    return next((kind for kind, texts in KINDS.items() if any(text in violation for text in texts)), "out of order")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.outages")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--store", choices=("postgres", "citus"), default="postgres")
    parser.add_argument("--part", nargs=2, action="append", default=[], metavar=("KILL", "START"))
    parser.add_argument("--journals", type=Path, help="an empty folder in which all that was seen is kept")
    parser.add_argument("--seed", type=int)
    asked = parser.parse_args()
    logging.disable()  # lost connections are what this is about
    with tempfile.TemporaryDirectory(prefix="ticketfeed-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        deployment = on_citus(asked.part) if asked.store == "citus" else on_postgres(folder)
        with deployment as made:
            journals = asked.journals or folder / "journals"
            journals.mkdir(exist_ok=True)
            told = run(made, folder, journals, asked.minutes * 60, Random(asked.seed))
    print(told)
    return 0 if all(f'"{kind}":0' in told for kind in ("lost", "out of order", "missed")) else 1


if __name__ == "__main__":
    sys.exit(main())
