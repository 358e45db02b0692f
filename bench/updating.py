"""`python -m bench.updating STORE_URL RATE`: change random tickets, one a transaction, until SIGTERM."""

import asyncio
import random
import sys
import time

import msgspec

from ticketfeed import open_store, parse_ticket, system_clock


async def main(store_url: str, rate: float) -> None:
    store = await open_store(store_url)
    account = (await store.list_accounts())[0]
    count = (await store.read_state(account)).ticket_count
    due = time.monotonic()
    while True:
        due += 1 / rate
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        while not (rows := await store.read_tickets(account, [random.randint(1, count)])):  # ids have gaps
            pass
        values = msgspec.json.decode(rows[0].body) | {"subject": f"Changed {random.random()}"}
        del values["generated_timestamp"], values["updated_at"]
        draft = parse_ticket(msgspec.json.encode(values), account=account.subdomain, now=system_clock())
        await store.write(account, lambda write, draft=draft: write.put_tickets([draft]))  # type: ignore[misc]


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], float(sys.argv[2])))
