"""Pools of connections to PostgreSQL whose timeouts say why there is no connection, as where a server has too many.

In pipeline mode the driver waits for results although a part of the statements may not be sent yet: one larger than the
socket takes at once. The server waits for the rest then, and both for ever (psycopg issue 685). Here the rest is sent.
"""

from typing import Any, TypeVar

import psycopg
from psycopg.abc import PQGen
from psycopg.pq.abc import PGconn
from psycopg.waiting import Ready, Wait
from psycopg_pool import AsyncConnectionPool, ConnectionPool, PoolTimeout

__all__ = ["ReadPool", "ThreadPool"]

T = TypeVar("T")


class _Failure:
    """Why the last attempt to connect failed; no reason if it did not."""

    def __init__(self) -> None:
        self.reason = ""

    def explain(self, error: Exception, seconds: float) -> Exception:
        """A timeout after `seconds` with the reason. Without one, all connections are in use, or the server hangs."""
        if isinstance(error, PoolTimeout | TimeoutError) and self.reason:
            return PoolTimeout(f"no connection within {seconds:.1f} seconds: {self.reason}")
        return error


def _send_rest(waiting: PQGen[T], server: PGconn) -> PQGen[T]:
    """A generator of the driver, which says what it waits for; what is left to be sent is sent while it waits."""
    try:
        wait = next(waiting)
        while True:
            if wait == Wait.R and server.flush():
                ready = yield Wait.RW
                if not ready or not ready & Ready.R:
                    continue
            else:
                ready = yield wait
            wait = waiting.send(Ready.R if wait == Wait.R and ready else ready)
    except StopIteration as end:
        result: T = end.value
        return result


class _ReadConnection(psycopg.AsyncConnection[Any]):
    async def wait(self, gen: PQGen[T], *arguments: Any, **options: Any) -> T:
        waiting = _send_rest(gen, self.pgconn) if self.pgconn.pipeline_status else gen
        return await super().wait(waiting, *arguments, **options)

    @classmethod
    async def connect(cls, *arguments: Any, **options: Any) -> Any:
        failure: _Failure = options.pop("failure")
        try:
            connection = await super().connect(*arguments, **options)
        except psycopg.Error as error:
            failure.reason = str(error).strip()
            raise
        failure.reason = ""
        return connection


class _ThreadConnection(psycopg.Connection[Any]):
    def wait(self, gen: PQGen[T], *arguments: Any, **options: Any) -> T:
        waiting = _send_rest(gen, self.pgconn) if self.pgconn.pipeline_status else gen
        return super().wait(waiting, *arguments, **options)

    @classmethod
    def connect(cls, *arguments: Any, **options: Any) -> Any:
        failure: _Failure = options.pop("failure")
        try:
            connection = super().connect(*arguments, **options)
        except psycopg.Error as error:
            failure.reason = str(error).strip()
            raise
        failure.reason = ""
        return connection


class ReadPool(AsyncConnectionPool[Any]):
    """A pool of an event loop. `connecting`: options of its connections."""

    def __init__(self, url: str, connecting: dict[str, Any], **options: Any) -> None:
        self.failure = _Failure()
        kwargs = {**connecting, "failure": self.failure}
        super().__init__(url, connection_class=_ReadConnection, kwargs=kwargs, **options)


class ThreadPool(ConnectionPool[Any]):
    """A pool of threads. `connecting`: options of its connections."""

    def __init__(self, url: str, connecting: dict[str, Any], **options: Any) -> None:
        self.failure = _Failure()
        kwargs = {**connecting, "failure": self.failure}
        super().__init__(url, connection_class=_ThreadConnection, kwargs=kwargs, **options)

    def getconn(self, timeout: float | None = None) -> Any:
        try:
            return super().getconn(timeout)
        except PoolTimeout as error:
            raise self.failure.explain(error, timeout or self.timeout) from error
