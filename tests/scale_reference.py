"""docs/why/scale.md: the text, around the tables of bench/scale_model.py."""

from bench.scale_model import SIZES, Machines, cost_table, deployment_table, read_check, read_costs

__all__ = ["render"]

HEAD = """# Scale: a model

What a deployment on PostgreSQL needs, as far as arithmetic can tell: rates times costs, divided by what machines
have. The costs were measured on a small virtual machine with two cores that other programs used at the same time; a
server's cores are often twice as fast. The model is a program, so measure on your own machines and put in your own
numbers:

```console
$ python -m bench.scale_model --measure
$ python -m bench.scale_model --accounts 5000 --tickets 1e9 --changes 500 --consumers 10000 --database-cores 64
```

## What is needed

"""
ASSUMED = """
Assumed, each an option of the program: a consumer polls every {poll:g} seconds; consumers and changes are spread
evenly over accounts, but for the largest account, with {share:.1%} of all changes; every consumer reads every change
of its account; a machine is used for {use:.0%} on average, its disk for {disk_use:.0%}; a database machine has
{cores} cores, {disk:g} TB of disk and allows {connections:,} connections; there are {copies} copies of each shard.
Each process may open as many connections as the [settings](../reference/settings.md) allow by default.

What more machines do not lift:

* **The row of the largest account.** Its changes run one after the other, wherever they come from. What a row can
  take depends on how fast the disk confirms a commit, more than on the processor. The model counts a commit for each
  change; changes that wait at the same moment [share one](performance.md#writes).
* **Connections.** Each process may have {each} to the primary, and with Citus all go to the coordinator: give smaller
  [pools](../reference/settings.md), a pooler in transaction mode between, or several stores with a part of the
  accounts each.

Maintenance does not grow with the number of processes: [one of all](../how-to/operate.md#maintenance) looks every
minute whether anything is due, of a thousand accounts at once. All are taken to have quotas, and, as they were
measured, no tickets: with large tables each look reads a few pages more. Besides, what is due is changed, which costs
what any change does, and what an account holds is counted, once an hour at most, which reads all of its rows.

## The costs

"""
CHECK = """
## Checked

The costs are those of single kinds of requests, one after the other. In turns with these, so that what else the machine
does hits both, a deployment that differs was measured, and compared with what is predicted from the costs:
{what}.

{table}
Processor time and bytes are nearly the same whatever else a machine does. The two costs that are times on the clock,
how long a round of maintenance takes and how many changes of one account there can be, are not: they were taken
while others used the disk, and are several times better on a machine of its own.

## What it leaves out

* **Citus.** The shards are plain PostgreSQL servers here; what the coordinator takes to route a statement, and the
  network between, is not in the numbers.
* **Memory for the data.** Pages at the end of the feed and the indexes by id are assumed to be in memory. Consumers
  that begin from the start, backups and integrity checks read from the disk.
* **Sideloads, other exports, searches, lists.** A page with users and groups costs twice as much; a search costs what
  it finds.
* **Compression and TLS**: both cost processor time in servers, and compression saves most of the bytes sent.
* **Peaks.** All rates are averages; `--use` is the room for peaks.
* **Page images.** After each checkpoint PostgreSQL writes a page that is changed to its log as a whole, once. With many
  accounts nearly every change touches other pages: the log is then several times as large as in the table.
* **Dead rows.** Each change leaves one that VACUUM makes free again; of busy tables, keep a fifth of the bytes free
  for them.
"""


def render() -> str:
    costs, machines, size = read_costs(), Machines(), SIZES[-1]
    assumed = ASSUMED.format(
        poll=size.poll_seconds,
        share=size.largest_share,
        use=machines.use,
        disk_use=machines.disk_use,
        cores=machines.database_cores,
        disk=machines.disk_bytes / 1e12,
        connections=machines.connections,
        copies=machines.copies,
        each=machines.connections_of_process,
    )
    check = CHECK.format(**read_check())
    return HEAD + deployment_table(costs, SIZES, machines) + assumed + cost_table(costs) + check
