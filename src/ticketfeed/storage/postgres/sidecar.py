"""The sidecar of a PostgreSQL store: unlogged tables, which a crash of the server empties."""

from typing import Any, TypeVar

import psycopg

from ticketfeed.storage.postgres.session import QUERIES
from ticketfeed.storage.sql_sidecar import Statement, Steps

__all__ = ["run_steps"]

T = TypeVar("T")


async def run_steps(connection: psycopg.AsyncConnection[Any], steps: Steps[T]) -> T:
    """Run the steps in one transaction."""
    async with connection.transaction(), connection.cursor(binary=True) as cursor:
        try:
            statement = next(steps)
            while True:
                statement = steps.send(await _run(cursor, statement))
        except StopIteration as stop:
            result: T = stop.value
            return result


async def _run(cursor: psycopg.AsyncCursor[Any], statement: Statement) -> list[Any]:
    sql = QUERIES[statement.name].encode()
    if len(statement.bindings) != 1:
        await cursor.executemany(sql, statement.bindings)  # in one round trip
        return []
    (bindings,) = statement.bindings
    await cursor.execute(sql, bindings)
    return await cursor.fetchall() if cursor.description else []
