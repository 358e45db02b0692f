"""`python -m bench.outages`: what an account that is locked costs the others.

A stranger holds the rows of some accounts, and fifty requests hammer them: the 99th percentile of another account's
writes and reads, against quiet ones. Phases of both kinds take turns; the ratio is that of the medians. Reads among
the fifty are answered, and take time of the server as any do: so they go on in the quiet phases.
"""

import argparse
import asyncio
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import NamedTuple

import msgspec
import psycopg

from tests.ports import free_port
from tests.postgres import PostgresServer
from tests.process.crash import TOKEN, prepare, start_server

OTHER = "other"
CONNECTIONS_OF_OTHER = 2
# Connections to the locked accounts. Of every five requests so many read.
HAMMERING, READS_OF_FIVE = 50, 1
# From the first request to a locked account until the measurement: who waits is counted apart then.
LEAD_SECONDS = 2.0
# After it: until the last request has waited for as long as it may.
REST_SECONDS = 6.0
WRITE = msgspec.json.encode({"ticket": {"subject": "x", "comment": {"body": "hello"}}})
READ = "/api/v2/incremental/tickets/cursor?start_time=1&per_page=100"


class Phase(NamedTuple):
    """99th percentiles, in seconds."""

    writes: float
    reads: float


class Client:
    """One keep-alive connection."""

    def __init__(self, port: int, account: str) -> None:
        self._port, self._account = port, account
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, method: str, path: str, body: bytes = b"") -> int:
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port)
        reader, writer = self._streams
        head = f"{method} {path} HTTP/1.1\r\nHost: {self._account}.localhost\r\nAuthorization: Bearer {TOKEN}\r\n"
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
        answer = await reader.readuntil(b"\r\n\r\n")
        for line in answer.lower().split(b"\r\n"):
            if line.startswith(b"content-length:"):
                await reader.readexactly(int(line.partition(b":")[2]))
        return int(answer.split()[1])

    async def write(self) -> int:
        return await self.ask("POST", "/api/v2/tickets", WRITE)

    async def read(self) -> int:
        return await self.ask("GET", READ)


async def measure(port: int, seconds: float) -> Phase:
    """Writes and reads of the account that is not locked, one after the other on each connection."""
    deadline = time.monotonic() + seconds

    async def repeat(name: str) -> list[float]:
        client, durations = Client(port, OTHER), list[float]()
        while time.monotonic() < deadline:
            began = time.monotonic()
            status = await getattr(client, name)()
            assert status in (200, 201), status
            durations.append(time.monotonic() - began)
        return durations

    names = ["write", "read"] * CONNECTIONS_OF_OTHER
    found = await asyncio.gather(*map(repeat, names))
    writes, reads = (sorted(each for one in found[first::2] for each in one) for first in (0, 1))
    return Phase(*(each[int(len(each) * 0.99)] for each in (writes, reads)))


def hammer(port: int, accounts: list[str], readers: range, writers: range, stop: Event) -> None:
    """Requests to some accounts, one after the other on each connection, whatever their answers."""

    async def repeat(name: str, number: int) -> None:
        client = Client(port, accounts[number % len(accounts)])
        while not stop.is_set():
            await getattr(client, name)()

    async def main() -> None:
        await asyncio.gather(*(repeat("read", each) for each in readers), *(repeat("write", each) for each in writers))

    asyncio.run(main())


@contextmanager
def hammered(port: int, accounts: list[str], reads_of_five: int, url: str | None) -> Iterator[None]:
    """Requests go to these accounts: reads; and writes that wait, if `url` is given: a stranger holds their rows."""
    count, stop = HAMMERING * reads_of_five // 5, multiprocessing.Event()
    ranges = range(count), range(count, HAMMERING) if url else range(0)
    hammering = multiprocessing.Process(target=hammer, args=(port, accounts, *ranges, stop))
    with psycopg.connect(url) if url else nullcontext() as stranger:
        if stranger is not None:
            stranger.execute("SELECT FROM ticketfeed.feed_state WHERE account_id > 1 FOR UPDATE")
        hammering.start()
        try:
            time.sleep(LEAD_SECONDS)
            yield
        finally:
            stop.set()
    hammering.join()


def compare(folder: Path, count: int, reads_of_five: int, rounds: int, seconds: float) -> str:
    """A line about so many locked accounts."""
    server, port = PostgresServer(folder / "postgres"), free_port()
    accounts = [f"locked{number}" for number in range(count)]
    url = server.new_database()
    asyncio.run(prepare(url, [OTHER, *accounts]))
    serving = start_server(url, port, folder / "errors")
    quiet, busy = list[Phase](), list[Phase]()
    try:
        asyncio.run(measure(port, seconds))  # what is slow the first time is not measured
        for _ in range(rounds):
            for phases, store in ((quiet, None), (busy, url)):
                with hammered(port, accounts, reads_of_five, store):
                    phases.append(asyncio.run(measure(port, seconds)))
            time.sleep(REST_SECONDS)
    finally:
        serving.terminate()
        serving.wait()
        server.stop()
    (writes, reads), (quiet_writes, quiet_reads) = (
        Phase(*(statistics.median(each) for each in zip(*phases, strict=True))) for phases in (busy, quiet)
    )
    return (
        f"{count} locked, {reads_of_five} of 5 requests to them read: p99 of another account's "
        f"writes {writes * 1000:.1f} ms, {writes / quiet_writes:.2f} of quiet; "
        f"reads {reads * 1000:.1f} ms, {reads / quiet_reads:.2f} of quiet"
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.outages")
    parser.add_argument("--locked", type=int, nargs="+", default=[1, 6])
    parser.add_argument("--reads", type=int, nargs="+", choices=range(6), default=[0, READS_OF_FIVE])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=8)
    asked = parser.parse_args()
    for count in asked.locked:
        for reads_of_five in asked.reads:
            with tempfile.TemporaryDirectory(prefix="ticketfeed-bench-", ignore_cleanup_errors=True) as folder:
                print(compare(Path(folder), count, reads_of_five, asked.rounds, asked.seconds), flush=True)


if __name__ == "__main__":
    main()
