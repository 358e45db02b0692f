"""A process that does what a server does for maintenance, every tenth of a second: it writes a line for each round.

python -m tests.process.maintainer URL
"""

import asyncio
import sys

from ticketfeed.clock import system_clock
from ticketfeed.server.ops import lease, maintenance
from ticketfeed.server.ops.jobs import Jobs
from ticketfeed.settings import Settings
from ticketfeed.storage import open_store

# A process that gets no core for a while keeps its lease; a test ends it sooner.
LEASE_SECONDS = 50.0


async def main(url: str) -> None:
    lease.LEASE_SECONDS, maintenance.RENEW_SECONDS = LEASE_SECONDS, 0.1
    maintenance.MAINTENANCE_SECONDS = maintenance.QUOTA_SECONDS = 0.1
    store = await open_store(url)

    def tell() -> None:
        print("round", flush=True)

    maintenance.Maintenance(store, Settings(), lambda _: system_clock(), Jobs(store), tell).start()
    print("started", flush=True)
    await asyncio.sleep(600)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
