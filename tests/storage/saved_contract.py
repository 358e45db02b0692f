"""The Store contract for saved accounts: rewinding and forking put back all that was stored, and nothing else."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.storage.contract import ALL, NOON, ManualClock, StoreCase, putting, ticket, user
from tests.storage.search_contract import found
from tests.storage.usage_contract import noted, request
from ticketfeed.data.integrity_check import check_store
from ticketfeed.data.saved_accounts import delete_saved_account, fork_account, rewind_account, save_account
from ticketfeed.protocol.errors import BadInput, NotFound
from ticketfeed.protocol.jobs import Job
from ticketfeed.protocol.model import Account, FeedState, Position
from ticketfeed.protocol.moved_clock import MovedClock
from ticketfeed.protocol.records import RecordDraft, parse_record
from ticketfeed.storage.contract import Store
from ticketfeed.storage.snapshot_contract import Snapshot
from ticketfeed.storage.write_contract import WriteTransaction


async def problems(store: Store) -> list[str]:
    """What the integrity check finds."""
    found: list[str] = []
    await store.inspect(lambda snapshot: check_store(snapshot, found.append))
    return found


Content = dict[str, Any]
DAY = 86400


def organization(id: int, name: str) -> RecordDraft:
    return parse_record("organizations", b'{"id":%d,"name":"%s"}' % (id, name.encode()), account="acme", now=NOON)


async def content(store: Store, account: Account) -> Content:
    """All that a store has of an account, but for the counts in its row."""

    def read(snapshot: Snapshot) -> Content:
        tickets, records = list(snapshot.tickets(account)), list(snapshot.records(account))
        positions = list(snapshot.positions_by_id(account))
        return {"tickets": tickets, "records": records, "positions": positions}

    return {
        **await store.inspect(read),
        "credentials": await store.list_credentials(account),
        "clients": await store.list_oauth_clients(account),
        "tokens": await store.list_oauth_tokens(account),
        "clock": (await store.read_clocks()).get(account.account_id),
        "jobs": await store.read_jobs(account),
        "found": [await found(store, account, text) for text in ("printer", "quiet", "changed", "type:user user")],
    }


def changes(seed: int) -> Callable[[WriteTransaction], None]:
    """Changes of all that an account has."""

    def work(write: WriteTransaction) -> None:
        write.put_tickets(
            [
                ticket(1, subject=f"changed {seed}"),
                ticket(2, status="deleted"),
                ticket(900 + seed, subject="a quiet printer"),
            ]
        )
        write.put_records([user(1, "renamed@example.com", name=f"changed {seed}"), user(50 + seed, name="user new")])
        write.put_records([organization(70 + seed, "printer makers")])
        write.add_credential(1, "api_token", f"token {seed}")
        write.revoke_credential(1)
        write.add_job(Job(f"job-{seed}", "update", 1, write.now, 1, None), [b"{}"])
        write.put_clock(MovedClock(seed * DAY))

    return work


class SavedContract(StoreCase):
    """What every Store does with saved accounts."""

    async def fill(self, store: Store, account: Account) -> None:
        def work(write: WriteTransaction) -> None:
            write.put_records([user(id, f"{id}@example.com", name=f"user {id}") for id in range(1, 6)])
            write.add_credential(1, "api_token", "first token")
            write.put_tickets([ticket(id, NOON - 9000 + id, subject=f"printer {id}") for id in range(1, 21)])

        await store.write(account, work)

    def test_rewinding_puts_back_all(self) -> None:
        """However an account was changed, and whether it was rewound to an earlier or a later one before, it is then
        what it was; another account is what it is, and the integrity check finds nothing."""

        async def scenario(store: Store, account: Account, clock: ManualClock) -> None:
            other = await store.create_account("other")
            await self.fill(store, other)
            await self.fill(store, account)
            untouched = await content(store, other)
            before: dict[str, Content] = {}
            for seed, name in enumerate(("a", "b", "c"), 1):
                clock.now += 100
                before[name] = await content(store, account)
                saved = await save_account(store, account, name)
                assert (saved.name, saved.tickets) == (name, len(before[name]["tickets"]))
                clock.now += seed - 1  # the first change is in the second of the save
                await store.write(account, changes(seed))
            assert [each.name for each in await store.list_saved(account)] == ["a", "b", "c"]
            assert await store.list_saved(other) == []
            for number, name in enumerate("cbbacabc"):
                clock.now += 10
                await rewind_account(store, account, name, with_consumers=number % 2 == 0)
                assert await content(store, account) == before[name], (number, name)
                clock.now += 10
                await store.write(account, changes(10 + number))
                if number == 1:
                    await store.fence_accounts(5)
            assert await content(store, other) == untouched
            assert await problems(store) == []
            assert [each.subdomain for each in await store.list_accounts()] == ["acme", "other"]

        self.run(scenario)

    def test_rewinds_and_fences(self) -> None:
        """A rewound account gives out no position again; one that is rewound with its readers goes on as it was. What
        caches are told of changes of an account never goes back."""

        async def scenario(store: Store, account: Account, clock: ManualClock) -> None:
            await self.fill(store, account)
            await save_account(store, account, "a")
            saved = await store.read_state(account)
            for with_consumers in (False, True):
                clock.now += 100
                await store.write(account, putting([ticket(1), ticket(77)]))
                clock.now += 1
                await store.close_newest(account)
                read = await store.read_state(account)
                await rewind_account(store, account, "a", with_consumers=with_consumers)
                state = await store.read_state(account)
                if with_consumers:
                    same = replace(state, invalidations=saved.invalidations, record_changes=saved.record_changes)
                    assert same == saved
                else:
                    assert state.watermark >= read.last_generated_timestamp
                assert state.invalidations > read.invalidations + 20_000
                assert state.record_changes > read.record_changes
                known, positions = await store.read_invalidations(account, read.invalidations)
                assert known.invalidations - read.invalidations != len(positions)
                clock.now += 1 if with_consumers else 0
                await store.write(account, putting([ticket(1)]))
                after = Position(read.watermark, 1 << 60)
                clock.now += 10
                await store.close_newest(account)
                _, rows = await store.read_changes(account, after, NOON * 2, 9, ALL, links=False)
                assert [row.id for row in rows] == [1]

        self.run(scenario)

    def test_rewound_consumers(self) -> None:
        """What is known of consumers goes back with them, or stays."""

        async def scenario(store: Store, account: Account, _clock: ManualClock) -> None:
            await self.fill(store, account)
            await store.record_usage(account, {"a": noted()}, [request(1)], NOON)
            before = await store.read_consumers(account)
            await save_account(store, account, "a")
            await store.record_usage(account, {"b": noted(NOON + 5, "b")}, [request(2)], NOON)
            await rewind_account(store, account, "a", with_consumers=False)
            assert len(await store.read_consumers(account)) == 2
            await rewind_account(store, account, "a", with_consumers=True)
            assert await store.read_consumers(account) == before
            assert await store.read_requests(account) == []
            await delete_saved_account(store, account, "a")

        self.run(scenario)

    def test_forks(self) -> None:
        """A fork is an account of its own, which begins as the saved one was, credentials and search included."""

        async def scenario(store: Store, account: Account, clock: ManualClock) -> None:
            await self.fill(store, account)
            await save_account(store, account, "a")
            before = await content(store, account)
            await store.write(account, changes(1))
            await fork_account(store, account, "a", "copy")
            forked = {each.subdomain: each for each in await store.list_accounts()}["copy"]
            assert await content(store, forked) == before
            assert await store.find_token_user(forked, "first token") is not None
            clock.now += 10
            changed = await content(store, account)
            await store.write(forked, changes(2))
            assert await content(store, account) == changed
            assert await found(store, forked, "quiet") == [902]
            with pytest.raises(BadInput, match="already"):
                await fork_account(store, account, "a", "copy")
            assert await problems(store) == []

        self.run(scenario)

    def test_names_of_saved_accounts(self) -> None:
        """A name is used once; a deleted one is gone with its rows; unknown ones are refused with those that there are.
        A saved account is none that a host or a command finds."""

        async def scenario(store: Store, account: Account, _clock: ManualClock) -> None:
            await self.fill(store, account)
            await save_account(store, account, "a")
            for bad in ("a", "", "x y", "x/y", "-a", "a" * 64, "a@b", "%"):
                with pytest.raises(BadInput):
                    await save_account(store, account, bad)
            for work in (
                rewind_account(store, account, "z", with_consumers=True),
                delete_saved_account(store, account, "z"),
            ):
                with pytest.raises(NotFound, match="there are: a"):
                    await work
            default = await store.find_default_account()
            assert default == account
            await delete_saved_account(store, account, "a")
            assert await store.list_saved(account) == []
            assert await store.inspect(lambda snapshot: list(snapshot.orphans())) == []
            await save_account(store, account, "a")

        self.run(scenario)

    def test_empty_account(self) -> None:
        """An account that has nothing is saved and rewound, too; a load of history still keeps its own times."""

        async def scenario(store: Store, account: Account, _clock: ManualClock) -> None:
            await save_account(store, account, "empty")
            for _ in range(2):
                await store.write(account, putting([ticket(1, NOON - 5000)], keep=_ == 0))
                await rewind_account(store, account, "empty", with_consumers=True)
                state = await store.read_state(account)
                assert (state.ticket_count, state.watermark) == (0, FeedState().watermark)

        self.run(scenario)
