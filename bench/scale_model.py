"""`python -m bench.scale_model`: the machines, bytes, connections and rates of a deployment, from measured costs.

    python -m bench.scale_model --accounts 200000 --tickets 20e9 --changes 10000 --consumers 400000
    python -m bench.scale_model --measure   # measure the costs on this machine, into scale_costs.json; then predict a
                                            # small deployment from them, measure it too, and compare

The model is arithmetic: rates times costs, divided by what machines have. What it leaves out is said on the page
docs/why/scale.md, whose tables are made here.
"""

import argparse
import json
import math
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

__all__ = [
    "COSTS_FILE",
    "Costs",
    "Cpu",
    "Deployment",
    "Machines",
    "Workload",
    "cpu_ms",
    "plan",
    "read_check",
    "read_costs",
]

COSTS_FILE = Path(__file__).parent / "scale_costs.json"
DAY_SECONDS = 86400
# maintenance.MAINTENANCE_SECONDS: from the end of a round to the next, whichever process does it.
MAINTENANCE_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Cpu:
    """Milliseconds of one core, in servers or in the database.

    `poll`: a request for the changes after a cursor. `ticket`: each ticket in its answer. `change`: a ticket changed
    with PUT. `usage`: storing what was asked of one account in one second. `maintenance`: looking in a round
    whether anything is due in one account. `idle`: a process, each second.
    """

    poll: float
    ticket: float
    change: float
    usage: float
    maintenance: float
    idle: float


@dataclass(frozen=True, slots=True)
class Costs:
    """What was measured. Bytes on disk are with indexes.

    `history_bytes`: the audits, metrics and events of a generated ticket. `change_bytes`: what one more change leaves
    for good. `wal_bytes`: what one writes to the log, but for images of pages after a checkpoint. `sent_bytes`: a
    ticket on the wire, uncompressed. `maintenance_seconds`: how long a round takes for one account.
    `account_changes`: changes of one account a second, one after the other behind the lock of its row.
    """

    server: Cpu
    database: Cpu
    ticket_bytes: float
    history_bytes: float
    change_bytes: float
    wal_bytes: float
    sqlite_ticket_bytes: float
    sqlite_history_bytes: float
    sent_bytes: float
    process_bytes: float
    connection_bytes: float
    maintenance_seconds: float
    account_changes: float


@dataclass(frozen=True, slots=True)
class Workload:
    """`changes`: a second. `consumers`: programs that follow the feed of an account, evenly spread."""

    accounts: int
    tickets: int
    changes: float
    consumers: int
    poll_seconds: float = 60.0
    # Of all changes, those of the largest account.
    largest_share: float = 0.001

    @property
    def polls(self) -> float:
        """A second."""
        return self.consumers / self.poll_seconds

    @property
    def tickets_sent(self) -> float:
        """A second: each change is read by each consumer of its account."""
        return self.changes * self.consumers / self.accounts

    def usages(self, processes: int) -> float:
        """In how many accounts and seconds a process has something to store, summed over processes."""
        places = self.accounts * processes
        return places * -math.expm1(-(self.polls + self.changes) / places)


@dataclass(frozen=True, slots=True)
class Machines:
    """What one machine has, and how much of it may be used on average: the rest is for peaks and for failures."""

    server_cores: int = 16
    database_cores: int = 32
    disk_bytes: float = 8e12
    network_bytes: float = 1.25e9
    connections: int = 1000
    # Of one server process: for reads, for writes, and for snapshots.
    connections_of_process: int = 24 + 16 + 10
    use: float = 0.5
    disk_use: float = 0.7
    # The primary and its replicas.
    copies: int = 2


@dataclass(frozen=True, slots=True)
class Deployment:
    """What is needed. `shares`: how many machines of one kind each resource needs; below 1, one is enough."""

    server_cores: float
    processes: int
    servers: int
    server_bytes: float
    database_cores: float
    shards: int
    databases: int
    data_bytes: float
    growth_bytes: float
    wal_bytes: float
    sent_bytes: float
    connections: int
    connection_bytes: float
    maintenance_cores: float
    maintenance_round: float
    largest_share: float
    shares: dict[str, float]

    @property
    def first(self) -> str:
        """The resource that saturates first where there is one machine of each kind."""
        return max(self.shares, key=lambda name: self.shares[name])


def cpu_ms(cpu: Cpu, work: Workload, processes: int, maintained: float) -> float:
    """Milliseconds a second. `maintained`: accounts that rounds of maintenance look after, a second."""
    requests = work.polls * cpu.poll + work.tickets_sent * cpu.ticket + work.changes * cpu.change
    rest = work.usages(processes) * cpu.usage + processes * cpu.idle
    return requests + rest + maintained * cpu.maintenance


def plan(costs: Costs, work: Workload, machines: Machines) -> Deployment:
    """The smallest deployment in which no machine is used for more than `machines.use`."""
    # One process of all does a round, and pauses: where there are many accounts, a round takes longer than the pause.
    maintenance_round = MAINTENANCE_SECONDS + work.accounts * costs.maintenance_seconds
    maintained = work.accounts / maintenance_round
    processes = 1
    while (needed := cpu_ms(costs.server, work, processes, maintained) / 1000) > processes * machines.use:
        processes = max(processes + 1, math.ceil(processes * 1.02))
    database = cpu_ms(costs.database, work, processes, maintained) / 1000
    data = work.tickets * (costs.ticket_bytes + costs.history_bytes)
    sent = work.tickets_sent * costs.sent_bytes
    connections = processes * machines.connections_of_process
    shares = {
        "CPU of servers": needed / (machines.server_cores * machines.use),
        "CPU of the database": database / (machines.database_cores * machines.use),
        "disk of the database": data / (machines.disk_bytes * machines.disk_use),
        "connections to the database": connections / machines.connections,
        "network of servers": sent / (machines.network_bytes * machines.use),
        "row of the largest account": work.changes * work.largest_share / (costs.account_changes * machines.use),
    }
    shards = math.ceil(max(shares["CPU of the database"], shares["disk of the database"]))
    return Deployment(
        server_cores=needed,
        processes=processes,
        servers=math.ceil(processes / machines.server_cores),
        server_bytes=processes * costs.process_bytes,
        database_cores=database,
        shards=shards,
        databases=shards * machines.copies,
        data_bytes=data,
        growth_bytes=work.changes * costs.change_bytes * DAY_SECONDS,
        wal_bytes=work.changes * costs.wal_bytes,
        sent_bytes=sent,
        connections=connections,
        connection_bytes=connections * costs.connection_bytes,
        maintenance_cores=maintained * (costs.server.maintenance + costs.database.maintenance) / 1000,
        maintenance_round=maintenance_round,
        largest_share=work.changes * work.largest_share / costs.account_changes,
        shares=shares,
    )


def read_costs(path: Path = COSTS_FILE) -> Costs:
    found = json.loads(path.read_text())["costs"]
    return Costs(**{**found, "server": Cpu(**found["server"]), "database": Cpu(**found["database"])})


def read_check(path: Path = COSTS_FILE) -> dict[str, str]:
    """What was predicted and measured: `what` in words, and the `table`."""
    found = json.loads(path.read_text())["check"]
    return {"what": found["what"], "table": check_table(found["rows"])}


def check_table(rows: Sequence[tuple[str, float, float]]) -> str:
    lines = ["| measure | predicted | measured | deviation |", "|---|---:|---:|---:|"]
    for name, predicted, measured in rows:
        lines.append(f"| {name} | {predicted:,.1f} | {measured:,.1f} | {predicted / measured - 1:+.0%} |")
    return "\n".join(lines) + "\n"


# The columns of the page.
SIZES = (
    Workload(100, 10_000_000, 20, 200),
    Workload(2_000, 200_000_000, 200, 4_000),
    Workload(20_000, 2_000_000_000, 1_000, 40_000),
    Workload(200_000, 20_000_000_000, 10_000, 400_000),
)


def deployment_table(costs: Costs, sizes: Sequence[Workload], machines: Machines) -> str:
    """A table in Markdown with a column for each size."""
    plans = [plan(costs, size, machines) for size in sizes]
    rows: list[tuple[str, list[str]]] = [
        ("tickets", [_count(size.tickets) for size in sizes]),
        ("changes a second", [_count(size.changes) for size in sizes]),
        ("consumers", [_count(size.consumers) for size in sizes]),
        ("**rates**", ["" for _ in sizes]),
        ("polls a second", [_count(size.polls) for size in sizes]),
        ("tickets sent a second", [_count(size.tickets_sent) for size in sizes]),
        ("bytes sent a second, not compressed", [_bytes(each.sent_bytes) for each in plans]),
        ("**servers**", ["" for _ in sizes]),
        ("cores busy", [_count(each.server_cores) for each in plans]),
        ("processes", [_count(each.processes) for each in plans]),
        (f"machines of {machines.server_cores} cores", [_count(each.servers) for each in plans]),
        ("memory of processes", [_bytes(each.server_bytes) for each in plans]),
        ("**database**", ["" for _ in sizes]),
        ("cores busy", [_count(each.database_cores) for each in plans]),
        ("of both, cores busy with maintenance", [_count(each.maintenance_cores) for each in plans]),
        ("bytes stored, without copies", [_bytes(each.data_bytes) for each in plans]),
        ("growth a day, by changes", [_bytes(each.growth_bytes) for each in plans]),
        ("write-ahead log a second", [_bytes(each.wal_bytes) for each in plans]),
        ("shards", [_count(each.shards) for each in plans]),
        (f"machines, with {machines.copies} copies of each shard", [_count(each.databases) for each in plans]),
        ("connections, at most", [_count(each.connections) for each in plans]),
        ("memory of connections", [_bytes(each.connection_bytes) for each in plans]),
        ("**limits**", ["" for _ in sizes]),
        ("largest account, of what its row can take", [f"{each.largest_share:.0%}" for each in plans]),
        ("a round of maintenance", [f"{each.maintenance_round:,.0f} s" for each in plans]),
        ("with one machine of a kind, saturates first", [each.first for each in plans]),
    ]
    heads = [f"{size.accounts:,}" for size in sizes]
    lines = [f"| accounts | {' | '.join(heads)} |", "|---|" + "---:|" * len(heads)]
    return "\n".join([*lines, *(f"| {name} | {' | '.join(cells)} |" for name, cells in rows)]) + "\n"


def cost_table(costs: Costs) -> str:
    """The measured costs in Markdown."""
    texts = {
        "poll": "a poll that finds nothing new",
        "ticket": "each ticket sent",
        "change": "a change with PUT",
        "usage": "storing what was asked of an account in a second",
        "maintenance": "looking after an account in a round",
        "idle": "a process, each second",
    }
    cpu = [
        f"| {text} | {getattr(costs.server, name):.3f} | {getattr(costs.database, name):.3f} |"
        for name, text in texts.items()
    ]
    others = [
        ("a ticket, stored on PostgreSQL", _bytes(costs.ticket_bytes)),
        ("its history there", _bytes(costs.history_bytes)),
        ("a ticket, stored on SQLite", _bytes(costs.sqlite_ticket_bytes)),
        ("its history there", _bytes(costs.sqlite_history_bytes)),
        ("what a change leaves for good", _bytes(costs.change_bytes)),
        ("write-ahead log of a change", _bytes(costs.wal_bytes)),
        ("a ticket on the wire", _bytes(costs.sent_bytes)),
        ("memory of a server process", _bytes(costs.process_bytes)),
        ("memory of a connection, in the database", _bytes(costs.connection_bytes)),
        ("a round takes, for each account", f"{costs.maintenance_seconds * 1000:.2f} ms"),
        ("changes of one account, each with a commit of its own", f"{costs.account_changes:,.0f} a second"),
    ]
    head = ["| CPU, in ms of a core | server | database |", "|---|---:|---:|"]
    tail = ["", "| other costs | |", "|---|---:|", *(f"| {name} | {value} |" for name, value in others)]
    return "\n".join([*head, *cpu, *tail]) + "\n"


def _count(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 or value == int(value) else f"{value:,.1f}"


def _bytes(value: float) -> str:
    for unit in ("B", "KB", "MB", "GB", "TB"):
        if value < 1000 or unit == "TB":
            return f"{value:,.0f} {unit}" if value >= 100 or unit == "B" else f"{value:,.1f} {unit}"
        value /= 1000
    raise AssertionError


def main(arguments: Sequence[str] | None = None) -> None:
    asked = _parse(arguments)
    if asked.measure_maintenance:
        from bench.scale_measure import measure_maintenance

        COSTS_FILE.write_text(
            json.dumps(measure_maintenance(json.loads(COSTS_FILE.read_text()), _tell), indent=1) + "\n"
        )
        return
    if asked.measure:
        from bench.scale_measure import measure_costs  # what it imports is not needed for the arithmetic

        found = measure_costs(_tell)
        COSTS_FILE.write_text(json.dumps(found, indent=1) + "\n")
        print(check_table(found["check"]["rows"]), end="")
        return
    work = Workload(
        round(asked.accounts),
        round(asked.tickets),
        asked.changes,
        round(asked.consumers),
        asked.poll_seconds,
        asked.largest_share,
    )
    given = {each.name: getattr(asked, each.name) for each in fields(Machines)}
    costs = _given_costs(read_costs(asked.costs), asked)
    print(cost_table(costs))
    print(deployment_table(costs, [work], Machines(**given)), end="")


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.scale_model", description="What a deployment on PostgreSQL needs."
    )
    text = "measure the costs here into scale_costs.json, and compare what they predict with what there is"
    parser.add_argument("--measure", action="store_true", help=text)
    text = "measure only what maintenance takes, and leave the other costs as they are"
    parser.add_argument("--measure-maintenance", action="store_true", help=text)
    parser.add_argument("--costs", type=Path, default=COSTS_FILE, help="a file of --measure [scale_costs.json]")
    largest = SIZES[-1]
    parser.add_argument("--accounts", type=_positive, default=largest.accounts, help=f"[{largest.accounts}]")
    parser.add_argument("--tickets", type=_positive, default=largest.tickets, help=f"[{largest.tickets}]")
    parser.add_argument("--changes", type=_positive, default=largest.changes, help=f"a second [{largest.changes}]")
    parser.add_argument("--consumers", type=_positive, default=largest.consumers, help=f"[{largest.consumers}]")
    parser.add_argument("--poll-seconds", type=_positive, default=60.0, help="between two polls of a consumer [60]")
    parser.add_argument("--largest-share", type=_positive, default=0.001, help="changes of the largest account [0.001]")
    for each in fields(Machines):
        parser.add_argument(
            f"--{each.name.replace('_', '-')}", type=_positive, default=each.default, help=f"[{each.default}]"
        )
    for name in _cost_names():
        parser.add_argument(f"--{name.replace('_', '-')}", type=_positive, help="instead of what was measured")
    return parser.parse_args(arguments)


def _cost_names() -> list[str]:
    cpu = [f"{side}_{each.name}_ms" for side in ("server", "database") for each in fields(Cpu)]
    return cpu + [each.name for each in fields(Costs) if each.name not in ("server", "database")]


def _cost_values(costs: Costs) -> dict[str, float]:
    """Every cost by the name of its option."""
    values: dict[str, Any] = asdict(costs)
    cpu = {f"{side}_{name}": value for side in ("server", "database") for name, value in values.pop(side).items()}
    return {**{f"{name}_ms": value for name, value in cpu.items()}, **values}


def _given_costs(costs: Costs, asked: argparse.Namespace) -> Costs:
    """The costs, as far as no option gives others."""
    values = {
        name: value if (given := getattr(asked, name)) is None else given for name, value in _cost_values(costs).items()
    }
    sides = {
        side: Cpu(**{each.name: values.pop(f"{side}_{each.name}_ms") for each in fields(Cpu)})
        for side in ("server", "database")
    }
    return Costs(**sides, **values)


def _positive(text: str) -> float:
    value = float(text)
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError("must be above 0")
    return value


def _tell(text: str) -> None:
    print(f"[{time.strftime('%H:%M:%S')}] {text} ...", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
