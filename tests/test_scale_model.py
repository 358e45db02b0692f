"""The arithmetic of the scale model, with costs that can be reckoned in the head."""

from dataclasses import replace

import pytest

from bench.scale_model import Costs, Cpu, Machines, Workload, plan, read_check, read_costs

SERVER = Cpu(poll=2, ticket=0.01, change=5, usage=1, maintenance=1, idle=4)
DATABASE = Cpu(poll=1, ticket=0.02, change=3, usage=2, maintenance=2, idle=6)
COSTS = Costs(
    server=SERVER,
    database=DATABASE,
    ticket_bytes=4000,
    history_bytes=6000,
    change_bytes=1000,
    wal_bytes=8000,
    sqlite_ticket_bytes=3000,
    sqlite_history_bytes=5000,
    sent_bytes=2000,
    process_bytes=80e6,
    connection_bytes=2e6,
    maintenance_seconds=0.01,
    account_changes=100,
)
# 100 polls and 50 changes a second, nearly never two of one account; 100 tickets sent. A round of maintenance takes
# 60 + 1e6 * 0.01 s, so that nearly 100 accounts a second are looked after, by whichever process.
WORK = Workload(1_000_000, 10_000_000, 50, 2_000_000, poll_seconds=20_000, largest_share=0.1)


def test_plan() -> None:
    """Rates times costs: requests, what is stored of them, what each process takes, and maintenance once."""
    found = plan(COSTS, WORK, Machines(server_cores=1, database_cores=2, disk_bytes=1e11, connections=100))
    # 100 x 2 + 100 x 0.01 + 50 x 5 + 150 x 1, 4 for each of two processes, and 100: 0.71 of a core, used to a half.
    assert found.processes == found.servers == 2
    assert found.server_cores == pytest.approx(0.601 + 2 * 0.004 + 0.1, rel=0.01)
    assert found.database_cores == pytest.approx(0.1 + 0.002 + 0.15 + 0.3 + 2 * 0.006 + 0.2, rel=0.01)
    assert found.maintenance_cores == pytest.approx(0.3, rel=0.01)
    assert found.maintenance_round == 10_060
    assert (found.data_bytes, found.growth_bytes, found.wal_bytes) == (1e11, 50 * 1000 * 86400, 400_000)
    assert (found.sent_bytes, found.connections, found.connection_bytes) == (200_000, 100, 200e6)
    assert found.shares["connections to the database"] == 1
    assert found.shares["disk of the database"] == pytest.approx(1 / 0.7)
    assert found.shares["row of the largest account"] == 0.1
    assert (found.shards, found.databases, found.largest_share) == (2, 4, 0.05)


@pytest.mark.parametrize(
    ("first", "work", "machines"),
    [
        ("disk of the database", WORK, Machines(disk_bytes=1e9)),
        ("CPU of servers", WORK, Machines(server_cores=1, database_cores=64, connections=10_000)),
        ("CPU of the database", WORK, Machines(server_cores=64, database_cores=1, connections=10_000)),
        ("connections to the database", WORK, Machines(connections=10)),
        ("network of servers", replace(WORK, poll_seconds=1e6), Machines(network_bytes=1000)),
        ("row of the largest account", replace(WORK, largest_share=0.9), Machines(server_cores=64)),
    ],
)
def test_what_saturates_first(first: str, work: Workload, machines: Machines) -> None:
    """It is what needs the most machines of its kind."""
    assert plan(COSTS, work, machines).first == first


def test_usage_is_shared() -> None:
    """What was asked of an account in a second is stored once by each process, however much it was."""
    busy = Workload(1, 1, 1000, 1, poll_seconds=0.001)
    assert busy.usages(1) == pytest.approx(1)
    assert busy.usages(4) == pytest.approx(4)
    assert WORK.usages(1) == pytest.approx(150, rel=0.001)


def test_measured_costs() -> None:
    """The costs that the page shows are those of a run, and were checked."""
    costs, check = read_costs(), read_check()
    assert all(value > 0 for side in (costs.server, costs.database) for value in (side.poll, side.ticket, side.change))
    assert check["what"]
    assert check["table"].count("\n") > 5
