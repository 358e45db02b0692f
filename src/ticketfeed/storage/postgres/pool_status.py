"""What psycopg's pools count, by server."""

from typing import Any

from psycopg.conninfo import conninfo_to_dict
from psycopg_pool import AsyncConnectionPool, ConnectionPool

from ticketfeed.storage.pool_status import PoolStatus

__all__ = ["pool_status"]

# Of the pool's counts, the connections that were not made, not given in time, or came back lost.
_ERRORS = ("connections_errors", "requests_errors", "returns_bad", "connections_lost")


def pool_status(
    pool: ConnectionPool[Any] | AsyncConnectionPool[Any], role: str, purpose: str, *, is_avoided: bool = False
) -> PoolStatus:
    counts = pool.get_stats()
    opened = counts.get("pool_size", 0)
    return PoolStatus(
        server=_server_name(str(pool.conninfo)),
        role=role,
        pool=purpose,
        open=opened,
        used=max(0, opened - counts.get("pool_available", 0)),
        waiting=counts.get("requests_waiting", 0),
        requests=counts.get("requests_num", 0),
        errors=sum(counts.get(name, 0) for name in _ERRORS),
        is_avoided=is_avoided,
    )


def _server_name(url: str) -> str:
    """Hosts and ports, without what is secret."""
    parameters = conninfo_to_dict(url)
    hosts = str(parameters.get("host") or parameters.get("hostaddr") or "local").split(",")
    ports = str(parameters.get("port") or "5432").split(",")
    ports = ports if len(ports) == len(hosts) else ports[:1] * len(hosts)
    return ",".join(f"{host}:{port}" for host, port in zip(hosts, ports, strict=True))
