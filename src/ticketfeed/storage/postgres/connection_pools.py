"""Pools of connections to PostgreSQL whose timeouts say why there is no connection, as where a server has too many."""

from typing import Any

import psycopg
from psycopg_pool import AsyncConnectionPool, ConnectionPool, PoolTimeout

__all__ = ["ReadPool", "ThreadPool"]


class _Failure:
    """Why the last attempt to connect failed; no reason if it did not."""

    def __init__(self) -> None:
        self.reason = ""

    def explain(self, error: Exception, seconds: float) -> Exception:
        """A timeout after `seconds` with the reason. Without one, all connections are in use, or the server hangs."""
        if isinstance(error, PoolTimeout | TimeoutError) and self.reason:
            return PoolTimeout(f"no connection within {seconds:.1f} seconds: {self.reason}")
        return error


class ReadPool(AsyncConnectionPool[Any]):
    """A pool of an event loop."""

    def __init__(self, url: str, **options: Any) -> None:
        self.failure = failure = _Failure()

        class Connection(psycopg.AsyncConnection[Any]):
            @classmethod
            async def connect(cls, *arguments: Any, **options: Any) -> Any:
                try:
                    connection = await super().connect(*arguments, **options)
                except psycopg.Error as error:
                    failure.reason = str(error).strip()
                    raise
                failure.reason = ""
                return connection

        super().__init__(url, connection_class=Connection, **options)


class ThreadPool(ConnectionPool[Any]):
    """A pool of threads."""

    def __init__(self, url: str, **options: Any) -> None:
        failure = self._failure = _Failure()

        class Connection(psycopg.Connection[Any]):
            @classmethod
            def connect(cls, *arguments: Any, **options: Any) -> Any:
                try:
                    connection = super().connect(*arguments, **options)
                except psycopg.Error as error:
                    failure.reason = str(error).strip()
                    raise
                failure.reason = ""
                return connection

        super().__init__(url, connection_class=Connection, **options)

    def getconn(self, timeout: float | None = None) -> Any:
        try:
            return super().getconn(timeout)
        except PoolTimeout as error:
            raise self._failure.explain(error, timeout or self.timeout) from error
