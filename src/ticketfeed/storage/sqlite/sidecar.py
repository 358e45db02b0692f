"""What stands beside an SQLite store, in a small file of its own: budgets, consumers, the newest requests.

A load holds the store's own write lock for minutes, and none of this can wait. It is not waited for on its way to the
disk, belongs to no backup, and is made anew where it is missing.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import apsw
import msgspec

from ticketfeed.protocol.consumers import REQUESTS_KEPT, Consumer, RequestRecord, UsageUpdate, kept_consumers, note
from ticketfeed.protocol.errors import StoreUnavailable
from ticketfeed.protocol.model import Account
from ticketfeed.protocol.rate_limits import RateLimit, Spent, Window, spend
from ticketfeed.storage.queries import load_queries
from ticketfeed.storage.sqlite.file import explain, transaction

__all__ = ["SqliteSidecar"]

BUSY_SECONDS = 2.0

Q = load_queries("sqlite")


class SqliteSidecar:
    """Of all accounts; opened when it is first asked for. Raises StoreUnavailable."""

    def __init__(self, path: Path) -> None:
        self._store_path, self._path = path, path.with_name(path.name + "-beside")
        self._connection: apsw.Connection | None = None

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def spend(self, account: Account, limits: Sequence[RateLimit], now: int) -> Spent:
        """One request."""
        with self._transaction() as connection:
            rows = connection.execute(Q["read_windows"], {"account_id": account.account_id})
            windows, spent = spend({name: Window(*window) for name, *window in rows}, limits, now)
            for name, window in windows.items() if spent.refused is None else ():
                connection.execute(Q["write_window"], (account.account_id, name, *window))
            return spent

    def record_usage(
        self, account: Account, consumers: Mapping[str, UsageUpdate], requests: Sequence[RequestRecord], now: float
    ) -> None:
        with self._transaction() as connection:
            bindings = {"account_id": account.account_id, "keep": REQUESTS_KEPT}
            for key, noted in consumers.items():
                body = connection.execute(Q["read_consumer"], {**bindings, "key": key}).get
                consumer = note(msgspec.json.decode(body, type=Consumer) if body else None, noted)
                row = (account.account_id, key, consumer.last_at, msgspec.json.encode(consumer))
                connection.execute(Q["write_consumer"], row)
            if consumers:
                seen: list[Any] = connection.execute(Q["list_consumers"], bindings).fetchall()
                kept = kept_consumers(seen, now)
                for key in [key for key, _ in seen if key not in kept]:
                    connection.execute(Q["forget_consumer"], {**bindings, "key": key})
            for request in requests:
                connection.execute(Q["put_request"], (account.account_id, msgspec.json.encode(request)))
            if requests:
                connection.execute(Q["forget_requests"], bindings)

    def read_consumers(self, account: Account) -> list[Consumer]:
        if not self._path.exists():  # who only looks makes nothing
            return []
        with self._transaction() as connection:
            rows = connection.execute(Q["read_consumers"], {"account_id": account.account_id})
            return [msgspec.json.decode(body, type=Consumer) for (body,) in rows]

    def read_requests(self, account: Account) -> list[RequestRecord]:
        if not self._path.exists():
            return []
        with self._transaction() as connection:
            rows = connection.execute(Q["read_requests"], {"account_id": account.account_id})
            return [msgspec.json.decode(body, type=RequestRecord) for (body,) in rows]

    @contextmanager
    def _transaction(self) -> Iterator[apsw.Connection]:
        try:
            connection = self._connection = self._connection or self._open()
            with transaction(connection):
                yield connection
        except (apsw.Error, msgspec.DecodeError) as error:
            reason = explain(error) if isinstance(error, apsw.Error) else "it is damaged; delete it"
            raise StoreUnavailable(f"cannot use {self._path}: {reason}") from error

    def _open(self) -> apsw.Connection:
        is_new = not self._path.exists()
        connection = apsw.Connection(str(self._path))
        if is_new and os.geteuid() == 0:  # a server that is not root must be able to go on with it
            owner = self._store_path.stat()
            os.chown(self._path, owner.st_uid, owner.st_gid)
        connection.set_busy_timeout(round(BUSY_SECONDS * 1000))
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute(Q["make_beside"])
        return connection
