"""Reads of an SQLite file that may take long, in threads of their own: the event loop goes on meanwhile.

Each runs on one of a few connections, which are kept: opening one takes as long as reading a short list.
"""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

import apsw

from ticketfeed.protocol import paging
from ticketfeed.storage.sqlite.file import connect_reader, translated
from ticketfeed.storage.sqlite.file_id import FileId

__all__ = ["READ_CACHE_KIB", "SqliteReaders", "cursor_rows"]

# Pages are read once each, in order: a larger cache of our own would copy what the operating system caches.
READ_CACHE_KIB = 2048
THREADS = 4


def cursor_rows(cursor: apsw.Cursor, body: int | None) -> list[Any]:
    """All rows; with `body`, the column of their bodies, none after the first one that is more than a page."""
    if body is None:
        return cursor.fetchall()
    size, rows = 0, []
    for row in cursor:
        rows.append(row)
        if size > paging.PAGE_BYTES_MAX:
            break
        size += len(row[body])
    cursor.close()  # before the transaction ends
    return rows


class SqliteReaders:
    """Threads and connections for lists, counts and other reads of many rows."""

    def __init__(self, path: Path, busy_seconds: float, file_id: FileId) -> None:
        self._path, self._busy_seconds, self._file_id = path, busy_seconds, file_id
        self._threads = ThreadPoolExecutor(max_workers=THREADS, thread_name_prefix="sqlite-reader")
        self._connections: SimpleQueue[apsw.Connection] = SimpleQueue()

    async def fetch(self, sql: str, bindings: dict[str, Any], body: int | None = None) -> list[Any]:
        """`cursor_rows` of a query. Raises StoreUnavailable."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._fetch, sql, bindings, body)

    def connections(self) -> list[apsw.Connection]:
        """Those that are kept, all of them while nothing is read."""
        found = [self._connections.get_nowait() for _ in range(self._connections.qsize())]
        for connection in found:
            self._connections.put(connection)
        return found

    async def close(self) -> None:
        """Wait for reads in flight, then close the connections."""
        await asyncio.to_thread(self._threads.shutdown)
        for connection in self.connections():
            connection.close()

    def _fetch(self, sql: str, bindings: dict[str, Any], body: int | None) -> list[Any]:
        self._file_id.refuse_replaced()
        with translated(self._path):
            try:
                connection = self._connections.get_nowait()
            except Empty:
                connection = connect_reader(self._path, self._busy_seconds, READ_CACHE_KIB)
            try:
                return cursor_rows(connection.execute(sql, bindings), body)
            finally:
                self._connections.put(connection)
