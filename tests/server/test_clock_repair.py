"""An account that was written while the clock was ahead, and is brought back: nobody misses a change."""

import asyncio
from typing import Any

import pytest

from tests.server.desk import PATH, Desk
from ticketfeed.data.integrity_check import check_store
from ticketfeed.settings import Settings
from ticketfeed.writing.clock_repair import ClockRepair, repair_clock

DAY = 86400
USERS = "/api/v2/incremental/users/cursor"
BY_TIME = "/api/v2/incremental/tickets"


class Reader:
    """Reads an export page after page and goes on from its position; `state` is what it has of each record.

    Users have the ids of the tickets, and 1000 more.
    """

    def __init__(self, desk: Desk, path: str, key: str) -> None:
        self._desk, self._path, self._key = desk, path, key
        self._position = "start_time=0"
        self.state: dict[int, Any] = {}

    def read(self) -> set[int]:
        """The ids that it was given, up to the end, without the 1000."""
        given: set[int] = set()
        while True:
            page = self._desk.page(f"{self._path}?{self._position}&per_page=100")
            found = {record["id"] % 1000: record for record in page[self._key]}
            given |= found.keys()
            self.state |= found
            if page.get("end_time"):
                self._position = f"start_time={page['end_time']}"
            elif page.get("after_cursor"):
                self._position = f"cursor={page['after_cursor'].replace('=', '%3D')}"
            if page["end_of_stream"]:
                return given


def found_by_check(desk: Desk) -> list[str]:
    found: list[str] = []
    asyncio.run(desk.store.inspect(lambda snapshot: check_store(snapshot, found.append, now=lambda _account: desk.now)))
    return found


def repair(desk: Desk) -> ClockRepair | None:
    account = desk._account("acme")
    return asyncio.run(desk.store.write(account, lambda write: repair_clock(write, 5), exclusive=True))


@pytest.mark.parametrize("page_cache_mib", [0, 16])
def test_nobody_misses_a_change(page_cache_mib: int) -> None:
    """Readers of the past get what was written in the future; readers whose position lies in the future are sent back,
    get that twice and all that follows. Nothing lies in the future afterwards."""
    desk = Desk(Settings(page_cache_mib=page_cache_mib))
    sources = ((PATH, "tickets"), (USERS, "users"), (BY_TIME, "tickets"))
    late, ahead, away = ([Reader(desk, *source) for source in sources] for _ in range(3))

    def put(*ids: int, **values: Any) -> None:
        desk.put("tickets", *({"id": id, "description": '"generated_timestamp":1', **values} for id in ids))
        desk.put("users", *({"id": 1000 + id, "name": str(values)} for id in ids))

    put(*range(1, 301))
    desk.now += 10
    for reader in (*late, *ahead, *away):
        reader.read()
    desk.now += DAY  # the clock is wrong from here on
    put(*range(200, 601), subject="future")
    desk.now += 10
    for reader in (*ahead, *away):
        assert {200, 600} <= reader.read()
    desk.now -= DAY  # and right again
    put(7, subject="after")
    assert any("86,391 s ahead of this clock; see ticketfeed repair clock" in text for text in found_by_check(desk))
    assert "s ahead of now" in desk.page("/_ticketfeed/ready")["checks"]["clock"]
    assert b"s ahead of now" in desk.ask("/_ticketfeed/").body

    done = repair(desk)
    assert done is not None
    assert (done.tickets, done.records, done.watermark) == (402, 402, desk.now + 5)
    assert found_by_check(desk) == []
    assert repair(desk) is None
    desk.now += 20
    assert desk.page("/_ticketfeed/ready")["checks"]["clock"] == "ok"
    put(8, 601, subject="after")
    desk.now += 2
    for reader in (*late, *ahead):
        given = reader.read()
        assert {7, 8, 601, 200, 600} <= given
        assert not {1, 6, 199} & given, "what was read before the clock was wrong is not read again"
    put(9, subject="last")
    desk.now += 2
    for reader in (*late, *ahead, *away):
        assert 9 in reader.read()
    for readers in zip(late, ahead, away, strict=True):
        first, *others = (reader.state for reader in readers)
        assert first.keys() >= set(range(1, 602))
        assert all(state == first for state in others)


def test_a_position_in_the_future_of_an_account_that_was_not_brought_back() -> None:
    """It is read as it stands: nothing follows it."""
    desk = Desk()
    desk.put("tickets", {"id": 1})
    desk.now += 10
    assert desk.page(f"{PATH}?start_time={desk.now + DAY}")["tickets"] == []
    assert repair(desk) is None
    assert desk.page(f"{PATH}?start_time={desk.now + DAY}")["tickets"] == []
