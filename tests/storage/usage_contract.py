"""The Store contract for what is noted of requests, and for what is counted for those who look."""

from collections.abc import Callable
from typing import Any

import msgspec

from tests.storage.contract import NOON, ManualClock, StoreCase, putting, ticket, user
from ticketfeed.protocol.consumers import (
    ANONYMOUS_REQUESTS_KEPT,
    REQUESTS_KEPT,
    Consumer,
    Event,
    RequestRecord,
    Served,
    UsageUpdate,
    merge_usage,
)
from ticketfeed.protocol.model import Account, Filters, Position
from ticketfeed.storage.contract import Store
from ticketfeed.storage.sidecar_contract import LOGINS_MAX
from ticketfeed.storage.snapshot_contract import Snapshot

ALL = Filters(support_type_scope="all")
END = Position(NOON * 2, 0)


def noted(at: float = NOON, agent: str = "tap") -> UsageUpdate:
    who: dict[str, Any] = {"credential_id": 1, "user_id": 2, "email": "é@example.com", "export": "tickets/cursor"}
    served = Served("tickets/cursor", "tickets", Position(0, -1), Position(10, 1), 3, False)
    return UsageUpdate(Consumer(**who, user_agent=agent, first_at=at, last_at=at), [Event(at, served, 1000)])


def request(number: int) -> RequestRecord:
    return RequestRecord(
        at=NOON + number,
        request_id=str(number),
        method="GET",
        path="/api/v2/incremental/tickets/cursor",
        query={"cursor": "abc"},
        status=200,
        ms=1.5,
        bytes=2000,
        client="127.0.0.1",
        user_agent="tap",
        email="a@example.com",
    )


class UsageContract(StoreCase):
    """What every Store does with notes."""

    def test_refused_consumers_and_strangers(self) -> None:
        """A consumer that received nothing is stored only if it is known; strangers push out no requests of others."""

        def refused(agent: str) -> UsageUpdate:
            return UsageUpdate(noted(agent=agent).consumer, [Event(NOON, error="403 RoleTooLow")])

        async def scenario(store: Store, account: Account, _clock: ManualClock) -> None:
            await store.record_usage(account, {"a": noted(), "b": refused("b")}, [], NOON)
            await store.record_usage(account, {"c": refused("c")}, [], NOON)
            await store.record_usage(account, {"a": refused("tap"), "c": refused("c")}, [], NOON)
            (found,) = await store.read_consumers(account)
            assert (found.pages, found.errors, found.last_error) == (1, 1, "403 RoleTooLow")
            known = [request(number) for number in range(3)]
            strangers = [msgspec.structs.replace(request(number), is_anonymous=True) for number in range(3, 500)]
            await store.record_usage(account, {}, known, NOON)
            await store.record_usage(account, {}, strangers, NOON)
            expected = [*reversed(strangers[-ANONYMOUS_REQUESTS_KEPT:]), *reversed(known)]
            assert await store.read_requests(account) == expected

        self.run(scenario)

    def test_logins(self) -> None:
        """A login lasts until its end, or until it is ended; each account has its own; the oldest of too many end."""

        async def scenario(store: Store, account: Account, _clock: ManualClock) -> None:
            other = await store.create_account("other")
            assert not await store.has_login(account, "a", NOON)
            await store.end_login(account, "a")
            await store.add_login(account, "a", NOON, NOON + 10)
            await store.add_login(account, "b", NOON, NOON + 20)
            await store.add_login(other, "a", NOON, NOON + 30)
            found = [await store.has_login(account, "a", now) for now in (NOON, NOON + 9, NOON + 10)]
            assert found == [True, True, False]
            await store.end_login(account, "b")
            await store.end_login(account, "b")
            assert [await store.has_login(account, "b", NOON), await store.has_login(other, "a", NOON)] == [False, True]
            for number in range(LOGINS_MAX + 1):
                await store.add_login(other, f"n{number}", NOON, NOON + 100 + number)
            found = [await store.has_login(other, token_hash, NOON) for token_hash in ("a", "n0", "n1", "n1000")]
            assert found == [False, False, True, True]
            assert await store.has_login(account, "a", NOON)

        self.run(scenario)

    def test_consumers_are_merged(self) -> None:
        """What is passed on twice counts twice; each account has its own; the last seen comes first."""

        async def scenario(store: Store, account: Account, _clock: ManualClock) -> None:
            other = await store.create_account("other")
            assert await store.read_consumers(account) == []
            await store.record_usage(account, {"a": noted()}, [], NOON)
            first = merge_usage(None, noted())
            assert await store.read_consumers(account) == [first]
            await store.record_usage(account, {"a": noted(NOON + 5), "b": noted(NOON + 1, "b")}, [], NOON)
            both = [merge_usage(first, noted(NOON + 5)), merge_usage(None, noted(NOON + 1, "b"))]
            assert (both[0].pages, both[0].repeats, both[0].last_at) == (2, 1, NOON + 5)
            assert await store.read_consumers(account) == both
            assert await store.read_consumers(other) == []

        self.run(scenario)

    def test_old_consumers_are_forgotten(self) -> None:
        """One that was not seen for a month is gone when the next is noted."""

        async def scenario(store: Store, account: Account, _clock: ManualClock) -> None:
            await store.record_usage(account, {"a": noted()}, [], NOON)
            later = NOON + 31 * 86400
            await store.record_usage(account, {"b": noted(later, "b")}, [], later)
            assert [found.user_agent for found in await store.read_consumers(account)] == ["b"]

        self.run(scenario)

    def test_the_recent_requests_are_kept(self) -> None:
        """Newest first, as many as are kept, of this account alone."""

        async def scenario(store: Store, account: Account, _clock: ManualClock) -> None:
            other = await store.create_account("other")
            await store.record_usage(other, {}, [request(-1)], NOON)
            for begin in range(0, REQUESTS_KEPT + 50, 50):
                await store.record_usage(account, {}, [request(begin + number) for number in range(50)], NOON)
            found = await store.read_requests(account)
            assert [note.request_id for note in found] == [str(REQUESTS_KEPT + 49 - n) for n in range(REQUESTS_KEPT)]
            assert found[0] == request(REQUESTS_KEPT + 49)
            assert await store.read_requests(other) == [request(-1)]
            served = Served("tickets/cursor", "tickets", Position(1, 2), Position(3, 4), 5, True, Filters(True))
            later = [request(2 * REQUESTS_KEPT + number) for number in range(REQUESTS_KEPT)]
            more = [msgspec.structs.replace(each, served=served, retry_after=2.5) for each in later]
            await store.record_usage(account, {}, more, NOON, keep=REQUESTS_KEPT + 50)
            assert len(found := await store.read_requests(account)) == REQUESTS_KEPT + 50
            assert (found[0].served, found[0].retry_after) == (served, 2.5)

        self.run(scenario)

    def test_changes_are_counted(self) -> None:
        """In a range, up to a limit, with the second of the first; only those that pass the filters."""

        async def scenario(store: Store, account: Account, _clock: ManualClock) -> None:
            many = [ticket(1, 10), ticket(2, 10), ticket(3, 20, status="deleted"), ticket(4, 30)]
            await store.write(account, putting(many, keep=True))
            await store.write(account, lambda t: t.put_records([user(1, "a@example.com")]))

            def count(
                after: Position, until: Position = END, limit: int = 9, filters: Filters = ALL, kind: str = "tickets"
            ) -> Callable[[Snapshot], Any]:
                return lambda snapshot: snapshot.count_changes(account, kind, after, until, limit, filters)

            begin = Position(0, -1)
            asked = [
                (count(begin), (4, 10)),
                (count(begin, limit=2), (2, 10)),
                (count(Position(10, 1)), (3, 10)),
                (count(Position(10, 2), Position(20, 3)), (1, 20)),
                (count(Position(10, 2), filters=Filters(True, "all")), (1, 30)),
                (count(begin, filters=Filters(False, "ai_agent")), (0, None)),
                (count(Position(30, 4)), (0, None)),
            ]
            for work, expected in asked:
                assert await store.inspect(work) == expected
            assert (await store.inspect(count(begin, kind="users")))[0] == 1

        self.run(scenario)

    def test_tickets_by_time(self) -> None:
        """How many tickets were last changed in each span of time, leaving out the empty ones."""

        async def scenario(store: Store, account: Account, _clock: ManualClock) -> None:
            await store.write(
                account, putting([ticket(n, second) for n, second in enumerate((59, 60, 119, 600), 1)], keep=True)
            )
            counted = await store.inspect(lambda snapshot: snapshot.count_by_time(account, 60, 60))
            assert counted == [(60, 2), (600, 1)]

        self.run(scenario)

    def test_size(self) -> None:
        """The size is that of the whole store."""

        async def scenario(store: Store, account: Account, _clock: ManualClock) -> None:
            before = await store.inspect(lambda snapshot: snapshot.size_bytes())
            await store.write(
                account, putting([ticket(n, 10, description="x" * 2000) for n in range(1, 500)], keep=True)
            )
            after = await store.inspect(lambda snapshot: snapshot.size_bytes())
            assert after - before > 500_000 or (before, after) == (0, 0)

        self.run(scenario)
