"""The Store contract for maintenance: leases, and what is due in many accounts."""

import asyncio
from collections.abc import Callable

from tests.storage.contract import NOON, START, ManualClock, StoreCase, putting, ticket
from tests.waiting import until
from ticketfeed.protocol.idempotency import IdempotentAnswer
from ticketfeed.protocol.jobs import Job
from ticketfeed.protocol.mirrors import Mirror
from ticketfeed.protocol.model import Account
from ticketfeed.storage.account_size import AccountQuota, AccountSize
from ticketfeed.storage.contract import Store
from ticketfeed.storage.shard_contract import AgedStatus
from ticketfeed.storage.write_contract import WriteTransaction

LONG = 30.0


def job(id: str, created_at: int) -> Job:
    return Job(id, "create tickets", 1, created_at, 1, None)


class MaintenanceContract(StoreCase):
    """What every Store does for maintenance."""

    def test_leases(self) -> None:
        """One owner has a lease at a time: until it gives it back, or until its time is over; it may renew it, and end
        only its own. Leases of other names are others."""

        async def scenario(store: Store, _account: Account, _clock: ManualClock) -> None:
            first, second = (lambda seconds, owner=owner: store.take_lease("a", owner, seconds) for owner in "12")
            takers = await asyncio.gather(*(store.take_lease("b", str(owner), LONG) for owner in range(8)))
            assert sum(takers) == 1
            assert await first(LONG)
            assert not await second(LONG)
            assert await first(LONG)
            await store.end_lease("a", "2")
            assert not await second(LONG)
            await store.end_lease("a", "1")
            await store.end_lease("a", "1")
            assert await second(LONG)
            assert not await first(LONG)
            assert await second(0.3)
            await until(lambda: first(LONG))
            assert not await second(LONG)

        self.run(scenario)

    def test_full_accounts(self) -> None:
        """Those that were stored last, in place of those before."""

        async def scenario(store: Store, _account: Account, _clock: ManualClock) -> None:
            for ids in (set[int](), {1, 2}, {2, 3}, {2, 3}, set[int]()):
                await store.replace_full_accounts(ids)
                assert await store.read_full_accounts() == ids

        self.run(scenario)

    def test_what_is_due_in_many_accounts(self) -> None:
        """Accounts with answers, finished jobs or aged tickets of that time, and no others; mirrors are not aged."""

        async def scenario(store: Store, account: Account, clock: ManualClock) -> None:
            names = ("answer", "finished", "open", "solved", "deleted", "mirror", "late")
            accounts = [account, *[await store.create_account(name) for name in names]]
            of = {each.subdomain: each for each in accounts}
            listed = [each for shard in await store.list_shards() for each in shard]
            assert sorted(listed, key=lambda each: each.account_id) == accounts

            async def put(name: str, work: Callable[[WriteTransaction], object]) -> None:
                await store.write(of[name], work, mirror=name == "mirror")

            def finish(write: WriteTransaction) -> None:
                write.add_job(job("f", NOON), [b"{}"])
                write.put_result("f", 0, b"{}")
                write.finish_job("f")

            await put(
                "answer", lambda write: write.put_idempotent_answer("k", IdempotentAnswer("", NOON, 200, "", b"{}"))
            )
            await put("finished", finish)
            await put("open", lambda write: write.add_job(job("o", NOON), [b"{}"]))
            await put("solved", putting([ticket(1, status="solved"), ticket(2, status="deleted")]))
            await put("deleted", putting([ticket(1, status="deleted")]))
            await put("mirror", lambda write: write.put_mirror(Mirror("https://x")))
            await put("mirror", putting([ticket(1, NOON, status="solved")]))
            clock.now += 1
            await put("late", putting([ticket(1, status="solved")]))

            async def due(until: int) -> list[set[str]]:
                async def find_aged(status: AgedStatus) -> set[int]:
                    shards = await store.list_shards()
                    return set().union(*[await store.find_aged(shard, status, until) for shard in shards])

                expired = await store.find_expired(accounts, until)
                aged = [await find_aged(status) for status in ("solved", "deleted")]
                jobs = {account_id for account_id, _ in await store.find_open_jobs(accounts, until)}
                return [
                    {each.subdomain for each in accounts if each.account_id in ids} for ids in (expired, *aged, jobs)
                ]

            assert await due(NOON - 1) == [set(), set(), set(), set()]
            assert await due(NOON) == [{"answer", "finished"}, {"solved"}, {"solved", "deleted"}, {"open"}]
            assert (await due(NOON + 1))[1] == {"solved", "late"}
            assert await store.find_open_jobs(accounts, NOON) == [(of["open"].account_id, "o")]
            assert await store.find_expired([of["answer"]], NOON) == {of["answer"].account_id}
            assert await store.find_aged([of["deleted"]], "solved", NOON) == set()

        self.run(scenario)

    def test_what_is_scrubbed_is_not_aged(self) -> None:
        """Deleted tickets up to the second that is noted are left out, unless it is later than what is asked for; the
        account's others, and other statuses, are not. Of a rewound account nothing is known."""

        async def scenario(store: Store, account: Account, clock: ManualClock) -> None:
            await store.write(account, putting([ticket(1, status="deleted"), ticket(2, status="solved")]))
            await store.write(account, lambda write: write.save_account("before"))
            clock.now += 10
            await store.write(account, putting([ticket(3, status="deleted")]))

            async def aged(until: int) -> list[int]:
                found = [position.id for position in await store.list_aged(account, "deleted", START, until, 9)]
                assert bool(found) is bool(await store.find_aged([account], "deleted", until))
                assert [each.id for each in await store.list_aged(account, "solved", START, until, 9)] == [2]
                return found

            assert await aged(NOON + 10) == [1, 3]
            await store.write(account, lambda write: write.put_scrubbed_until(NOON + 9))
            assert [await aged(NOON + seconds) for seconds in (8, 9, 10)] == [[1], [], [3]]
            await store.write(account, lambda write: write.rewind_account("before", fences=True))
            assert await aged(NOON + 10) == [1]

        self.run(scenario)

    def test_sizes_and_quotas_of_many_accounts(self) -> None:
        """The state of each with what was measured; full are those that have reached either quota."""

        async def scenario(store: Store, account: Account, _clock: ManualClock) -> None:
            other, third = await store.create_account("other"), await store.create_account("third")
            await store.write(account, putting([ticket(1), ticket(2)]))
            size = AccountSize(2, 1000, 1, 24, NOON)
            await store.write(other, lambda write: write.put_size(size))
            found = await store.find_sizes([account, other])
            assert sorted((id, state.ticket_count, each) for id, state, each in found) == [
                (account.account_id, 2, None),
                (other.account_id, 0, size),
            ]
            quotas = {
                account: (AccountQuota(2), AccountQuota(3)),
                other: (AccountQuota(None, 1024), AccountQuota(1, 1025)),
            }
            assert await store.find_full() == set()
            for place, full in ((0, {account.account_id, other.account_id}), (1, set[int]())):
                for each, quota in quotas.items():
                    await store.write(each, lambda write, quota=quota[place]: write.put_quota(quota))  # type: ignore[misc]
                assert await store.find_full() == full
                assert await store.find_full([account, third]) == full & {account.account_id}

        self.run(scenario)
