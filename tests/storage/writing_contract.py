"""What a write finds and stores beside tickets, on every engine: bodies, ids, jobs, kept answers."""

import asyncio
from collections.abc import Callable

import pytest

from tests.storage.contract import ALL, NOON, START, ManualClock, StoreCase, ticket, user
from ticketfeed.protocol.errors import RecordInvalid
from ticketfeed.protocol.idempotency import IDEMPOTENCY_SECONDS, IdempotentAnswer
from ticketfeed.protocol.jobs import Job
from ticketfeed.protocol.model import INT64_MAX, NEW_ID_MAX, Account
from ticketfeed.protocol.records import parse_record
from ticketfeed.storage.contract import Store
from ticketfeed.storage.snapshot_contract import Snapshot
from ticketfeed.storage.write_contract import WriteTransaction
from ticketfeed.writing.clock_repair import ClockRepair, repair_clock

JOB = Job("V3-1", "destroy", 7, NOON, 2)


class WritingContract(StoreCase):
    """For test modules of backends: see StoreContract."""

    def test_a_write_finds(self) -> None:
        """Bodies as they stand in the transaction, what it has put itself included; ids behind all that were given."""

        async def scenario(store: Store, account: Account, _clock: ManualClock) -> None:
            other = await store.create_account("other")
            audit = parse_record("audits", b'{"id":5,"ticket_id":3,"events":[]}', account="acme", now=NOON)

            def work(write: WriteTransaction) -> None:
                assert write.now == NOON
                assert (write.next_id("tickets"), write.next_id("users")) == (1, 1)
                draft = ticket(3)
                write.put_tickets([draft])
                write.put_records([user(8, external_id="x"), user(7, external_id="x"), audit])
                assert write.find_tickets([3, 4]) == {3: draft.body(NOON)}
                assert sorted(write.find_records("users", [7, 8, 9])) == [7, 8]
                assert write.find_records("groups", [7]) == {}
                assert write.find_of_ticket("audits", 3) == [audit.body]
                assert write.find_of_ticket("audits", 4) == []
                assert write.find_external("users", "x") == write.find_records("users", [7])[7]
                assert write.find_external("users", "y") is None
                write.put_records([user(7, external_id="x", email="a@example.com", active=False)])
                assert write.find_external("users", "x") == write.find_records("users", [8])[8]
                assert write.find_user("a@example.com") == write.find_records("users", [7])[7]
                write.put_records([user(9, email="a@example.com")])
                assert write.find_user("a@example.com") == write.find_records("users", [9])[9]
                assert write.find_external("organizations", "x") is None
                assert (write.next_id("tickets"), write.next_id("users"), write.next_id("groups")) == (4, 10, 1)

            await store.write(account, work)
            await store.write(other, lambda write: self.assert_empty(write))

        self.run(scenario)

    def test_what_writes_at_once_find(self) -> None:
        """Each finds what those before it have put, and nothing of one that failed: ids, tickets, records, answers."""

        async def scenario(store: Store, account: Account, clock: ManualClock) -> None:
            def work(write: WriteTransaction, name: str) -> tuple[object, ...]:
                # Returned, as a work that raises may be done again alone.
                before = write.find_records("users", [7])
                number, audit = write.next_id("tickets"), write.next_id("audits")
                found = (
                    sorted(write.find_tickets([number - 1, number])),
                    len(write.find_of_ticket("audits", number - 1)),
                )
                if number > 1:
                    write.put_tickets([ticket(number - 1, subject=f"again, by {name}")])
                write.put_tickets([ticket(number, subject=name)])
                body = b'{"id":%d,"ticket_id":%d,"events":[]}' % (audit, number)
                write.put_records([parse_record("audits", body, account="acme", now=NOON), user(7, name=name)])
                if name.startswith("bad"):
                    raise RecordInvalid(name=(name, "InvalidValue"))
                after = write.find_records("users", [7, 8])
                write.delete_expired()
                return number, audit, before, *found, after

            await store.write(account, lambda write: write.put_records([user(7, name="nobody")]))
            names = [f"bad {number}" if number in (13, 22) else f"good {number}" for number in range(30)]
            ended: list[object] = []
            for part in (names[:9], names[9:]):  # none of the first is bad
                writing = (store.write(account, lambda write, name=name: work(write, name)) for name in part)  # type: ignore[misc]
                ended += await asyncio.gather(*writing, return_exceptions=True)
            good = [name for name in names if name.startswith("good")]
            assert [isinstance(each, RecordInvalid) for each in ended] == [name not in good for name in names]
            bodies = [{7: user(7, name=name).body} for name in ("nobody", *good)]
            assert [each for each in ended if isinstance(each, tuple)] == [
                (
                    number,
                    number,
                    bodies[number - 1],
                    [number - 1] if number > 1 else [],
                    int(number > 1),
                    bodies[number],
                )
                for number in range(1, len(good) + 1)
            ]
            state = await store.read_state(account)
            assert (state.ticket_count, state.invalidations) == (len(good), 0)
            clock.now += 1
            await store.close_newest(account)
            again = (store.write(account, lambda write, id=id: write.put_tickets([ticket(id)])) for id in (1, 2, 1, 3))  # type: ignore[misc]
            await asyncio.gather(*again)
            _, left = await store.read_invalidations(account, 0)
            assert {position.id for position in left} == {1, 2, 3}

        self.run(scenario)

    def test_an_account_is_brought_back_from_the_future(self) -> None:
        """Once it is, all that carries a second of the future carries one after the new watermark; the earliest second
        that it was brought back to is remembered."""

        async def scenario(store: Store, account: Account, clock: ManualClock) -> None:
            def put(*ids: int) -> Callable[[WriteTransaction], int]:
                return lambda write: write.put_tickets(map(ticket, ids)) + write.put_records(map(user, ids))

            await store.write(account, put(1, 2))
            assert await store.write(account, lambda write: write.rewind(5)) is None
            for records in (0, 2):  # until somebody reads records, they keep their own seconds
                clock.now += 86400
                await store.write(account, put(2, 3))
                clock.now += 2
                assert await store.close_newest(account)
                clock.now -= 86400
                repair = await store.write(account, lambda write: repair_clock(write, 5))
                assert repair == ClockRepair(2, records, clock.now + 86398, clock.now + 5)
                state = await store.read_state(account)
                assert (state.watermark, state.last_generated_timestamp) == (clock.now + 5, clock.now + 6)
                assert state.ticket_count == 3
                assert await store.read_rewound_at(account) == NOON + 7
                clock.now += 20
                assert await store.close_newest(account)
                _, rows = await store.read_changes(account, START, clock.now, 10, ALL, links=False)
                assert [row.id for row in rows] == [1, 2, 3]
                _, rows = await store.read_record_changes(account, "users", START, clock.now, 10)
                assert [row.id for row in rows] == [1, 2, 3]

        self.run(scenario)

    def test_ids_go_on_below_one_near_the_end(self) -> None:
        """A record whose id is near the end of 64 bits does not count for new ids, and a snapshot names it."""

        async def scenario(store: Store, account: Account, _clock: ManualClock) -> None:
            def work(write: WriteTransaction) -> None:
                write.put_tickets([ticket(3), ticket(INT64_MAX), ticket(NEW_ID_MAX)])
                write.put_records([user(4), user(INT64_MAX), user(NEW_ID_MAX + 1)])
                assert (write.next_id("tickets"), write.next_id("users")) == (NEW_ID_MAX + 1, 5)

            await store.write(account, work)

            def look(snapshot: Snapshot) -> None:
                assert list(snapshot.ids_after(account, "tickets", NEW_ID_MAX)) == [INT64_MAX]
                assert list(snapshot.ids_after(account, "users", NEW_ID_MAX)) == [NEW_ID_MAX + 1, INT64_MAX]
                assert list(snapshot.ids_after(account, "groups", 0)) == []

            await store.inspect(look)

        self.run(scenario)

    @staticmethod
    def assert_empty(write: WriteTransaction) -> None:
        assert (write.find_tickets([3]), write.find_records("users", [7]), write.next_id("tickets")) == ({}, {}, 1)

    def test_an_error_of_the_wire_undoes_the_write(self) -> None:
        """It comes out as it is, and nothing was stored."""

        async def scenario(store: Store, account: Account, _clock: ManualClock) -> None:
            def work(write: WriteTransaction) -> None:
                write.put_tickets([ticket(3)])
                write.add_job(JOB, [b"{}"])
                raise RecordInvalid(status=("closed prevents ticket update", "InvalidValue"))

            with pytest.raises(RecordInvalid):
                await store.write(account, work)
            assert await store.list_open_jobs(account) == []
            await store.write(account, self.assert_empty)

        self.run(scenario)

    def test_jobs(self) -> None:
        """A job gives its items in order, each until it has a result; it is open until it is finished."""

        async def scenario(store: Store, account: Account, clock: ManualClock) -> None:
            other = await store.create_account("other")
            await store.write(account, lambda write: write.add_job(JOB, [b"1", b"2"]))
            assert await store.write(other, lambda write: write.next_item("V3-1")) is None
            assert await store.list_open_jobs(account) == ["V3-1"]
            assert await store.list_open_jobs(other) == []
            assert await store.read_jobs(account, ["V3-1", "V3-2"]) == [(JOB, [])]
            assert await store.write(account, lambda write: write.next_item("V3-1")) == (JOB, 0, b"1")
            await store.write(account, lambda write: write.put_result("V3-1", 0, b"one"))
            assert await store.write(account, lambda write: write.next_item("V3-1")) == (JOB, 1, b"2")
            assert await store.read_jobs(account) == [(JOB, [b"one"])]
            await store.write(account, lambda write: write.put_result("V3-1", 1, b"two"))
            assert await store.write(account, lambda write: write.next_item("V3-1")) is None
            clock.now += 3
            await store.write(account, lambda write: write.finish_job("V3-1"))
            (job, results), *more = await store.read_jobs(account, ["V3-1"])
            assert (job.finished_at, results, more) == (NOON + 3, [b"one", b"two"], [])
            assert await store.list_open_jobs(account) == []
            await store.write(account, lambda write: write.add_job(Job("V3-0", "x", 7, NOON + 3, 0), []))
            assert [job.id for job, _ in await store.read_jobs(account)] == ["V3-0", "V3-1"]

        self.run(scenario)

    def test_idempotent_answers(self) -> None:
        """An answer is found under its key until it is too old, and only in its account."""

        async def scenario(store: Store, account: Account, clock: ManualClock) -> None:
            other = await store.create_account("other")
            answer = IdempotentAnswer("f", NOON, 201, None, b"body")
            await store.write(account, lambda write: write.put_idempotent_answer("k", answer))
            assert await store.write(account, lambda write: write.find_idempotent_answer("k")) == answer
            assert await store.write(account, lambda write: write.find_idempotent_answer("l")) is None
            assert await store.write(other, lambda write: write.find_idempotent_answer("k")) is None
            clock.now += IDEMPOTENCY_SECONDS
            assert await store.write(account, lambda write: write.find_idempotent_answer("k")) is None
            later = IdempotentAnswer("g", clock.now, 201, "/here", b"other")
            await store.write(account, lambda write: write.put_idempotent_answer("k", later))
            assert await store.write(account, lambda write: write.find_idempotent_answer("k")) == later

        self.run(scenario)
