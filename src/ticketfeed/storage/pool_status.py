"""How the connections of a process to the servers of a store are used, and the nodes behind them."""

from typing import NamedTuple

__all__ = ["NodeStatus", "PoolStatus"]


class PoolStatus(NamedTuple):
    """The connections to one server for one purpose.

    `server`: its host and port, several where the URL names several. `role`: primary or replica. `pool`: what they are
    for: reads, writes, snapshots or probes. `open`, `used`: connections; `waiting`: calls that wait for one.
    `requests`, `errors`: so far; an error is a connection that was not made, not given in time, or lost. `is_avoided`:
    whether the server failed lately, so that others are asked first.
    """

    server: str
    role: str
    pool: str
    open: int
    used: int
    waiting: int
    requests: int
    errors: int
    is_avoided: bool


class NodeStatus(NamedTuple):
    """A node of Citus. `size_bytes`: of the database on it; None if it cannot be reached."""

    node: str
    size_bytes: int | None
