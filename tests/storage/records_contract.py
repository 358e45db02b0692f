"""The Store contract for records and lists: their own feed, their parts by id and by ticket, what is counted."""

from collections.abc import Callable
from functools import partial
from unittest.mock import patch

import msgspec
import pytest

from tests.storage.contract import NOON, PAGE_BYTES, START, ManualClock, StoreCase, putting, ticket, user
from ticketfeed.protocol import paging
from ticketfeed.protocol.errors import BadInput
from ticketfeed.protocol.model import Account, FeedState, Owner, Position, Slice, TicketList
from ticketfeed.protocol.records import RecordDraft, make_lookup_key, parse_record
from ticketfeed.storage.batches import all_rows, list_batches, read_batches
from ticketfeed.storage.contract import Store
from ticketfeed.storage.write_contract import WriteTransaction

HOUR = "2023-11-14T20:00:00Z"
HOUR_SECOND = 1_699_992_000


def record(kind: str, **values: object) -> RecordDraft:
    return parse_record(kind, msgspec.json.encode(values), account="acme", now=NOON)


def audit(id: int, ticket_id: int, comments: int = 1, **values: object) -> RecordDraft:
    return record("audits", id=id, ticket_id=ticket_id, events=[{"type": "Comment"}] * comments, **values)


def storing(*drafts: RecordDraft) -> Callable[[WriteTransaction], int]:
    return lambda transaction: transaction.put_records(drafts)


async def changes(store: Store, account: Account, kind: str, after: Position = START) -> list[tuple[int, int]]:
    _, rows = await store.read_record_changes(account, kind, after, NOON * 2, 100)
    return [(row[0], row[1]) for row in rows]


class RecordsContract(StoreCase):
    """What every Store does with records and lists."""

    def test_reads_by_id_and_of_lists_stop_at_the_bytes_of_a_page(self) -> None:
        """A read of large rows returns one more than a page at the most, and in batches all of them are read."""

        async def scenario(store: Store, account: Account, _clock: ManualClock) -> None:
            text, every = "x" * (PAGE_BYTES // 3), [*range(1, 10)]
            large = [ticket(id, NOON - id // 3, description=text) for id in every]
            await store.write(account, putting([*large, ticket(10, NOON)], keep=True))
            owned = [record("audits", id=id, ticket_id=1, metadata={"text": text}) for id in every]
            await store.write(account, storing(*owned, record("audits", id=10, ticket_id=1)))
            by_id = {
                "tickets": partial(store.read_tickets, account),
                "audits": partial(store.read_records, account, "audits"),
            }
            for read in by_id.values():
                assert [row.id for row in await read([*every, 10, 99])] == [1, 2, 3, 4]
                batches = [[row.id for row in batch] async for batch in read_batches(read, [99, *every, 3, 10])]
                assert batches == [[1, 2, 3], *([id] for id in range(4, 11))]
            lists = [
                partial(store.list_records, account, "audits"),
                partial(store.list_records, account, "audits", owner=Owner("ticket_id", 1)),
            ]
            for read_list in lists:
                assert [row.id for row in await read_list(Slice(100))] == [1, 2, 3, 4]
                assert [row.id for row in await read_list(Slice(100, descending=True, offset=1))] == [9, 8, 7, 6]
                for limit in (5, 6, 100):
                    found = await all_rows(list_batches(read_list, Slice(limit, offset=2)))
                    assert [row.id for row in found] == [*range(3, 11)][:limit]
            by_time = Slice(100, "updated_at", descending=True)
            for tickets in (TicketList(), TicketList(start_time=1)):
                assert [row.id for row in await store.list_tickets(account, tickets, Slice(100))] == [1, 2, 3, 4]
                rows = await store.list_tickets(account, tickets, Slice(100, offset=1), bodies=False)
                assert [(row.id, bytes(row.body)) for row in rows] == [(id, b"") for id in range(2, 11)]
                newest = await store.list_tickets(account, tickets, by_time, bodies=False)
                assert [row.id for row in newest] == [10, 2, 1, 5, 4, 3, 8, 7, 6, 9]

        with patch.object(paging, "PAGE_BYTES_MAX", PAGE_BYTES):
            self.run(scenario)

    def test_records_of_an_owner(self) -> None:
        """Records are listed and found by their user or organization, deleted ones apart from the others."""

        async def scenario(store: Store, account: Account, _clock: ManualClock) -> None:
            def membership(id: int, user_id: int, **values: object) -> RecordDraft:
                return record("organization_memberships", id=id, user_id=user_id, organization_id=7, **values)

            await store.write(account, storing(membership(2, 5), membership(3, 6), membership(4, 5, deleted=True)))
            await store.write(account, storing(user(5, organization_id=7), user(6), user(8, organization_id=7)))
            await store.write(account, storing(user(9, organization_id=7, active=False)))
            kind, of_user = "organization_memberships", Owner("user_id", 5)
            assert [row.id for row in await store.list_records(account, kind, Slice(9), of_user)] == [2]
            assert await store.count_records(account, kind, of_user) == 1
            assert await store.count_records(account, kind, Owner("organization_id", 7)) == 2
            rows = await store.list_records(account, kind, Slice(9), of_user, deleted=True)
            assert [row.id for row in rows] == [4]
            assert await store.count_records(account, "users", deleted=True) == 1
            assert await store.count_records(account, "users", Owner("organization_id", 7)) == 2

            def found(write: WriteTransaction) -> list[int]:
                write.put_records([membership(5, 5)])
                bodies = [
                    *write.find_of_user(kind, 5),
                    *write.find_users_without_membership(4, 9),
                    *write.find_users_without_membership(8, 9),
                    *write.find_repeated_memberships(9),
                    *write.find_of_organization("users", 7),
                    *write.find_of_organization(kind, 6),
                ]
                return [msgspec.json.decode(body)["id"] for body in bodies]

            assert await store.write(account, found) == [2, 5, 8, 5, 5, 8]

        self.run(scenario)

    def test_records_by_key(self) -> None:
        """Organizations are found by name, identities by value, in any case, and metric sets by their own id."""

        async def scenario(store: Store, account: Account, _clock: ManualClock) -> None:
            names = [(1, " Äpfel "), (2, "äPFEL"), (3, "x" * 700), (4, "with\0nul"), (5, "Other")]
            drafts = [record("organizations", id=id, name=name) for id, name in names]
            gone = record("organizations", id=6, name="äpfel", deleted_at="2024-01-01T00:00:00Z")
            address = record("identities", id=7, user_id=1, type="email", value="A@Example.com")
            metric_set = record("ticket_metrics", id=900, ticket_id=5)
            await store.write(account, storing(*drafts, gone, address, metric_set))
            for kind, text, ids in (
                ("organizations", "ÄPFEL", [1, 2]),
                ("organizations", "other ", [5]),
                ("organizations", "x" * 700, []),
                ("organizations", "with\0nul", [4]),
                ("identities", "a@example.com", [7]),
                ("users", "a@example.com", []),
                ("ticket_metrics", "900", [5]),
            ):
                keys = [make_lookup_key(text)]
                assert [row.id for row in await store.read_by_key(account, kind, keys)] == ids
                bodies = await store.write(account, lambda write: write.find_by_key(kind, keys))  # noqa: B023
                assert len(bodies) == len(ids)
            assert await store.read_by_key(account, "organizations", ["none", "other"])
            await store.write(account, storing(record("organizations", id=5, name="New")))
            assert await store.read_by_key(account, "organizations", ["other"]) == []

        self.run(scenario)

    def test_conditions_on_values(self) -> None:
        """Tickets are listed by their problem and by what they have in the search index, in every order."""

        async def scenario(store: Store, account: Account, _clock: ManualClock) -> None:
            await store.write(
                account,
                putting(
                    [
                        ticket(1, requester_id=5, assignee_id=6, organization_id=7, type="problem", email_cc_ids=[5]),
                        ticket(2, requester_id=51, assignee_id=5, problem_id=1, collaborator_ids=[5, 6]),
                        ticket(3, requester_id=5, status="deleted"),
                    ]
                ),
            )
            cases = [
                (TicketList(problem_id=1), [2]),
                (TicketList(term="organization=7"), [1]),
                (TicketList(term="cc=5"), [1, 2]),
                (TicketList(term="requester=5"), [1]),
                (TicketList(term="assignee=5"), [2]),
                (TicketList(term="ticket_type=problem"), [1]),
                (TicketList(term="requester=5", support_type_scope="ai_agent"), []),
            ]
            for tickets, expected in cases:
                for order in ("id", "updated_at", "status"):
                    rows = await store.list_tickets(account, tickets, Slice(9, order))
                    assert sorted(row.id for row in rows) == expected
                assert await store.count_tickets(account, tickets) == len(expected)

        self.run(scenario)

    def test_records_keep_their_times_until_somebody_reads(self) -> None:
        """Whatever was loaded before the first reader keeps its own second; nothing is given out before it closes."""

        async def scenario(store: Store, account: Account, _clock: ManualClock) -> None:
            await store.write(account, storing(user(1), user(2, updated_at=HOUR)))
            await store.write(account, storing(audit(9, 5, created_at=HOUR), user(3, updated_at=HOUR)))
            assert await changes(store, account, "users") == []
            assert await store.close_newest(account)
            assert await changes(store, account, "users") == [(HOUR_SECOND, 2), (HOUR_SECOND, 3)]
            assert not await store.close_newest(account)  # user 1 carries the second that is not over

        self.run(scenario)

    def test_the_feed_of_records(self) -> None:
        """Once closed, records come by second and id, each kind by itself, behind a position, up to a limit."""

        async def scenario(store: Store, account: Account, clock: ManualClock) -> None:
            await store.write(account, storing(user(2, updated_at=HOUR), user(1), user(3, updated_at=HOUR)))
            clock.now += 1
            assert await store.close_newest(account)
            expected = [(HOUR_SECOND, 2), (HOUR_SECOND, 3), (NOON, 1)]
            assert await changes(store, account, "users") == expected
            assert await changes(store, account, "users", Position(*expected[0])) == expected[1:]
            assert await changes(store, account, "groups") == []
            state, rows = await store.read_record_changes(account, "users", START, HOUR_SECOND, 1)
            assert (state, [tuple(row[:2]) for row in rows]) == (FeedState(NOON, NOON), expected[:1])
            assert msgspec.json.decode(rows[0][2])["id"] == 2
            assert await store.read_state(account) == FeedState(record_changes=1)

        self.run(scenario)

    def test_after_the_first_reader_records_are_changes_now(self) -> None:
        """Once records were given out, one that is put carries the second of its write, whatever time it tells,
        and never one that is closed."""

        async def scenario(store: Store, account: Account, clock: ManualClock) -> None:
            await store.write(account, storing(user(1, updated_at=HOUR)))
            assert await store.close_newest(account)
            assert await changes(store, account, "users") == [(HOUR_SECOND, 1)]
            for now in (NOON, NOON - 3600):
                clock.now = now
                await store.write(account, storing(user(2, updated_at=HOUR)))
            clock.now = NOON + 1
            assert await store.close_newest(account)
            assert await changes(store, account, "users") == [(HOUR_SECOND, 1), (NOON, 2)]
            clock.now = NOON - 3600
            await store.write(account, storing(user(1)))
            clock.now = NOON + 2
            assert await store.close_newest(account)
            assert await changes(store, account, "users", Position(NOON, 2)) == [(NOON + 1, 1)]

        self.run(scenario)

    def test_a_fence_is_for_records_too(self) -> None:
        """After a fence no record carries a second that may have been given out."""

        async def scenario(store: Store, account: Account, clock: ManualClock) -> None:
            await store.write(account, storing(user(1, updated_at=HOUR)))
            await store.fence(account, 5)
            await store.write(account, storing(user(2, updated_at=HOUR)))
            clock.now += 7
            assert await store.close_newest(account)
            assert await changes(store, account, "users") == [(HOUR_SECOND, 1), (NOON + 6, 2)]

        self.run(scenario)

    def test_records_of_an_account_made_after_a_fence(self) -> None:
        """An account made after a fence has its records behind it, too."""

        async def scenario(store: Store, account: Account, clock: ManualClock) -> None:
            await store.fence(account, 5)
            late = await store.create_account("late")
            await store.write(late, storing(user(1, updated_at=HOUR)))
            clock.now += 7
            assert await store.close_newest(late)
            assert await changes(store, late, "users") == [(NOON + 6, 1)]

        self.run(scenario)

    def test_a_failed_write_leaves_the_records_feed(self) -> None:
        """When the work raises, neither records nor the state of their feed change."""

        async def scenario(store: Store, account: Account, clock: ManualClock) -> None:
            def work(transaction: WriteTransaction) -> None:
                transaction.put_records([user(1)])
                raise BadInput("no")

            with pytest.raises(BadInput):
                await store.write(account, work)
            clock.now += 5
            assert not await store.close_newest(account)
            assert await store.read_records(account, "users", [1]) == []

        self.run(scenario)

    def test_what_belongs_to_tickets(self) -> None:
        """Audits and metric events are found by their tickets, in order; comments are counted."""

        async def scenario(store: Store, account: Account, _clock: ManualClock) -> None:
            await store.write(account, storing(audit(4, 2), audit(3, 2, 2), audit(1, 7, 0), user(1)))
            rows = await store.read_of_tickets(account, "audits", [7, 2, 99])
            assert [tuple(row[:2]) for row in rows] == [(2, 3), (2, 4), (7, 1)]
            assert await store.count_comments(account, [2, 7, 99]) == {2: 3, 7: 0}
            assert await store.count_comments(account, []) == {}
            part = await store.list_records(account, "audits", Slice(10), Owner("ticket_id", 2))
            assert [row[1] for row in part] == [3, 4]
            assert await store.count_records(account, "audits", Owner("ticket_id", 2)) == 2
            assert await store.count_records(account, "audits") == 3
            await store.write(account, storing(audit(4, 7)))
            assert await store.count_comments(account, [2, 7]) == {2: 2, 7: 1}

        self.run(scenario)

    def test_incidents_are_counted(self) -> None:
        """A problem's incidents are the tickets that point to it, deleted ones aside."""

        async def scenario(store: Store, account: Account, _clock: ManualClock) -> None:
            drafts = [ticket(1), ticket(2, problem_id=1), ticket(3, problem_id=1), ticket(4, problem_id=9)]
            await store.write(account, putting([*drafts, ticket(5, problem_id=1, status="deleted")]))
            assert await store.count_incidents(account, [1, 2, 9]) == {1: 2, 9: 1}

        self.run(scenario)

    @pytest.mark.parametrize("descending", [False, True])
    def test_lists_of_records(self, descending: bool) -> None:
        """A list goes by id in both directions, from a place or an offset, and says the same in parts as whole."""

        async def scenario(store: Store, account: Account, _clock: ManualClock) -> None:
            await store.write(account, storing(*(user(id) for id in (5, 3, 9, 1, 7))))
            ids = [9, 7, 5, 3, 1] if descending else [1, 3, 5, 7, 9]
            assert await store.count_records(account, "users") == 5
            for size in (1, 2, 5, 9):
                got: list[int] = []
                while True:
                    after = (got[-1], got[-1]) if got else None
                    rows = await store.list_records(account, "users", Slice(size, "id", descending, after))
                    got += [row[1] for row in rows]
                    if len(rows) < size:
                        break
                assert got == ids
                rows = await store.list_records(account, "users", Slice(size, descending=descending, offset=2))
                assert [row[1] for row in rows] == ids[2 : 2 + size]

        self.run(scenario)

    def test_lists_with_deleted_records(self) -> None:
        """A list, its count and a read by external_id have deleted records only where they are asked for."""

        async def scenario(store: Store, account: Account, _clock: ManualClock) -> None:
            names = [(1, "a", True), (2, "b", False), (3, "a", True), (4, None, False)]
            await store.write(
                account, storing(*(user(id, external_id=name, active=active) for id, name, active in names))
            )
            for deleted, ids in ((False, [1, 3]), (True, [2, 4]), (None, [1, 2, 3, 4])):
                rows = await store.list_records(account, "users", Slice(9), deleted=deleted)
                assert [row.id for row in rows] == ids
                assert await store.count_records(account, "users", deleted=deleted) == len(ids)
            for external_ids, ids in ((["a", "none"], [1, 3]), (["b"], []), ([], [])):
                assert [row.id for row in await store.read_external(account, "users", external_ids)] == ids
            assert await store.read_external(account, "organizations", ["a"]) == []

        self.run(scenario)

    @pytest.mark.parametrize("descending", [False, True])
    @pytest.mark.parametrize("order", ["id", "updated_at", "status"])
    def test_lists_of_tickets(self, order: str, descending: bool) -> None:
        """Tickets are listed by id, by when they changed, or by status, and walked in parts without loss."""

        async def scenario(store: Store, account: Account, _clock: ManualClock) -> None:
            statuses = ("new", "open", "pending", "solved", "deleted")
            drafts = [ticket(id, 100 + id * 7 % 5, status=statuses[id % 5]) for id in range(1, 21)]
            await store.write(account, putting(drafts, keep=True))
            keys = {
                "id": lambda d: d.id,
                "updated_at": lambda d: d.generated_timestamp,
                "status": lambda d: d.row.status,
            }
            listed = [draft for draft in drafts if draft.row.status != "deleted"]
            expected = sorted(((keys[order](d), d.id) for d in listed), reverse=descending)
            got: list[tuple[object, int]] = []
            while True:
                part = Slice(3, order, descending, got[-1] if got else None)  # type: ignore[arg-type]
                rows = await store.list_tickets(account, TicketList(), part)
                got += [(row[0], row[1]) for row in rows]
                if len(rows) < 3:
                    break
            assert got == expected
            assert await store.count_tickets(account, TicketList()) == 16
            assert await store.count_tickets(account, TicketList(deleted=True)) == 4

        self.run(scenario)

    def test_conditions_of_a_list(self) -> None:
        """A list can be of one external id, of one support type, of deleted tickets, since a time, or without those
        that have been closed for long."""

        async def scenario(store: Store, account: Account, _clock: ManualClock) -> None:
            drafts = [
                ticket(1, 10, external_id="x"),
                ticket(2, 20, external_id="x", support_type="ai_agent"),
                ticket(3, 30, external_id="y", support_type="agent"),
                ticket(4, 40, external_id="x", status="deleted"),
                ticket(5, 50, external_id="z", status="closed", support_type="agent"),
            ]
            await store.write(account, putting(drafts, keep=True))
            cases: list[tuple[TicketList, list[int]]] = [
                (TicketList(), [1, 2, 3, 5]),
                (TicketList(external_id="x"), [1, 2]),
                (TicketList(external_id="' OR 1"), []),
                (TicketList(support_type_scope="agent"), [1, 3, 5]),
                (TicketList(support_type_scope="ai_agent"), [2]),
                (TicketList(start_time=20), [2, 3, 5]),
                (TicketList(archived_at=49), [1, 2, 3, 5]),
                (TicketList(archived_at=50), [1, 2, 3]),
                (TicketList(deleted=True), [4]),
                (TicketList(external_id="x", start_time=20, support_type_scope="ai_agent"), [2]),
            ]
            for tickets, expected in cases:
                rows = await store.list_tickets(account, tickets, Slice(10))
                assert [row[1] for row in rows] == expected
                assert await store.count_tickets(account, tickets) == len(expected)

        self.run(scenario)

    def test_records_of_accounts_are_apart(self) -> None:
        """Lists, counts and feeds of one account know nothing of another, though the ids are the same."""

        async def scenario(store: Store, account: Account, clock: ManualClock) -> None:
            other = await store.create_account("other")
            await store.write(account, storing(user(1), audit(2, 1)))
            await store.write(account, putting([ticket(1, problem_id=1)]))
            clock.now += 5
            await store.close_newest(account)
            assert await changes(store, other, "users") == []
            assert await store.read_tickets(other, [1]) == []
            assert await store.list_tickets(other, TicketList(), Slice(10)) == []
            assert await store.list_records(other, "users", Slice(10)) == []
            assert await store.read_of_tickets(other, "audits", [1]) == []
            assert await store.count_comments(other, [1]) == await store.count_incidents(other, [1]) == {}
            assert await store.count_records(other, "users") == 0

        self.run(scenario)

    def test_the_stamp_changes_with_the_store(self) -> None:
        """Where there is a stamp, it is the same until something is committed."""

        async def scenario(store: Store, account: Account, clock: ManualClock) -> None:
            if store.change_counter() is None:
                return
            seen = [store.change_counter()]
            assert store.change_counter() == seen[-1]
            for work in (storing(user(1)), lambda t: t.add_credential(1, "api_token", "h"), putting([ticket(1)])):
                await store.write(account, work)
                seen.append(store.change_counter())
            clock.now += 1
            assert await store.close_newest(account)
            seen.append(store.change_counter())
            await store.fence(account, 0)
            seen.append(store.change_counter())
            await store.create_account("other")
            seen.append(store.change_counter())
            assert len(set(seen)) == len(seen)

        self.run(scenario)
