"""Accounts are measured in the background: what is counted, and when again."""

import asyncio
from pathlib import Path

import psycopg
import pytest

from tests.postgres import PostgresServer
from tests.storage.contract import NOON, ManualClock, putting, ticket, user
from ticketfeed.data.sizes import MEASURE_SECONDS, UNCHANGED_SECONDS, find_full_accounts, measure_accounts
from ticketfeed.data.status import AllStatuses, read_status
from ticketfeed.storage import open_store
from ticketfeed.storage.account_size import AccountQuota, AccountSize


@pytest.mark.parametrize("engine", ["memory", "sqlite", "postgres"])
def test_accounts_are_measured(engine: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """Each once, with the bytes of its tickets and records; a changed one after an hour, others after a day; what is
    measured is in the status of one account and of all."""
    url = {"memory": "memory:", "sqlite": f"sqlite:///{tmp_path}/t.db"}.get(engine)
    url = url or request.getfixturevalue("postgres").new_database()

    async def main() -> None:
        clock = ManualClock()
        store = await open_store(url, clock)
        full, empty = await store.create_account("full"), await store.create_account("empty")
        drafts = [ticket(number, subject="x" * number) for number in range(1, 4)]
        await store.write(full, putting(drafts))
        await store.write(full, lambda write: write.put_records([user(9, "a@example.com")]))

        async def sizes() -> dict[str, AccountSize | None]:
            statuses = await AllStatuses().read(store, now=clock())
            found = {each.account.subdomain: each.size for each in statuses}
            for account in (full, empty):
                status = await read_status(store, account, now=clock())
                assert status.size == found[account.subdomain]
            return found

        async def measure_after(seconds: int) -> int:
            clock.now += seconds
            return await measure_accounts(store, lambda _: clock())

        assert await sizes() == {"full": None, "empty": None}
        assert await measure_after(0) == 2
        bodies = [len(row.body) for row in await store.read_tickets(full, [1, 2, 3])]
        (record,) = await store.read_records(full, "users", [9])
        measured = AccountSize(3, sum(bodies), 1, len(record.body), NOON)
        assert await sizes() == {"full": measured, "empty": AccountSize(0, 0, 0, 0, NOON)}
        assert await measure_after(MEASURE_SECONDS - 1) == 0
        await store.write(full, putting([ticket(4)]))
        assert await measure_after(0) == 0
        assert await measure_after(1) == 1
        changed = (await sizes())["full"]
        assert changed is not None
        assert (changed.tickets, changed.records, changed.measured_at) == (4, 1, NOON + MEASURE_SECONDS)
        assert changed.ticket_bytes > measured.ticket_bytes
        assert await measure_after(MEASURE_SECONDS) == 0  # what was changed is measured
        assert await measure_after(UNCHANGED_SECONDS) == 2
        assert await measure_after(-UNCHANGED_SECONDS) == 2  # by a clock that was moved back
        await store.close()

    asyncio.run(main())


def test_an_account_out_of_reach(postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The others are measured all the same."""
    monkeypatch.setattr("ticketfeed.storage.postgres.store.WAIT_SECONDS", 3.0)

    async def main() -> None:
        url = postgres.new_database()
        store = await open_store(url, ManualClock())
        locked, other = await store.create_account("locked"), await store.create_account("other")
        with psycopg.connect(url) as stranger:
            stranger.execute("SELECT FROM ticketfeed.feed_state WHERE account_id = %s FOR UPDATE", [locked.account_id])
            assert await measure_accounts(store, lambda _: NOON) == 1
        found = await store.inspect(lambda snapshot: dict(snapshot.sizes()))
        assert found.keys() == {other.account_id}
        await store.close()

    asyncio.run(main())


@pytest.mark.parametrize("engine", ["memory", "sqlite", "postgres"])
def test_quotas(engine: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """An account is full at its number of tickets, as it is now, or of bytes, as they were measured; a quota can be
    raised and taken back, is in the status of one account and of all, and says nothing about another account."""
    url = {"memory": "memory:", "sqlite": f"sqlite:///{tmp_path}/t.db"}.get(engine)
    url = url or request.getfixturevalue("postgres").new_database()

    async def main() -> None:
        clock = ManualClock()
        store = await open_store(url, clock)
        held, other = await store.create_account("held"), await store.create_account("other")
        for account in (held, other):
            await store.write(account, putting([ticket(1), ticket(2)]))
        await measure_accounts(store, lambda _: clock())
        size = (await read_status(store, held, now=clock())).size
        assert size is not None
        await store.write(held, putting([ticket(3)]))
        for tickets_max, bytes_max, is_full in (
            (None, None, False),
            (4, None, False),
            (3, None, True),
            (0, None, True),
            (None, size.bytes + 1, False),
            (None, size.bytes, True),
            (4, size.bytes, True),
            (None, None, False),
        ):
            quota = AccountQuota(tickets_max, bytes_max)
            await store.write(held, lambda write, quota=quota: write.put_quota(quota))  # type: ignore[misc]
            full = ({held.account_id} if is_full else set(), set())
            assert await find_full_accounts(store) == full, quota
            found = {each.account: each.quota for each in await AllStatuses().read(store, now=clock())}
            assert found == {held: quota, other: AccountQuota()}
            assert (await read_status(store, held, now=clock())).quota == quota
        await store.close()

    asyncio.run(main())
