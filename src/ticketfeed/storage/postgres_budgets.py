"""Budgets of a PostgreSQL store: rows that are locked, counted on and written back in one short transaction."""

from collections.abc import Sequence
from typing import Any

import psycopg

from ticketfeed.protocol.budgets import Allowance, Spent, Window, spend
from ticketfeed.protocol.model import Account
from ticketfeed.storage.queries import load_queries

__all__ = ["spend_in_postgres"]

Q = load_queries("postgres")


async def spend_in_postgres(
    connection: psycopg.AsyncConnection[Any], account: Account, allowances: Sequence[Allowance], now: int
) -> Spent:
    """One request. Rows are made before they are locked, so that two first requests count one after the other."""
    account_id, names = account.account_id, sorted(allowance.name for allowance in allowances)
    async with connection.transaction():
        for name in names:
            await connection.execute(Q["make_window"].encode(), {"account_id": account_id, "name": name})
        bindings = {"account_id": account_id, "names": names}
        rows = await (await connection.execute(Q["lock_windows"].encode(), bindings)).fetchall()
        windows, spent = spend({name: Window(*window) for name, *window in rows}, allowances, now)
        for name, window in sorted(windows.items()) if spent.refused is None else ():
            written = {"account_id": account_id, "name": name, "started": window.started, "used": window.used}
            await connection.execute(Q["write_window"].encode(), written)
        return spent
