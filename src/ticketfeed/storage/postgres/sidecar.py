"""What stands beside a PostgreSQL store, in tables that a crash may empty: budgets, consumers, the newest requests.

Rows are made first, then locked, worked on and written back in one short transaction: several processes do it.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import psycopg

from ticketfeed.protocol.consumers import REQUESTS_KEPT, Consumer, RequestRecord, UsageUpdate, kept_consumers, note
from ticketfeed.protocol.model import Account
from ticketfeed.protocol.rate_limits import RateLimit, Spent, Window, spend
from ticketfeed.storage.queries import load_queries

__all__ = ["keep_notes_in_postgres", "spend_in_postgres"]

Q = load_queries("postgres")

Connection = psycopg.AsyncConnection[Any]


async def spend_in_postgres(connection: Connection, account: Account, limits: Sequence[RateLimit], now: int) -> Spent:
    """One request."""
    account_id, names = account.account_id, sorted(allowance.name for allowance in limits)
    async with connection.transaction():
        for name in names:
            await connection.execute(Q["make_window"].encode(), {"account_id": account_id, "name": name})
        bindings = {"account_id": account_id, "names": names}
        rows = await (await connection.execute(Q["lock_windows"].encode(), bindings)).fetchall()
        windows, spent = spend({name: Window(*window) for name, *window in rows}, limits, now)
        for name, window in sorted(windows.items()) if spent.refused is None else ():
            written = {"account_id": account_id, "name": name, "started": window.started, "used": window.used}
            await connection.execute(Q["write_window"].encode(), written)
        return spent


async def keep_notes_in_postgres(
    connection: Connection,
    account: Account,
    consumers: Mapping[str, UsageUpdate],
    requests: Sequence[RequestRecord],
    now: float,
) -> None:
    """What one process noted."""
    own = {"account_id": account.account_id}
    keys = sorted(consumers)
    async with connection.transaction(), connection.cursor() as cursor:
        # Many rows in one round trip.
        await cursor.executemany(Q["make_consumer"].encode(), [{**own, "key": key} for key in keys])
        rows = await (await cursor.execute(Q["lock_consumers"].encode(), {**own, "keys": keys}, binary=True)).fetchall()
        written = []
        for key, body in rows:
            consumer = note(msgspec.json.decode(body, type=Consumer) if body else None, consumers[key])
            written.append({**own, "key": key, "last_at": consumer.last_at, "body": msgspec.json.encode(consumer)})
        await cursor.executemany(Q["write_consumer"].encode(), written)
        if consumers:
            seen = await (await cursor.execute(Q["list_consumers"].encode(), own)).fetchall()
            gone = {key for key, _ in seen} - kept_consumers(seen, now) - set(consumers)
            await cursor.execute(Q["forget_consumers"].encode(), {**own, "keys": sorted(gone)})
        added = [{**own, "body": msgspec.json.encode(request)} for request in requests]
        await cursor.executemany(Q["put_request"].encode(), added)
        if requests:
            await cursor.execute(Q["forget_requests"].encode(), {**own, "keep": REQUESTS_KEPT})
