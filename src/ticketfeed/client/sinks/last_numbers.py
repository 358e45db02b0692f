"""The last number of each key, for more keys than fit in memory: a temporary SQLite database."""

from collections.abc import Iterable
from types import TracebackType
from typing import Self

import apsw

from ticketfeed.client.sinks.rows import Key

__all__ = ["LastNumbers"]


class LastNumbers:
    def __enter__(self) -> Self:
        # No name: a file that is nobody else's, written only when it does not fit the cache, removed when closed.
        self._connection = apsw.Connection("")
        self._connection.execute("PRAGMA journal_mode = OFF")
        self._connection.execute("CREATE TABLE last (key PRIMARY KEY, number INTEGER NOT NULL) WITHOUT ROWID")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._connection.close()

    def store(self, numbers: Iterable[tuple[Key, int]]) -> None:
        with self._connection:
            self._connection.executemany("INSERT OR REPLACE INTO last VALUES (?, ?)", numbers)

    def number_of(self, key: Key) -> int | None:
        found: int | None = self._connection.execute("SELECT number FROM last WHERE key = ?", (key,)).get
        return found
