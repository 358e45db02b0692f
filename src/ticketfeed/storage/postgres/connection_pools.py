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


class _ReadConnection(psycopg.AsyncConnection[Any]):
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
