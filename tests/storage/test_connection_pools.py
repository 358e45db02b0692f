"""Connections of pools in pipeline mode, on a real PostgreSQL."""

import asyncio
import os
import socket
import threading

import psycopg
import pytest

from tests.postgres import PostgresServer
from tests.waiting import SECONDS_MAX
from ticketfeed.storage.postgres.connection_pools import ReadPool, ThreadPool

LARGE = "x" * 4_000_000
SQL = "SELECT length(%s)"


@pytest.mark.parametrize("of", ["threads", "event loop"])
def test_statements_larger_than_the_socket_takes(postgres: PostgresServer, of: str) -> None:
    """In pipeline mode they are sent to their end, whether their results are asked for at once, at a sync or at the
    end; many of them too, with results that fill the socket the other way."""
    found: list[int] = []
    work = in_threads if of == "threads" else lambda url: asyncio.run(in_loop(url))
    thread = threading.Thread(target=lambda: found.extend(work(postgres.url)), daemon=True)  # may hang for good
    thread.start()
    thread.join(SECONDS_MAX)
    assert found == [len(LARGE)] * 4


def in_threads(url: str) -> list[int]:
    with ThreadPool(url, {}, min_size=0, max_size=1) as pool, pool.connection() as connection:
        narrow(connection)
        with connection.pipeline() as pipeline:
            found = list(connection.execute(SQL, (LARGE,)).fetchone() or ())
            cursors = [connection.execute(SQL, (LARGE,)) for _ in range(2)]
            connection.execute("SELECT repeat('y', 3000000) FROM generate_series(1, 3)")
            pipeline.sync()
            last = connection.execute(SQL, (LARGE,))
        return found + [value for cursor in (*cursors, last) for value in cursor.fetchone() or ()]


async def in_loop(url: str) -> list[int]:
    async with ReadPool(url, {}, min_size=0, max_size=1, open=False) as pool, pool.connection() as connection:
        narrow(connection)
        async with connection.pipeline() as pipeline:
            found = list(await (await connection.execute(SQL, (LARGE,))).fetchone() or ())
            cursors = [await connection.execute(SQL, (LARGE,)) for _ in range(2)]
            await connection.execute("SELECT repeat('y', 3000000) FROM generate_series(1, 3)")
            await pipeline.sync()
            last = await connection.execute(SQL, (LARGE,))
        return found + [value for cursor in (*cursors, last) for value in await cursor.fetchone() or ()]


def narrow(connection: "psycopg.Connection[object] | psycopg.AsyncConnection[object]") -> None:
    """Let its socket take little at once."""
    with socket.socket(fileno=os.dup(connection.fileno())) as copy:
        copy.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
