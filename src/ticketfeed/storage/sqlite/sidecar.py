"""The sidecar of an SQLite store, FILE-sidecar: rate limits, consumers, recent requests, logins, leases.

A file of its own, because a load holds the store's write lock for minutes, and none of this can wait for it. Its
commits do not wait for the disk, no backup contains it, and it is created again where it is missing.
"""

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import apsw
import msgspec

from ticketfeed.protocol.consumers import TEST_REQUESTS_KEPT, Consumer, RequestRecord, UsageUpdate
from ticketfeed.protocol.errors import StoreUnavailable
from ticketfeed.protocol.model import Account
from ticketfeed.protocol.rate_limits import RateLimit, RateLimitResult
from ticketfeed.storage.queries import SQLITE
from ticketfeed.storage.sql_sidecar import (
    Steps,
    add_login_steps,
    count_request_steps,
    decode_all_consumers,
    decode_consumers,
    decode_requests,
    end_lease_steps,
    end_login_steps,
    erase_account_steps,
    erase_usage_steps,
    record_usage_steps,
    replace_consumers_steps,
    replace_full_accounts_steps,
    take_lease_steps,
)
from ticketfeed.storage.sqlite.file import create_private, explain, snapshot, transaction
from ticketfeed.storage.sqlite.session import QUERIES

__all__ = ["SqliteSidecar"]

T = TypeVar("T")

# Longer than any transaction here takes, and short enough for a request to wait.
BUSY_SECONDS = 2.0
# Who looks at it waits less: readers wait for commits alone.
READ_BUSY_SECONDS = 0.4


class SqliteSidecar:
    """Opened when it is first used. Its methods raise StoreUnavailable.

    Those that write are called from one thread at a time; those that read from any.
    """

    def __init__(self, store_path: Path) -> None:
        self._store_path, self._path = store_path, _find(store_path)
        self._connection: apsw.Connection | None = None

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def count_request(self, account: Account, limits: Sequence[RateLimit], now: int) -> RateLimitResult:
        return self._run(count_request_steps(SQLITE, account, limits, now))

    def record_usage(
        self,
        account: Account,
        consumers: Mapping[str, UsageUpdate],
        requests: Sequence[RequestRecord],
        now: float,
        keep: int,
    ) -> None:
        self._run(record_usage_steps(SQLITE, account, consumers, requests, now, keep))

    def erase_usage(self, account: Account, user_ids: set[int]) -> None:
        if self._path.exists():
            self._run(erase_usage_steps(SQLITE, account, user_ids))

    def erase_account(self, account: Account) -> None:
        if self._path.exists():
            self._run(erase_account_steps(account))

    def replace_consumers(self, account: Account, consumers: Sequence[Consumer]) -> None:
        if consumers or self._path.exists():
            self._run(replace_consumers_steps(SQLITE, account, consumers))

    def read_consumers(self, account: Account) -> list[Consumer]:
        if not self._path.exists():  # a read creates no file
            return []
        with self._snapshot() as connection:
            rows = connection.execute(QUERIES["read_consumers"], {"account_id": account.account_id})
            return decode_consumers(rows.fetchall())

    def read_all_consumers(self) -> dict[int, list[Consumer]]:
        if not self._path.exists():
            return {}
        with self._snapshot() as connection:
            return decode_all_consumers(connection.execute(QUERIES["read_all_consumers"]).fetchall())

    def read_requests(self, account: Account) -> list[RequestRecord]:
        if not self._path.exists():
            return []
        with self._snapshot() as connection:
            bindings = {"account_id": account.account_id, "keep": TEST_REQUESTS_KEPT}
            return decode_requests(connection.execute(QUERIES["read_requests"], bindings).fetchall())

    def add_login(self, account: Account, token_hash: str, now: int, ends_at: int) -> None:
        self._run(add_login_steps(account, token_hash, now, ends_at))

    def has_login(self, account: Account, token_hash: str, now: int) -> bool:
        if not self._path.exists():
            return False
        with self._snapshot() as connection:
            bindings = {"account_id": account.account_id, "token_hash": token_hash, "now": now}
            return bool(connection.execute(QUERIES["find_login"], bindings).fetchall())

    def end_login(self, account: Account, token_hash: str) -> None:
        if self._path.exists():
            self._run(end_login_steps(account, token_hash))

    def take_lease(self, name: str, owner: str, seconds: float) -> bool:
        return self._run(take_lease_steps(name, owner, seconds))

    def end_lease(self, name: str, owner: str) -> None:
        if self._path.exists():
            self._run(end_lease_steps(name, owner))

    def replace_full_accounts(self, account_ids: set[int]) -> None:
        if account_ids or self._path.exists():
            self._run(replace_full_accounts_steps(SQLITE, account_ids))

    def read_full_accounts(self) -> set[int]:
        if not self._path.exists():
            return set()
        with self._snapshot() as connection:
            return {id for (id,) in connection.execute(QUERIES["read_full_accounts"])}

    def _run(self, steps: Steps[T]) -> T:
        with self._transaction() as connection:
            try:
                statement = next(steps)
                while True:
                    rows: list[Any] = []
                    for bindings in statement.bindings:
                        rows = connection.execute(QUERIES[statement.name], bindings).fetchall()
                    statement = steps.send(rows)
            except StopIteration as stop:
                result: T = stop.value
                return result

    @contextmanager
    def _transaction(self) -> Iterator[apsw.Connection]:
        with self._errors():
            connection = self._connection = self._connection or self._open(BUSY_SECONDS)
            with transaction(connection):
                yield connection

    @contextmanager
    def _snapshot(self) -> Iterator[apsw.Connection]:
        with self._errors(), contextlib.closing(self._open(READ_BUSY_SECONDS)) as connection, snapshot(connection):
            yield connection

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Translate the errors of the engine and of damaged rows into StoreUnavailable."""
        try:
            yield
        except (apsw.Error, msgspec.DecodeError) as error:
            reason = explain(error) if isinstance(error, apsw.Error) else "it is damaged; delete it"
            raise StoreUnavailable(f"cannot use {self._path}: {reason}") from error

    def _open(self, busy_seconds: float) -> apsw.Connection:
        is_new = not self._path.exists()
        create_private(self._path)
        connection = apsw.Connection(str(self._path))
        if is_new and os.geteuid() == 0:  # a server that does not run as root must be able to use it later
            owner = self._store_path.stat()
            os.chown(self._path, owner.st_uid, owner.st_gid)
        connection.set_busy_timeout(round(busy_seconds * 1000))
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("PRAGMA secure_delete = ON")
        connection.execute(QUERIES["create_sidecar"])
        return connection


def _find(store_path: Path) -> Path:
    """The path of the sidecar. One that an older release has named FILE-beside is renamed, with its journal first.

    Where it cannot be renamed, another process has just done so, or the folder is read-only and no sidecar can be used.
    """
    path, old = (store_path.with_name(f"{store_path.name}-{name}") for name in ("sidecar", "beside"))
    if not path.exists():
        for suffix in ("-journal", ""):
            with contextlib.suppress(OSError):
                old.with_name(old.name + suffix).rename(path.with_name(path.name + suffix))
    return path
