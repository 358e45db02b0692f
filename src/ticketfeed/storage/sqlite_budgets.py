"""Budgets of an SQLite store: in a small file beside it, as a load holds the store's own write lock for minutes.

What stands there is worth a minute at most: it is not waited for on its way to the disk, belongs to no backup, and is
made anew where it is missing.
"""

from collections.abc import Sequence
from pathlib import Path

import apsw

from ticketfeed.protocol.budgets import Allowance, Spent, Window, spend
from ticketfeed.protocol.errors import StoreUnavailable
from ticketfeed.protocol.model import Account
from ticketfeed.storage.queries import load_queries
from ticketfeed.storage.sqlite_file import explain, transaction

__all__ = ["SqliteBudgets"]

BUSY_SECONDS = 2.0

Q = load_queries("sqlite")


class SqliteBudgets:
    """The windows of all accounts, opened when the first is asked for."""

    def __init__(self, path: Path) -> None:
        self._path = path.with_name(path.name + "-budgets")
        self._connection: apsw.Connection | None = None

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def spend(self, account: Account, allowances: Sequence[Allowance], now: int) -> Spent:
        """One request, all in one transaction. Raises StoreUnavailable."""
        try:
            connection = self._connection = self._connection or self._open()
            with transaction(connection):
                rows = connection.execute(Q["read_windows"], {"account_id": account.account_id})
                windows, spent = spend({name: Window(*window) for name, *window in rows}, allowances, now)
                for name, window in windows.items() if spent.refused is None else ():
                    connection.execute(Q["write_window"], (account.account_id, name, *window))
                return spent
        except apsw.Error as error:
            raise StoreUnavailable(f"cannot count requests in {self._path}: {explain(error)}") from error

    def _open(self) -> apsw.Connection:
        connection = apsw.Connection(str(self._path))
        connection.set_busy_timeout(round(BUSY_SECONDS * 1000))
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute(Q["make_windows"])
        return connection
