"""Metrics of a process's connections to each PostgreSQL server, and of the nodes of Citus."""

import asyncio

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.postgres import PostgresServer
from tests.storage.contract import ManualClock, putting, ticket
from ticketfeed.protocol.model import Slice
from ticketfeed.server.ops.metrics import make_metrics
from ticketfeed.storage import open_store
from ticketfeed.storage.pool_status import NodeStatus, PoolStatus
from ticketfeed.storage.postgres.store import PostgresStore

# Nobody listens there.
DEAD = "postgresql://feed:s3cret@127.0.0.1:9/desk"


def test_connections_by_server(postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each server has its requests, errors and connections, and a replica that is away is avoided; no secret is told.

    Counters of a process never fall, however often its pools are read.
    """
    monkeypatch.setattr("ticketfeed.storage.postgres.pools.WAIT_SECONDS", 1.0)

    async def main() -> tuple[list[PoolStatus], dict[tuple[str | None, ...], float]]:
        store = await PostgresStore.open(postgres.new_database(), ManualClock(), read_urls=[DEAD])
        account = await store.create_account("acme")
        await store.write(account, putting([ticket(1)]))
        for _ in range(3):
            await store.list_records(account, "users", Slice(9))
        metrics = make_metrics()
        assert metrics is not None
        pools = store.read_pools()
        for _ in range(3):
            metrics.note_pools(pools)
        text, _ = metrics.text([], {}, nodes=[NodeStatus("worker1:5432", 4096), NodeStatus("worker2:5432", None)])
        await store.close()
        assert b"s3cret" not in text
        assert b"feed:" not in text
        return pools, {
            (sample.name.removeprefix("ticketfeed_"), *map(sample.labels.get, sorted(sample.labels))): sample.value
            for family in text_string_to_metric_families(text.decode())
            for sample in family.samples
        }

    pools, found = asyncio.run(main())
    server = next(key[3] for key in found if key[:3] == ("pool_connections", "reads", "primary"))
    assert server.endswith(":5432")
    replica, primary = ("reads", "replica", "127.0.0.1:9"), ("reads", "primary", server)
    assert found["pool_avoided", *replica] == 1
    assert found["pool_avoided", *primary] == 0
    assert found["pool_requests_total", *replica] >= 1
    assert (
        found["pool_errors_total", *replica] >= 2
    )  # a connection that was not made, and a read that was not given one
    assert found["pool_requests_total", *primary] >= 3
    assert found["pool_errors_total", *primary] == 0
    assert found["pool_connections", *primary] >= 1
    assert found["pool_used_connections", *primary] == found["pool_waiting", *primary] == 0
    for each in pools:
        assert found["pool_requests_total", each.pool, each.role, each.server] == each.requests
        assert found["pool_errors_total", each.pool, each.role, each.server] == each.errors
    assert found["pool_requests_total", "writes", "primary", server] >= 2
    assert found["citus_node_up", "worker1:5432"] == 1
    assert found["citus_node_bytes", "worker1:5432"] == 4096
    assert found["citus_node_up", "worker2:5432"] == 0
    assert ("citus_node_bytes", "worker2:5432") not in found
    (info,) = (key for key in found if key[0] == "server_info")
    assert all(info)


@pytest.mark.parametrize("url", ["memory:", "sqlite:///{folder}/t.db"])
def test_engines_without_servers(url: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    """They have no pools and no nodes."""

    async def main() -> None:
        store = await open_store(url.format(folder=tmp_path_factory.mktemp("store")))
        assert store.read_pools() == []
        assert await store.inspect(lambda snapshot: list(snapshot.nodes())) == []
        await store.close()

    asyncio.run(main())
