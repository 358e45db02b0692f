"""Loading: all or nothing, history kept in an empty account, a change now in a used one; on two stores."""

import asyncio
import gzip
import io
import json
import threading
from collections.abc import Awaitable, Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.protocol.strategies import TICKET_KEYS
from tests.waiting import SECONDS_MAX
from ticketfeed.data.import_files import InputRecord, open_input, read_input
from ticketfeed.data.load import LoadSummary, OnError, load_records
from ticketfeed.export.source import read_page
from ticketfeed.protocol.envelope import encode_page
from ticketfeed.protocol.errors import BadInput
from ticketfeed.protocol.model import Account, FeedState, Filters, Position
from ticketfeed.protocol.query import ExportRequest
from ticketfeed.protocol.tickets import FUTURE_SECONDS_MAX
from ticketfeed.storage import Store
from ticketfeed.storage.memory import MemoryStore
from ticketfeed.storage.sqlite.store import SqliteStore

NOON = 1_700_000_000
GOLDEN = Path(__file__).parent / "golden" / "printer_on_fire.json"
EVERYTHING = ExportRequest(Position(0, -1), 1000, Filters(support_type_scope="all"), (), ())


class Loader:
    """An account in an empty store, and a clock that stands at noon until it is moved."""

    def __init__(self, store: Store, account: Account, clock: list[int]) -> None:
        self.store, self.account, self.clock = store, account, clock

    async def load(
        self, data: bytes | Iterable[InputRecord], on_error: OnError = "stop", kind: str = "tickets"
    ) -> LoadSummary:
        records = read_input("f", io.BytesIO(data), kind) if isinstance(data, bytes) else data
        return await load_records(self.store, self.account, records, now=self.clock[0], on_error=on_error)

    async def tickets(self) -> list[dict[str, Any]]:
        """What a reader is given, from the start to the end of the stream, once all seconds are over."""
        later = self.clock[0] + 3600
        self.clock[0], before = later, self.clock[0]
        page = await read_page(self.store, self.account, EVERYTHING, now=later, settle_seconds=0)
        self.clock[0] = before
        answer = json.loads(encode_page(page, "http://acme.localhost/x", ()))
        assert answer["end_of_stream"] is True
        tickets: list[dict[str, Any]] = answer["tickets"]
        return tickets

    async def seconds(self) -> dict[int, int]:
        return {ticket["id"]: ticket["generated_timestamp"] for ticket in await self.tickets()}

    async def assert_nothing_stored(self) -> None:
        assert await self.store.read_state(self.account) == FeedState()
        assert await self.tickets() == []
        assert await self.store.read_records(self.account, "users", [1, 2, 3]) == []


Scenario = Callable[[Loader], Awaitable[None]]
Run = Callable[[Scenario], None]


@pytest.fixture(params=["memory", "sqlite"])
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Run:
    """Runs a scenario against an empty store, once of each engine."""

    async def main(scenario: Scenario) -> None:
        clock = [NOON]
        store: Store = (
            MemoryStore(lambda: clock[0])
            if request.param == "memory"
            else SqliteStore.open(tmp_path / "t.db", lambda: clock[0])
        )
        try:
            await scenario(Loader(store, await store.create_account("acme"), clock))
        finally:
            await store.close()

    return lambda scenario: asyncio.run(main(scenario))


def lines(*records: dict[str, Any]) -> bytes:
    return b"".join(json.dumps(record).encode() + b"\n" for record in records)


def ticket(id: int, second: int | None = None, **values: Any) -> dict[str, Any]:
    return {"id": id, **({} if second is None else {"generated_timestamp": second}), **values}


def test_zendesks_own_example(run: Run) -> None:
    """A saved page of Zendesk's reference is loaded and read back with every value it had, all keys in wire order."""
    saved = json.loads(GOLDEN.read_text())["tickets"][0]

    async def scenario(loader: Loader) -> None:
        with open_input(str(GOLDEN)) as stream:
            summary = await loader.load(read_input(str(GOLDEN), stream, "users"))
        assert str(summary) == "1 tickets"
        (found,) = await loader.tickets()
        assert list(found) == TICKET_KEYS
        assert {key: found[key] for key in saved} == saved
        assert found["generated_timestamp"] == 1304591932  # its updated_at
        assert found["fields"] == saved["custom_fields"]

    run(scenario)


def test_empty_account_keeps_history(run: Run) -> None:
    """In an account without tickets each one keeps its generated_timestamp, or the closest it has."""

    async def scenario(loader: Loader) -> None:
        await loader.load(
            lines(
                ticket(1, 500), ticket(2, 50), ticket(3, updated_at="1970-01-01T00:01:40Z"), ticket(4), ticket(5, 500)
            )
        )
        assert await loader.seconds() == {2: 50, 3: 100, 1: 500, 5: 500, 4: NOON}
        assert [found["id"] for found in await loader.tickets()] == [2, 3, 1, 5, 4]

    run(scenario)


def test_used_account_takes_a_change_now(run: Run) -> None:
    """In an account that has tickets a load is a change now, behind all that was given out, whatever its own times."""

    async def scenario(loader: Loader) -> None:
        await loader.load(lines(ticket(1, 500), ticket(2, 600)))
        loader.clock[0] = NOON + 10
        await loader.load(lines(ticket(1, 400, subject="changed"), ticket(3, 1)))
        assert await loader.seconds() == {2: 600, 1: NOON + 10, 3: NOON + 10}
        assert (await loader.tickets())[1]["subject"] == "changed"
        assert (await loader.store.read_state(loader.account)).ticket_count == 3

    run(scenario)


@pytest.mark.parametrize("used", [False, True], ids=["empty account", "used account"])
@pytest.mark.parametrize(
    ("seconds", "winner"),
    [([100, 200], "1"), ([200, 100], "0"), ([100, 100], "1"), ([300, 100, 200], "0"), ([100, 300, 300, 200], "2")],
)
def test_a_ticket_twice_in_one_load(run: Run, used: bool, seconds: list[int], winner: str) -> None:
    """Of two states of one ticket the newer generated_timestamp wins, then the later line; one row is left."""

    async def scenario(loader: Loader) -> None:
        if used:
            await loader.load(lines(ticket(7, 5000, subject="before"), ticket(8, 1)))
        await loader.load(lines(*(ticket(7, second, subject=str(at)) for at, second in enumerate(seconds))))
        found = [one for one in await loader.tickets() if one["id"] == 7]
        assert [one["subject"] for one in found] == [winner]
        assert found[0]["generated_timestamp"] == (NOON if used else max(seconds))
        assert (await loader.store.read_state(loader.account)).ticket_count == (2 if used else 1)

    run(scenario)


GOOD = lines(*(ticket(number, 100 + number) for number in range(1, 50)))
PACKED = gzip.compress(GOOD * 20)

# name -> an input with one fault, and the words of the message
FAULTS: dict[str, tuple[bytes, str]] = {
    "first line": (b"bad\n" + GOOD, r"^f, line 1: not valid JSON"),
    "last line": (GOOD + b'{"id":0}', r"^f, line 50: .*\$\.id"),
    "last line cut off": (GOOD + b'{"id":50,"subj', r"^f, line 50: not valid JSON"),
    "behind users": (b'{"users":[{"id":1}]}\n' + GOOD + b"{}", r"^f, line 51: .*`id`"),
    "last of an array": (b"[\n" + GOOD.strip().replace(b"\n", b",\n") + b',\n{"id":"x"}]', r"^f, line 51: .*\$\.id"),
    "array without end": (b"[" + GOOD.strip().replace(b"\n", b","), r"^f, line 1: expected"),
    "page without end": (b'{"users":[{"id":1}],\n"tickets":[{"id":1}', r"^f, line 2: expected"),
    "future": (GOOD + lines(ticket(50, NOON + FUTURE_SECONDS_MAX + 1)), r"^f, line 50: .* lies in the future"),
    "metric set": (lines({**ticket(1, 5), "metric_set": {"id": "x"}}), r"^f, line 1: its metric set: .*\$\.id"),
    "half of a pair": (b'{"id":1,"subject":"\\ud83d\\ude00 \\\\ \\ud83d"}', r"^f, line 1: .*half of a surrogate pair"),
    "truncated gzip": (PACKED[:-20], "truncated"),
    "gzip without its check sum": (PACKED[:-8], "truncated"),
    "damaged gzip": (PACKED[:40] + bytes(40) + PACKED[80:], "corrupt gzip"),
}


@pytest.mark.parametrize("used", [False, True], ids=["empty account", "used account"])
@pytest.mark.parametrize("fault", FAULTS)
def test_stop_leaves_nothing(run: Run, tmp_path: Path, fault: str, used: bool) -> None:
    """One fault anywhere, be it the last byte, ends the load with the store as it was."""
    data, message = FAULTS[fault]
    path = tmp_path / "input"
    path.write_bytes(data)

    def records() -> Iterator[InputRecord]:
        with open_input(str(path)) as stream:
            yield from read_input("f", stream, "tickets")

    async def scenario(loader: Loader) -> None:
        if used:
            await loader.load(lines(ticket(99, 5)))
        with pytest.raises(BadInput, match=message):
            await loader.load(records())
        if not used:
            await loader.assert_nothing_stored()
        assert await loader.seconds() == ({99: 5} if used else {})

    run(scenario)


def test_skip_keeps_the_good(run: Run) -> None:
    """With "skip" bad records are counted and told with their lines, and all others are stored."""
    told: list[str] = []

    async def scenario(loader: Loader) -> None:
        data = b'bad\n{"id":1}\n{}\n{"users":[{"id":2},{"id":"x"}]}\n\xff\n' + lines(
            ticket(3, NOON + 9999), ticket(4, 5)
        )
        summary = await load_records(
            loader.store,
            loader.account,
            read_input("f", io.BytesIO(data), "tickets"),
            now=NOON,
            on_error="skip",
            report=told.append,
        )
        assert (summary.counts, summary.skipped) == ({"tickets": 2, "users": 1}, 5)
        assert str(summary) == "2 tickets, 1 users; 5 skipped"
        assert [text.split(":")[0] for text in told] == [f"f, line {line}" for line in (1, 3, 4, 5, 6)]
        assert await loader.seconds() == {4: 5, 1: NOON}
        assert len(await loader.store.read_records(loader.account, "users", [2])) == 1

    run(scenario)


def test_nothing_good_is_an_error(run: Run) -> None:
    """A load that skips every record fails; one that was given none at all is no error."""

    async def scenario(loader: Loader) -> None:
        with pytest.raises(BadInput, match="no record could be used"):
            await loader.load(b'{"id":"1"}\n{"id":"2"}', "skip")
        assert str(await loader.load(b"")) == "nothing"
        await loader.assert_nothing_stored()

    run(scenario)


def test_a_broken_document_is_not_skipped(run: Run) -> None:
    """A document that breaks off has no next record to go on with, so "skip" stores nothing of it either."""

    async def scenario(loader: Loader) -> None:
        with pytest.raises(BadInput, match=r"^f, line 2: "):
            await loader.load(b'[{"id":1},\n{"id":2', "skip")
        await loader.assert_nothing_stored()

    run(scenario)


@pytest.mark.parametrize("used", [False, True], ids=["empty account", "used account"])
def test_other_kinds_keep_their_times(run: Run, used: bool) -> None:
    """Users, groups and the rest keep their own times whenever they are loaded; of two with one id the later stays."""
    times = {"created_at": "2010-01-01T00:00:00Z", "updated_at": "2011-01-01T00:00:00Z"}

    async def scenario(loader: Loader) -> None:
        if used:
            await loader.load(lines(ticket(1, 5)))
        summary = await loader.load(
            lines({"id": 1, "name": "first", **times}, {"id": 1, "name": "b", **times}), kind="users"
        )
        assert summary.counts == {"users": 2}
        ((_, body),) = await loader.store.read_records(loader.account, "users", [1])
        user = json.loads(body)
        assert {key: user[key] for key in times} == times
        assert user["name"] == "b"
        assert await loader.seconds() == ({1: 5} if used else {})

    run(scenario)


def test_users_leave_the_account_empty(run: Run) -> None:
    """An account that holds users but no ticket still counts as empty: history loaded next stays history."""

    async def scenario(loader: Loader) -> None:
        await loader.load(lines({"id": 1}), kind="users")
        await loader.load(lines(ticket(1, 5)))
        assert await loader.seconds() == {1: 5}

    run(scenario)


@pytest.mark.parametrize("waiting_for", ["the next record", "the end"])
def test_cancelled_load_stores_nothing(run: Run, waiting_for: str) -> None:
    """A load that is cancelled while it waits for its input stores nothing, even when no record follows."""

    async def scenario(loader: Loader) -> None:
        reached, go_on, done = threading.Event(), threading.Event(), threading.Event()

        def records() -> Iterator[InputRecord]:
            yield InputRecord(("f", 1), "tickets", b'{"id":1}')
            yield InputRecord(("f", 2), "users", b'{"id":1}')
            reached.set()
            go_on.wait(SECONDS_MAX)
            if waiting_for == "the next record":
                yield InputRecord(("f", 3), "tickets", b'{"id":2}')
            done.set()

        load = asyncio.create_task(loader.load(records()))
        assert await asyncio.to_thread(reached.wait, SECONDS_MAX)
        load.cancel()
        with pytest.raises(asyncio.CancelledError):
            await load
        go_on.set()
        await loader.load(b"")  # waits for the writer that the cancelled load had
        await loader.assert_nothing_stored()
        assert str(await loader.load(lines(ticket(9, 5)))) == "1 tickets"

    run(scenario)


def test_sideloads_inside_tickets(run: Run) -> None:
    """A page saved with sideloads gives its metric sets, and its tickets without what was put into them."""
    metric_set = {"id": 70, "ticket_id": 3, "replies": 4}
    embedded = {"metric_set": metric_set, "dates": {}, "comment_count": 5, "slas": None}
    page = {
        "tickets": [{**ticket(3, 5), **embedded}, {**ticket(4, 5), "metric_set": None}],
        "metric_sets": [metric_set],
    }

    async def scenario(loader: Loader) -> None:
        summary = await loader.load(lines(page))
        assert summary.counts == {"tickets": 2, "ticket_metrics": 1}
        ((ticket_id, body),) = await loader.store.read_records(loader.account, "ticket_metrics", [3, 4])
        assert (ticket_id, json.loads(body)["id"], json.loads(body)["replies"]) == (3, 70, 4)
        for row in await loader.store.read_tickets(loader.account, [3, 4]):
            assert not {*embedded} & {*json.loads(row[2])}
        with pytest.raises(BadInput, match="its metric set is that of ticket 3"):
            await loader.load(lines({**ticket(5, 5), "metric_set": metric_set}))

    run(scenario)
