"""The Store contract as tests: one body, run word for word by every backend.

A backend's test module makes a class of `StoreContract` and says in `open_store` how to open an empty store.
"""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from unittest.mock import patch

import msgspec
import pytest

from ticketfeed.data.import_files import InputRecord
from ticketfeed.data.integrity_check import check_store
from ticketfeed.data.load import load_records
from ticketfeed.protocol import paging
from ticketfeed.protocol.errors import BadInput
from ticketfeed.protocol.model import Account, FeedState, Filters, Position
from ticketfeed.protocol.moved_clock import MovedClock
from ticketfeed.protocol.paging import count_page_rows, position_of
from ticketfeed.protocol.records import RecordDraft, parse_record
from ticketfeed.protocol.sideloads import pack_ids
from ticketfeed.protocol.tickets import TicketDraft, parse_ticket
from ticketfeed.protocol.watermark import FENCED
from ticketfeed.storage.contract import Store
from ticketfeed.storage.dedup import IDS_MAX
from ticketfeed.storage.memory import MemoryStore
from ticketfeed.storage.snapshot_contract import Snapshot
from ticketfeed.storage.write_contract import WriteTransaction

ALL = Filters(support_type_scope="all")
PAGE_BYTES = 30_000
START = Position(0, -1)
NOON = 1_700_000_000


class ManualClock:
    """A clock that stands where it was put."""

    def __init__(self, now: int = NOON) -> None:
        self.now = now

    def __call__(self) -> int:
        return self.now


def ticket(ticket_id: int, second: int = NOON - 1000, **values: object) -> TicketDraft:
    data = msgspec.json.encode({"id": ticket_id, "generated_timestamp": second, **values})
    return parse_ticket(data, account="acme", now=NOON)


def user(user_id: int, email: str | None = None, **values: object) -> RecordDraft:
    data = msgspec.json.encode({"id": user_id, "email": email, **values})
    return parse_record("users", data, account="acme", now=NOON)


def putting(drafts: Iterable[TicketDraft], *, keep: bool = False) -> Callable[[WriteTransaction], int]:
    return lambda transaction: transaction.put_tickets(drafts, keep_generated_timestamp=keep)


Scenario = Callable[[Store, Account, ManualClock], Awaitable[None]]


class StoreCase:
    """Runs a scenario on a new store with one account."""

    async def open_store(self, clock: ManualClock) -> Store:
        """A new, empty store."""
        raise NotImplementedError

    def run(self, scenario: Scenario) -> None:
        async def main() -> None:
            clock = ManualClock()
            store = await self.open_store(clock)
            try:
                await scenario(store, await store.create_account("acme"), clock)
            finally:
                await store.close()

        asyncio.run(main())


class StoreContract(StoreCase):
    """What every Store does."""

    async def positions(
        self, store: Store, account: Account, after: Position = START, limit: int = 1000, filters: Filters = ALL
    ) -> list[tuple[int, int]]:
        _, rows = await store.read_changes(account, after, NOON * 2, limit, filters, links=False)
        return [(row.generated_timestamp, row.id) for row in rows]

    def test_reads_stop_at_the_bytes_of_a_page(self) -> None:
        """A walk over large rows gets all of them, and a read returns at most one row more than a page."""

        async def scenario(store: Store, account: Account, _clock: ManualClock) -> None:
            text, seconds = "x" * (PAGE_BYTES // 3), [NOON - 1000 + id // 5 for id in range(9)]
            large = [ticket(id, second, description=text) for id, second in enumerate(seconds, 1)]
            await store.write(account, putting([*large, ticket(10, NOON - 900)], keep=True))
            after, pages = START, list[int]()
            while True:
                _, rows = await store.read_changes(account, after, NOON * 2, 1000, ALL, links=True)
                count = count_page_rows(rows, 1000)
                pages.append(count)
                assert isinstance(store, MemoryStore) or len(rows) <= count + 1
                if count == len(rows):
                    break
                after = position_of(rows[count - 1])
            assert pages == [3, 3, 3, 1]

        with patch.object(paging, "PAGE_BYTES_MAX", PAGE_BYTES):
            self.run(scenario)

    def test_create_account_is_idempotent(self) -> None:
        """Making an account twice gives the same account, and accounts are listed in the order they were made."""

        async def scenario(store: Store, account: Account, _clock: ManualClock) -> None:
            assert await store.create_account("acme") == account
            other = await store.create_account("other")
            assert await store.list_accounts() == [account, other]
            assert await store.list_accounts(limit=1) == [account]
            found = [await store.find_account(name) for name in ("other", "acme", "nobody", "@acme", "")]
            assert found == [other, account, None, None, None]
            assert await store.read_state(other) == FeedState()

        self.run(scenario)

    def test_default_account(self) -> None:
        """The default account is the first, until another one is chosen."""

        async def scenario(store: Store, account: Account, _clock: ManualClock) -> None:
            other = await store.create_account("other")
            assert await store.find_default_account() == account
            for chosen in (other, account, other):
                counter = store.change_counter()
                await store.put_default_account(chosen)
                assert await store.find_default_account() == chosen
                assert counter is None or counter != store.change_counter()
            await store.create_account("third")
            assert await store.find_default_account() == other

        self.run(scenario)

    def test_create_account_with_work(self) -> None:
        """An account is created with the first write of it, or not at all if that fails; one that exists stays."""

        async def scenario(store: Store, account: Account, _clock: ManualClock) -> None:
            def fail(transaction: WriteTransaction) -> None:
                transaction.put_tickets([ticket(1, 100)])
                raise ValueError("no more")

            for name in ("other", "acme"):
                with pytest.raises(ValueError, match="no more"):
                    await store.create_account(name, fail)
            assert await store.list_accounts() == [account]
            assert await store.read_state(account) == FeedState()
            other = await store.create_account("other", putting([ticket(1, 100)], keep=True))
            assert await store.list_accounts() == [account, other]
            assert await self.positions(store, other) == [(100, 1)]
            assert await store.create_account("acme", putting([ticket(2, 200)], keep=True)) == account
            assert await self.positions(store, account) == [(200, 2)]

        self.run(scenario)

    def test_store_id(self) -> None:
        """A store has an id of its own, other than that of another store."""

        async def scenario(store: Store, _account: Account, clock: ManualClock) -> None:
            other = await self.open_store(clock)
            assert store.store_id
            assert store.store_id != other.store_id
            await other.close()

        self.run(scenario)

    def test_put_carries_the_second_of_the_transaction(self) -> None:
        """All tickets of one transaction carry its second, in their column and in their bytes."""

        async def scenario(store: Store, account: Account, clock: ManualClock) -> None:
            assert await store.write(account, putting([ticket(2), ticket(1)])) == 2
            clock.now += 1
            assert await store.close_newest(account)
            _, rows = await store.read_changes(account, START, NOON * 2, 10, ALL, links=False)
            assert [row[:2] for row in rows] == [(NOON, 1), (NOON, 2)]
            assert [msgspec.json.decode(row.body)["generated_timestamp"] for row in rows] == [NOON, NOON]

        self.run(scenario)

    def test_an_open_second_is_not_given_out(self) -> None:
        """The newest second is withheld until it is closed, and cannot be closed before it is over."""

        async def scenario(store: Store, account: Account, clock: ManualClock) -> None:
            await store.write(account, putting([ticket(1)]))
            assert await self.positions(store, account) == []
            assert not await store.close_newest(account)
            clock.now += 1
            assert await self.positions(store, account) == []
            assert await store.close_newest(account)
            assert await self.positions(store, account) == [(NOON, 1)]
            assert not await store.close_newest(account)

        self.run(scenario)

    def test_a_later_write_closes_the_seconds_before_it(self) -> None:
        """A write in a later second makes the earlier ones readable, without anybody closing them."""

        async def scenario(store: Store, account: Account, clock: ManualClock) -> None:
            await store.write(account, putting([ticket(1)]))
            clock.now += 5
            await store.write(account, putting([ticket(2)]))
            assert await self.positions(store, account) == [(NOON, 1)]
            assert await store.read_state(account) == FeedState(NOON + 5, NOON + 4, 2)

        self.run(scenario)

    def test_a_write_never_lands_in_a_closed_second(self) -> None:
        """After a second was closed, no write carries it, also when the clock steps back."""

        async def scenario(store: Store, account: Account, clock: ManualClock) -> None:
            await store.write(account, putting([ticket(9)]))
            clock.now += 1
            await store.close_newest(account)
            for step, back in enumerate((0, 1, 3600), 1):
                clock.now = NOON - back
                await store.write(account, putting([ticket(step)]))
                state = await store.read_state(account)
                assert state.last_generated_timestamp > NOON

        self.run(scenario)

    def test_a_change_moves_the_ticket_to_the_end(self) -> None:
        """A changed ticket leaves its old place: there is one row a ticket, the latest."""

        async def scenario(store: Store, account: Account, clock: ManualClock) -> None:
            await store.write(account, putting([ticket(1, subject="old"), ticket(2)]))
            clock.now += 10
            await store.write(account, putting([ticket(1, subject="new")]))
            clock.now += 1
            await store.close_newest(account)
            _, rows = await store.read_changes(account, START, NOON * 2, 10, ALL, links=False)
            assert [row[:2] for row in rows] == [(NOON, 2), (NOON + 10, 1)]
            assert msgspec.json.decode(rows[1][2])["subject"] == "new"
            assert (await store.read_state(account)).ticket_count == 2

        self.run(scenario)

    def test_kept_seconds(self) -> None:
        """With keep_generated_timestamp history stays history, and is readable at once."""

        async def scenario(store: Store, account: Account, _clock: ManualClock) -> None:
            await store.write(account, putting([ticket(1, 300), ticket(2, 100), ticket(3, 200)], keep=True))
            assert await self.positions(store, account) == [(100, 2), (200, 3), (300, 1)]
            assert await store.read_state(account) == FeedState(300, 300, 3)

        self.run(scenario)

    def test_kept_seconds_need_an_empty_account(self) -> None:
        """An account that holds tickets refuses kept seconds: readers may have passed them."""

        async def scenario(store: Store, account: Account, _clock: ManualClock) -> None:
            await store.write(account, putting([ticket(1)]))
            with pytest.raises(ValueError, match="without tickets"):
                await store.write(account, putting([ticket(2, 100)], keep=True))
            assert (await store.read_state(account)).ticket_count == 1

        self.run(scenario)

    @pytest.mark.parametrize("keep", [True, False])
    @pytest.mark.parametrize(
        ("seconds", "winner"),
        [((100, 200), "second"), ((200, 100), "first"), ((100, 100), "second")],
    )
    def test_twice_in_one_write(self, keep: bool, seconds: Sequence[int], winner: str) -> None:
        """Of two drafts of one ticket the newer generated_timestamp wins, then the later one."""

        async def scenario(store: Store, account: Account, clock: ManualClock) -> None:
            drafts = [ticket(1, seconds[0], subject="first"), ticket(1, seconds[1], subject="second")]
            assert await store.write(account, putting(drafts, keep=keep)) == 2
            clock.now += 1
            await store.close_newest(account)
            _, rows = await store.read_changes(account, START, NOON * 2, 10, ALL, links=False)
            assert [msgspec.json.decode(row.body)["subject"] for row in rows] == [winner]
            assert rows[0].generated_timestamp == (max(seconds) if keep else NOON)
            assert (await store.read_state(account)).ticket_count == 1

        self.run(scenario)

    @pytest.mark.parametrize("ids_max", [100, IDS_MAX])
    def test_a_load_of_tickets_and_records(self, ids_max: int, monkeypatch: pytest.MonkeyPatch) -> None:
        """Tickets and records come in one pass; of those with one id the newest is stored, however far apart."""
        monkeypatch.setattr("ticketfeed.storage.dedup.IDS_MAX", ids_max)

        async def scenario(store: Store, account: Account, _clock: ManualClock) -> None:
            others = [ticket(id, 50) for id in range(1000, 1600)]
            drafts: list[TicketDraft | RecordDraft] = [user(7, "old@example.com"), ticket(1, 100, subject="newest")]
            drafts += [
                ticket(2, 10),
                *others,
                ticket(1, 99),
                user(7, "new@example.com"),
                ticket(2, 10, subject="later"),
            ]
            load = lambda write: write.load(iter(drafts), keep_generated_timestamp=True)  # noqa: E731
            assert await store.write(account, load, exclusive=True) == len(drafts)
            assert (await store.read_state(account)).ticket_count == 602
            rows = await store.read_tickets(account, [1, 2])
            assert [row.generated_timestamp for row in rows] == [100, 10]
            assert [msgspec.json.decode(row.body)["subject"] for row in rows] == ["newest", "later"]
            (found,) = await store.read_records(account, "users", [7])
            assert msgspec.json.decode(found.body)["email"] == "new@example.com"
            with pytest.raises(ValueError, match="keeps"):
                await store.write(account, load)

        self.run(scenario)

    def test_a_second_load_starts_anew(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """What one load has stored says nothing of the drafts of the next, be it in the same write."""
        monkeypatch.setattr("ticketfeed.storage.dedup.IDS_MAX", 100)

        async def scenario(store: Store, account: Account, _clock: ManualClock) -> None:
            others = [ticket(id, 50) for id in range(1000, 1700)]
            for seconds, subject in (([200], "newer"), ([100], "older"), ([300, 99], "together")):
                loads = [[*others[:350], ticket(1, second, subject=subject), *others[350:]] for second in seconds]
                await store.write(account, lambda write, loads=loads: [write.load(each) for each in loads])  # type: ignore[misc]
                (row,) = await store.read_tickets(account, [1])
                assert msgspec.json.decode(row.body)["generated_timestamp"] == NOON
                assert msgspec.json.decode(row.body)["subject"] == subject

        self.run(scenario)

    def test_a_failed_write_leaves_nothing(self) -> None:
        """When the work raises, tickets, records and the account row are as before, and the store goes on."""

        async def scenario(store: Store, account: Account, _clock: ManualClock) -> None:
            def drafts() -> Iterator[TicketDraft]:
                yield ticket(1)
                raise BadInput("no")

            def work(transaction: WriteTransaction) -> None:
                transaction.put_records([user(7, "a@example.com")])
                transaction.put_tickets(drafts())

            with pytest.raises(BadInput):
                await store.write(account, work)
            assert await store.read_state(account) == FeedState()
            assert await store.read_records(account, "users", [7]) == []
            await store.write(account, putting([ticket(1)]))

        self.run(scenario)

    def test_paging_bounds(self) -> None:
        """`after` is exclusive, `until` inclusive, `limit` exact, and order is by (second, id)."""

        async def scenario(store: Store, account: Account, _clock: ManualClock) -> None:
            drafts = [ticket(id, second) for second in (10, 20, 30) for id in range(second, second + 3)]
            await store.write(account, putting(reversed(drafts), keep=True))
            everything = [(second, id) for second in (10, 20, 30) for id in range(second, second + 3)]
            assert await self.positions(store, account) == everything
            for index, place in enumerate(everything):
                assert await self.positions(store, account, Position(*place)) == everything[index + 1 :]
                assert await self.positions(store, account, limit=index + 1) == everything[: index + 1]
            _, rows = await store.read_changes(account, START, 20, 10, ALL, links=False)
            assert [row.generated_timestamp for row in rows] == [10] * 3 + [20] * 3
            assert await self.positions(store, account, Position(19, 2**63 - 1)) == everything[3:]

        self.run(scenario)

    def test_numbers_at_the_edge_of_64_bits(self) -> None:
        """The largest and smallest positions that a cursor can name are answered, not refused."""

        async def scenario(store: Store, account: Account, _clock: ManualClock) -> None:
            top = 2**63 - 1
            await store.write(account, putting([ticket(top, 10), ticket(1, 10)], keep=True))
            assert await self.positions(store, account, Position(10, 1)) == [(10, top)]
            assert await self.positions(store, account, Position(top, top)) == []
            assert len(await self.positions(store, account, Position(-top, -top))) == 2

        self.run(scenario)

    def test_filters(self) -> None:
        """Filters leave out deleted tickets and choose by support_type, where a null counts as agent."""

        async def scenario(store: Store, account: Account, _clock: ManualClock) -> None:
            drafts = [
                ticket(1, 10, support_type=None),
                ticket(2, 10, support_type="agent"),
                ticket(3, 10, support_type="ai_agent"),
                ticket(4, 10, status="deleted"),
                ticket(5, 10, status="deleted", support_type="ai_agent"),
            ]
            await store.write(account, putting(drafts, keep=True))
            for scope, exclude, expected in (
                ("all", False, [1, 2, 3, 4, 5]),
                ("agent", False, [1, 2, 4]),
                ("ai_agent", False, [3, 5]),
                ("all", True, [1, 2, 3]),
                ("agent", True, [1, 2]),
                ("ai_agent", True, [3]),
            ):
                found = await self.positions(store, account, filters=Filters(exclude, scope))  # type: ignore[arg-type]
                assert [id for _, id in found] == expected, (scope, exclude)

        self.run(scenario)

    def test_links(self) -> None:
        """With `links` a row also says whom and what the ticket points to."""

        async def scenario(store: Store, account: Account, _clock: ManualClock) -> None:
            people = {"requester_id": 5, "assignee_id": 4, "collaborator_ids": [9, 5]}
            desk = {"ticket_form_id": 11, "brand_id": 12, "custom_status_id": 13, "sharing_agreement_ids": [7, 7]}
            draft = ticket(1, 10, group_id=2, organization_id=3, **people, **desk)
            await store.write(account, putting([draft, ticket(2, 10)], keep=True))
            _, rows = await store.read_changes(account, START, 10, 10, ALL, links=True)
            assert [bytes(row[3]) for row in rows] == [pack_ids([4, 5, 9]), b""]
            assert [tuple(row[4:]) for row in rows] == [
                (2, 3, pack_ids([7]), 11, 12, 13, "new"),
                (None, None, None, None, None, None, "new"),
            ]
            found = await store.read_tickets(account, [9, 2, 1])
            assert [tuple(row) for row in found] == [tuple(row) for row in rows]

        self.run(scenario)

    def test_records(self) -> None:
        """Records are read by kind and id, ordered by id, each once; putting again replaces."""

        async def scenario(store: Store, account: Account, _clock: ManualClock) -> None:
            group = parse_record("groups", b'{"id":1,"name":"g"}', account="acme", now=NOON)
            await store.write(account, lambda t: t.put_records([user(2), user(1, name="old"), group]))
            await store.write(account, lambda t: t.put_records([user(1, name="new")]))
            found = await store.read_records(account, "users", [9, 2, 1, 2])
            assert [(id, msgspec.json.decode(body)["id"]) for id, body in found] == [(1, 1), (2, 2)]
            assert msgspec.json.decode(found[0][1])["name"] == "new"
            assert len(await store.read_records(account, "groups", [1, 2])) == 1
            assert await store.read_records(account, "users", []) == []
            assert (await store.read_state(account)) == FeedState(record_changes=2)

        self.run(scenario)

    def test_accounts_are_apart(self) -> None:
        """Nothing of one account is seen in another, though the ids are the same."""

        async def scenario(store: Store, account: Account, _clock: ManualClock) -> None:
            other = await store.create_account("other")
            await store.write(account, putting([ticket(1, 10)], keep=True))
            await store.write(account, lambda t: t.put_records([user(1, "a@example.com")]))
            await store.write(account, lambda t: t.add_credential(1, "api_token", "hash"))
            await store.write(other, putting([ticket(1, 20), ticket(2, 20)], keep=True))
            assert await self.positions(store, account) == [(10, 1)]
            assert await self.positions(store, other) == [(20, 1), (20, 2)]
            assert await store.read_records(other, "users", [1]) == []
            assert await store.find_token_user(other, "hash") is None
            assert await store.list_credentials(other) == []

        self.run(scenario)

    def test_credentials(self) -> None:
        """A token finds its user until it is revoked; a secret in force cannot be added twice."""

        async def scenario(store: Store, account: Account, _clock: ManualClock) -> None:
            await store.write(account, lambda t: t.put_records([user(7, "Ann@Example.com", role="admin")]))
            first = await store.write(account, lambda t: t.add_credential(7, "api_token", "h1"))
            second = await store.write(account, lambda t: t.add_credential(7, "password", "h2"))
            with pytest.raises(BadInput):
                await store.write(account, lambda t: t.add_credential(7, "api_token", "h1"))
            found = await store.find_token_user(account, "h1")
            assert found is not None
            assert (found.id, msgspec.json.decode(found.user)["email"]) == (first, "Ann@Example.com")
            assert await store.find_credential(account, first) == (first, "h1", found.user, NOON)
            assert await store.find_token_user(account, "h2") is None
            before = (await store.read_state(account)).record_changes
            await store.write(account, lambda t: t.use_credential(first, NOON + 9))
            assert (await store.read_state(account)).record_changes > before
            assert await store.find_token_user(account, "h1") == found._replace(used_at=NOON + 9)
            assert await store.find_passwords(account, "ann@example.com") == [(second, "h2", found.user, NOON)]
            assert await store.write(account, lambda t: t.revoke_credential(first))
            assert not await store.write(account, lambda t: t.revoke_credential(first))
            assert not await store.write(account, lambda t: t.revoke_credential(99))
            assert await store.find_token_user(account, "h1") is None
            assert await store.find_credential(account, first) is None
            assert await store.find_credential(account, 99) is None
            listed = await store.list_credentials(account)
            assert [(c.id, c.email, c.kind, c.revoked_at, c.last_used) for c in listed] == [
                (first, "ann@example.com", "api_token", NOON, NOON + 9),
                (second, "ann@example.com", "password", None, None),
            ]
            assert await store.write(account, lambda t: t.add_credential(7, "api_token", "h1", "d")) > second
            assert (await store.list_credentials(account))[-1].description == "d"

        self.run(scenario)

    def test_find_user(self) -> None:
        """A transaction finds a user by email in any case, also one it has just put."""

        async def scenario(store: Store, account: Account, _clock: ManualClock) -> None:
            def work(transaction: WriteTransaction) -> bytes | None:
                transaction.put_records([user(7, "Ann@Example.com")])
                assert transaction.find_user("nobody@example.com") is None
                return transaction.find_user(" ANN@example.COM ")

            assert await store.write(account, work)

        self.run(scenario)

    def test_concurrent_writes_fail_alone(self) -> None:
        """Each of many concurrent writes that raises gets its own error and leaves nothing; the others are whole, and
        in the feed once each."""

        async def scenario(store: Store, account: Account, clock: ManualClock) -> None:
            def work(transaction: WriteTransaction, number: int) -> int:
                if number % 7 == 3:
                    transaction.find_tickets([number - 1])  # which stores what another write has put
                    raise BadInput(f"early {number}")
                if (number - 1) % 11 == 5 and transaction.find_tickets([number - 1]):
                    raise BadInput("a write that failed can be seen")
                transaction.put_tickets([ticket(number)])
                transaction.put_records([user(number, f"{number}@example.com")])
                if number % 11 == 5:
                    raise BadInput(f"late {number}")
                return number

            async def write(number: int) -> str:
                try:
                    return str(await store.write(account, lambda transaction: work(transaction, number)))
                except BadInput as error:
                    return str(error)

            async def write_all(numbers: range) -> list[str]:
                return list(await asyncio.gather(*map(write, numbers)))

            def expected(number: int) -> str:
                return f"early {number}" if number % 7 == 3 else f"late {number}" if number % 11 == 5 else str(number)

            # The last of them fail early alone, so that no group of them runs a second time.
            numbers = range(1, 104)
            for part in (range(1, 82), range(82, 94), range(94, 104)):
                assert await write_all(part) == [expected(number) for number in part]
            good = [number for number in numbers if expected(number) == str(number)]
            assert (await store.read_state(account)).ticket_count == len(good)
            assert [row.id for row in await store.read_tickets(account, list(numbers))] == good
            assert [row.id for row in await store.read_records(account, "users", list(numbers))] == good
            clock.now += 1
            await store.close_newest(account)
            found = await self.positions(store, account)
            assert found == sorted(set(found))
            assert sorted(id for _, id in found) == good

        self.run(scenario)

    def test_concurrent_writes_are_serial(self) -> None:
        """Many writes at once each see the row as the one before left it."""

        async def scenario(store: Store, account: Account, clock: ManualClock) -> None:
            seen: list[int] = []

            def work(number: int) -> Callable[[WriteTransaction], None]:
                def run(transaction: WriteTransaction) -> None:
                    seen.append(transaction.state.ticket_count)
                    clock.now += (-1) ** number
                    transaction.put_tickets([ticket(number)])

                return run

            await asyncio.gather(*(store.write(account, work(number)) for number in range(1, 21)))
            assert seen == list(range(20))

        self.run(scenario)

    def test_clocks_of_accounts_that_were_moved(self) -> None:
        """A moved clock is stored; seconds, closing and expiries go by it where it is followed, and nowhere else.

        Whatever clocks do, no write carries an earlier second than the one before it, nor one that was closed.
        """

        async def scenario(store: Store, account: Account, clock: ManualClock) -> None:
            async def put(moved: MovedClock | None = None) -> tuple[int, int]:
                def work(write: WriteTransaction) -> tuple[int, int]:
                    write.put_tickets([ticket(1)])
                    if moved is not None:
                        write.put_clock(moved)
                        assert write.find_clock() == moved
                    return write.now, write.second

                return await store.write(account, work)

            bystander = await store.create_account("bystander")
            assert await store.read_clocks() == {}
            assert await put(MovedClock(1000)) == (NOON, NOON)
            assert await store.read_clocks() == {account.account_id: MovedClock(1000)}
            assert await put() == (NOON, NOON)  # not followed
            assert store.clocks.replace(await store.read_clocks())
            assert not store.clocks.replace(await store.read_clocks())
            assert await put() == (NOON + 1000, NOON + 1000)
            assert await store.write(bystander, lambda write: write.now) == NOON
            clock.now += 1
            store.clocks.replace({})
            assert not await store.close_newest(account)
            assert await put() == (NOON + 1, NOON + 1000)
            store.clocks.replace(await store.read_clocks())
            assert await store.close_newest(account)
            assert (await store.read_state(account)).watermark == NOON + 1000
            # back by a thousand seconds, and it stands
            assert await put(MovedClock(0, NOON + 5)) == (NOON + 1001, NOON + 1001)
            store.clocks.replace(await store.read_clocks())
            clock.now += 50
            assert await put() == (NOON + 5, NOON + 1001)
            # A fence is past what may have been given out by any clock, followed or not.
            assert (await store.fence(account, 5)).watermark == NOON + 1001
            await put(MovedClock(0, NOON + 5000))
            assert (await store.fence(account, 5)).watermark == NOON + 5005
            await store.create_account("later")
            assert await store.read_clocks() == {account.account_id: MovedClock(0, NOON + 5000)}
            await put(MovedClock())
            assert await store.read_clocks() == {}

        self.run(scenario)

    def test_a_fence_is_past_everything(self) -> None:
        """A fence raises the watermark past the row, the clock and its error, and the next write stands behind it."""

        async def scenario(store: Store, account: Account, clock: ManualClock) -> None:
            await store.write(account, putting([ticket(1)]))
            fenced = await store.fence(account, 5)
            assert fenced == await store.read_state(account) == FeedState(NOON, NOON + 5, 1, FENCED, FENCED)
            assert (await store.fence(account, 5)).watermark == fenced.watermark
            clock.now = NOON - 3600
            again = await store.fence(account, 0)
            assert again == FeedState(NOON, NOON + 5, 1, 3 * FENCED, 3 * FENCED)
            await store.write(account, putting([ticket(2)]))
            assert (await store.read_state(account)) == FeedState(
                NOON + 6, NOON + 5, 2, again.invalidations, again.record_changes
            )
            assert await self.positions(store, account) == [(NOON, 1)]
            assert (await store.fence(account, 0)).watermark == NOON + 6

        self.run(scenario)

    def test_fencing_all_accounts(self) -> None:
        """All accounts are fenced as each would be, those with a clock of their own by it; and those made later."""

        async def scenario(store: Store, account: Account, clock: ManualClock) -> None:
            ahead, behind = await store.create_account("ahead"), await store.create_account("behind")
            await store.write(ahead, lambda write: write.put_clock(MovedClock(1000)))
            await store.write(behind, lambda write: write.put_clock(MovedClock(-1000)))
            await store.write(account, putting([ticket(1)]))
            await store.write(account, lambda write: write.put_records([user(1)]))
            fenced = await store.fence_accounts(5)
            assert fenced == [(each, await store.read_state(each)) for each in (account, ahead, behind)]
            assert fenced[0][1] == FeedState(NOON, NOON + 5, 1, FENCED, FENCED + 1)
            assert fenced[1][1] == FeedState(0, NOON + 1005, 0, FENCED, FENCED)
            assert fenced[2][1] == FeedState(0, NOON + 5, 0, FENCED, FENCED)
            assert (await store.read_state(await store.create_account("later"))).watermark == NOON + 5
            for each, state in fenced:
                await store.write(each, lambda write: write.put_records([user(2)]))
                records, _ = await store.read_record_changes(each, "users", START, NOON * 2, 10)
                assert records.last_generated_timestamp == getattr(state, "watermark", 0) + 1
            clock.now = NOON - 3600
            again = await store.fence_accounts(0)
            assert [getattr(state, "watermark", 0) for _, state in again] == [NOON + 5, NOON + 1005, NOON + 5, NOON + 5]

        self.run(scenario)

    def test_a_fenced_account_keeps_no_seconds(self) -> None:
        """An account fenced while empty refuses kept seconds, and holds what is loaded behind its fence."""

        async def scenario(store: Store, account: Account, _clock: ManualClock) -> None:
            other = await store.create_account("other")
            assert await store.fence(account, 5) == FeedState(0, NOON + 5, 0, FENCED, FENCED)
            with pytest.raises(ValueError, match="never fenced"):
                await store.write(account, putting([ticket(1, 100)], keep=True))
            assert await store.read_state(account) == FeedState(0, NOON + 5, 0, FENCED, FENCED)
            await store.write(account, putting([ticket(1, 100)]))
            assert await store.read_state(account) == FeedState(NOON + 6, NOON + 5, 1, FENCED, FENCED)
            await store.write(other, putting([ticket(1, 100)], keep=True))
            assert await self.positions(store, other) == [(100, 1)]

        self.run(scenario)

    def test_a_load_never_lands_behind_a_fence(self) -> None:
        """A load chooses by itself: history stays history in a new account, and is a change now behind a fence."""

        async def scenario(store: Store, account: Account, clock: ManualClock) -> None:
            other = await store.create_account("other")
            await store.fence(account, 5)
            record = InputRecord(("f", 1), "tickets", b'{"id":1,"generated_timestamp":100}')
            for each in (account, other):
                await load_records(store, each, [record], now=clock.now)
            clock.now += 60
            await store.close_newest(account)
            assert await self.positions(store, account) == [(NOON + 6, 1)]
            assert await self.positions(store, other) == [(100, 1)]

        self.run(scenario)

    def test_a_snapshot_holds_everything(self) -> None:
        """A snapshot shows every row of every account as it is stored, in both orders, and finds nothing wrong."""

        async def scenario(store: Store, account: Account, _clock: ManualClock) -> None:
            other = await store.create_account("other")
            drafts = [ticket(2, 10, requester_id=7, group_id=3), ticket(1, 20, external_id="x", status="deleted")]
            await store.write(account, putting(drafts, keep=True))
            await store.write(account, lambda t: t.put_records([user(7, "A@example.com"), user(6)]))
            await store.write(account, lambda t: t.add_credential(7, "api_token", "h1"))
            await store.write(account, lambda t: t.add_credential(99, "password", "h2"))

            def work(snapshot: Snapshot) -> None:
                assert list(snapshot.accounts()) == [
                    (account, FeedState(20, 20, 2, record_changes=3)),
                    (other, FeedState()),
                ]
                assert list(snapshot.tickets(account)) == [
                    (10, 2, "new", None, None, pack_ids([7]), 3, *[None] * 6, drafts[0].body(10)),
                    (20, 1, "deleted", None, "x", b"", *[None] * 7, drafts[1].body(20)),
                ]
                assert list(snapshot.positions_by_id(account)) == [Position(20, 1), Position(10, 2)]
                assert snapshot.record_state(account) == FeedState(NOON)
                assert snapshot.record_state(other) == FeedState()
                records = [(row.kind, row.id, row.email) for row in snapshot.records(account)]
                assert records == [("users", 6, None), ("users", 7, "a@example.com")]
                assert list(snapshot.dangling_credentials(account)) == [(2, 99)]
                assert list(snapshot.tickets(other)) == list(snapshot.records(other)) == []
                assert list(snapshot.orphans()) == list(snapshot.self_check()) == []

            await store.inspect(work)

        self.run(scenario)

    def test_a_snapshot_is_of_one_instant(self) -> None:
        """What is written while a snapshot is looked at does not show in it, and writers need not wait."""

        async def scenario(store: Store, account: Account, _clock: ManualClock) -> None:
            await store.write(account, putting([ticket(1)]))
            started, written = threading.Event(), threading.Event()

            def work(snapshot: Snapshot) -> tuple[int, int]:
                (_, state), *_ = snapshot.accounts()
                started.set()
                assert written.wait(30)
                assert state is not None
                return state.ticket_count, len(list(snapshot.tickets(account)))

            looking = asyncio.create_task(store.inspect(work))
            await asyncio.to_thread(started.wait, 30)
            await store.write(account, putting([ticket(2)]))
            written.set()
            assert await looking == (1, 1)
            assert (await store.read_state(account)).ticket_count == 2

        self.run(scenario)

    def test_a_busy_store_checks_clean(self) -> None:
        """A store is sound at every instant: a check while writers go on finds nothing."""

        async def scenario(store: Store, account: Account, clock: ManualClock) -> None:
            async def write_on() -> None:
                for number in range(40):
                    clock.now += number % 3
                    await store.write(account, putting([ticket(number % 7 + 1), ticket(100 + number)]))

            async def check_on() -> None:
                for _ in range(5):
                    found: list[str] = []
                    summary = await store.inspect(lambda snapshot: check_store(snapshot, found.append))  # noqa: B023
                    assert (found, summary.findings.total()) == ([], 0)

            await asyncio.gather(write_on(), check_on())

        self.run(scenario)

    def test_invalidations(self) -> None:
        """A ticket that leaves a closed place is noted under the next number, and no other; the newest can be read."""

        async def scenario(store: Store, account: Account, clock: ManualClock) -> None:
            async def left(account: Account, since: int) -> tuple[int, list[Position]]:
                state, places = await store.read_invalidations(account, since)
                assert state == await store.read_state(account)
                return state.invalidations, places

            other = await store.create_account("other")
            await store.write(account, putting([ticket(1, 100), ticket(2, 200), ticket(3, 200)], keep=True))
            assert await left(account, 0) == (0, [])
            await store.write(account, putting([ticket(2), ticket(4)]))
            assert await left(account, 0) == (1, [(200, 2)])
            await store.write(account, putting([ticket(2), ticket(4)]))  # their place was open
            assert await left(account, 0) == (1, [(200, 2)])
            clock.now += 10
            await store.close_newest(account)
            await store.write(account, putting([ticket(4), ticket(3)]))
            newest, places = await left(account, 1)
            assert (newest, sorted(places)) == (3, [(200, 3), (NOON, 4)])
            assert await left(account, 3) == (3, [])
            assert await left(other, 0) == (0, [])
            assert (await store.read_state(account)).invalidations == 3
            await store.fence(account, 0)
            newest, places = await left(account, 3)
            assert newest > len(places) + 3

        self.run(scenario)

    def test_record_changes(self) -> None:
        """What pages show beside tickets, and who may come in, is counted when it is stored; nothing else is. A load of
        history stays possible behind it."""

        async def scenario(store: Store, account: Account, _clock: ManualClock) -> None:
            async def count() -> int:
                return (await store.read_state(account)).record_changes

            audit = parse_record("audits", b'{"id":5,"ticket_id":1,"events":[]}', account="acme", now=NOON)
            await store.write(account, lambda write: write.put_records([user(7), user(8)]))
            assert await count() == 1
            await store.write(account, putting([ticket(1, 100)], keep=True))
            await store.write(account, lambda write: write.put_records([audit]))
            await store.close_newest(account)
            assert await count() == 1
            credential = await store.write(account, lambda write: write.add_credential(7, "api_token", "abc"))
            assert await count() == 2
            await store.write(account, lambda write: write.revoke_credential(credential))
            assert await count() == 3
            assert (await store.read_invalidations(account, 0))[0] == await store.read_state(account)

        self.run(scenario)

    def test_many_invalidations_are_forgotten(self) -> None:
        """Of more than can be kept the newest are, and the numbers tell that some are missing."""

        async def scenario(store: Store, account: Account, _clock: ManualClock) -> None:
            await store.write(account, putting([ticket(id, 100 + id) for id in range(1, 8)], keep=True))
            with patch("ticketfeed.protocol.invalidations.INVALIDATIONS_MAX", 3):
                await store.write(account, putting([ticket(1), ticket(2)]))
                assert len((await store.read_invalidations(account, 0))[1]) == 2
                await store.write(account, putting([ticket(id) for id in range(3, 8)]))
            state, places = await store.read_invalidations(account, 0)
            assert (state.invalidations, places) == (7, [(105, 5), (106, 6), (107, 7)])
            assert (await store.read_invalidations(account, 4))[1] == places

        self.run(scenario)

    def test_an_account_made_after_a_fence(self) -> None:
        """An account made after a fence starts behind it: it may have been lost, and be made for the second time."""

        async def scenario(store: Store, account: Account, clock: ManualClock) -> None:
            await store.fence(account, 5)
            clock.now -= 100
            await store.fence(account, 5)
            late = await store.create_account("late")
            assert await store.read_state(late) == FeedState(0, NOON + 5, 0)
            with pytest.raises(ValueError, match="never fenced"):
                await store.write(late, putting([ticket(1, 100)], keep=True))
            await store.write(late, putting([ticket(1, 100)]))
            assert await store.read_state(late) == FeedState(NOON + 6, NOON + 5, 1)
            assert await store.create_account("late") == late
            assert await store.read_state(late) == FeedState(NOON + 6, NOON + 5, 1)

        self.run(scenario)
