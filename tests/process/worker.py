"""The processes of the concurrency and crash tests: `python -m tests.process.worker JSON`, told everything in it.

A writer notes each write before it begins and again once `store.write` returned. A reader notes each page once it
is all there. Each process has a clock of its own, which is off and jumps.
"""

import asyncio
import contextlib
import http.client
import sys
import time
from base64 import b64decode
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any, cast
from urllib.parse import urlencode

import msgspec

from tests.process.journal import Journal
from tests.simulation.observer import EVERYTHING, GivenPage, Row, version_of
from ticketfeed.export.source import read_page
from ticketfeed.protocol.cursor import encode_cursor
from ticketfeed.protocol.envelope import encode_page
from ticketfeed.protocol.errors import StoreError, StoreUnavailable
from ticketfeed.protocol.model import Account, Filters, Position, SupportTypeScope
from ticketfeed.protocol.query import parse_export_request
from ticketfeed.protocol.tickets import TicketDraft, parse_ticket
from ticketfeed.storage import Store, open_store
from ticketfeed.storage.write_contract import WriteTransaction

PATH = "/api/v2/incremental/tickets/cursor.json"
START = Position(0, -1)
STOP = "stop"
OPEN_SECONDS_MAX = 60.0


class Plan(msgspec.Struct, kw_only=True):
    """What a process is to do, for `seconds` from when it is ready, or until the file `stop` lies beside its journal.

    `clock`: how far its clock may be off and jump. `address`: of the server to read, or of several, behind commas.
    """

    role: str
    name: str
    seed: int
    seconds: float
    journal: str
    accounts: list[str]
    url: str = ""
    address: str = ""
    token: str = ""
    clock: str = "wild"
    tickets: int = 60

    def until(self) -> Callable[[], bool]:
        """Says whether to go on."""
        deadline, stop = time.monotonic() + self.seconds, Path(self.journal).with_name(STOP)
        return lambda: time.monotonic() < deadline and not stop.exists()


class OwnClock:
    """Wall time, off by some seconds that change now and then."""

    STEPS = {"wild": (-3600, -60, -3, -1, 0, 0, 1, 2, 4, 30), "mild": (-3, -2, -1, 0, 0)}  # noqa: RUF012

    def __init__(self, random: Random, kind: str) -> None:
        self._random, self._steps = random, self.STEPS[kind]
        self._off = random.choice(self._steps)

    def __call__(self) -> int:
        if self._random.random() < 0.05:
            self._off = self._random.choice(self._steps)
        return int(time.time()) + self._off


async def run_writer(plan: Plan, random: Random, journal: Journal) -> None:
    """Two writes at a time until the time is over; a store that cannot serve is tried again."""
    store, accounts = await _open(plan, OwnClock(random, plan.clock))
    goes_on = plan.until()
    journal.note("ready")
    numbers = iter(range(10**9))

    async def write_on() -> None:
        while goes_on():
            await _write_once(plan, random, journal, store, accounts, next(numbers))
            await asyncio.sleep(random.choice([0, 0, 0.01, 0.05]))

    await asyncio.gather(write_on(), write_on())
    await store.close()


async def _write_once(
    plan: Plan, random: Random, journal: Journal, store: Store, accounts: list[Account], number: int
) -> None:
    # The first account is the one that all write to.
    account = accounts[0] if random.random() < 0.6 else random.choice(accounts)
    size = 1 if random.random() < 0.7 else random.randint(2, plan.tickets)
    drafts = [make_draft(random, id, f"{plan.name} {number}") for id in random.sample(range(1, plan.tickets + 1), size)]
    dwell = random.choice([0, 0, 0, 0, 0.002, 0.05])

    def work(transaction: WriteTransaction) -> None:
        transaction.put_tickets(_slowly(drafts, dwell))

    tickets = {str(draft.id): version_of(draft.body(0), 0) for draft in drafts}
    note = {"writer": plan.name, "number": number}
    journal.note("try", **note, account=account.subdomain, tickets=tickets, keeps=False, began=time.monotonic())
    try:
        await store.write(account, work)
    except StoreUnavailable as error:
        journal.note("refused", **note, why=str(error))
        await asyncio.sleep(0.05)
        return
    journal.note("acknowledged", **note, ended=time.monotonic())


def make_draft(random: Random, id: int, subject: str) -> TicketDraft:
    """A ticket whose bytes no other write has."""
    values = {
        "id": id,
        "generated_timestamp": 1,
        "subject": subject,
        "status": random.choice(["new", "open", "deleted"]),
        "support_type": random.choice([None, "agent", "ai_agent"]),
    }
    return parse_ticket(msgspec.json.encode(values), account="acme", now=1)


def _slowly(drafts: list[TicketDraft], dwell: float) -> Iterator[TicketDraft]:
    """Dwells in the middle of the transaction, where a kill hurts most."""
    for index, draft in enumerate(drafts):
        if index == len(drafts) // 2:
            time.sleep(dwell)
        yield draft


class Reader:
    """One reader with its kept cursor; asks a store or a server, and tells what it was given."""

    def __init__(
        self,
        name: str,
        account: str,
        filters: Filters = EVERYTHING,
        after: Position = START,
        seen: Callable[[bytes], bytes] = bytes,
    ) -> None:
        """`seen`: what of a ticket is compared; all of it, unless told otherwise."""
        self.name, self.account, self.filters, self.after, self._seen = name, account, filters, after, seen

    async def ask_store(
        self, store: Store, account: Account, per_page: int, now: int, settle_seconds: int = 0
    ) -> GivenPage:
        began = time.monotonic()
        parameters = self._parameters(per_page)
        request = parse_export_request(parameters, now=now, start_time_margin_seconds=0)
        page = await read_page(store, account, request, now=now, settle_seconds=settle_seconds)
        return self._given(encode_page(page, "http://localhost" + PATH, request.repeated), began)

    def ask_server(self, connection: http.client.HTTPConnection, token: str, per_page: int) -> GivenPage | int:
        """The page, or the Retry-After of a server that cannot serve now."""
        began = time.monotonic()
        headers = {"Authorization": f"Bearer {token}", "Host": f"{self.account}.localhost"}
        connection.request("GET", f"{PATH}?{urlencode(self._parameters(per_page))}", headers=headers)
        answer = connection.getresponse()
        body = answer.read()
        if answer.status == 503:
            return int(answer.headers["retry-after"])
        assert answer.status == 200, body[:500]
        return self._given(body, began)

    def _parameters(self, per_page: int) -> dict[str, str]:
        cursor = {"start_time": "0"} if self.after == START else {"cursor": encode_cursor(self.after)}
        deleted = {"exclude_deleted": "true"} if self.filters.exclude_deleted else {}
        return {**cursor, **deleted, "support_type_scope": self.filters.support_type_scope, "per_page": str(per_page)}

    def _given(self, body: bytes, began: float) -> GivenPage:
        """Read the answer as a client would; the cursor's text is taken apart here, past the package."""
        page = msgspec.json.decode(body, type=_Answer)
        rows = []
        for ticket in page.tickets:
            place = msgspec.json.decode(ticket, type=_Place)
            version = version_of(self._seen(bytes(ticket)), place.generated_timestamp)
            rows.append(Row(place.generated_timestamp, place.id, version))
        after = self.after
        if page.after_cursor is not None:
            second, _, id = b64decode(page.after_cursor).decode().partition("||")
            self.after = Position(int(float(second)), int(id.rstrip("|")))
        ended, end = time.monotonic(), page.end_of_stream
        return GivenPage(self.name, self.account, self.filters, after, tuple(rows), self.after, end, began, ended)


class _Answer(msgspec.Struct):
    tickets: list[msgspec.Raw]
    after_cursor: str | None
    end_of_stream: bool


class _Place(msgspec.Struct):
    id: int
    generated_timestamp: int


def make_readers(plan: Plan, random: Random, count: int) -> list[Reader]:
    """Readers of random accounts; every other one with filters."""
    readers = []
    for number in range(count):
        account = plan.accounts[0] if random.random() < 0.6 else random.choice(plan.accounts)
        scope = cast(SupportTypeScope, random.choice(["all", "agent", "ai_agent"]))
        filters = Filters(random.random() < 0.5, scope) if number % 2 else EVERYTHING
        readers.append(Reader(f"{plan.name}.{number}", account, filters))
    return readers


async def run_reader(plan: Plan, random: Random, journal: Journal) -> None:
    """Readers that ask the store itself, and a closer, until the time is over; new readers come all the while."""
    clock = OwnClock(random, plan.clock)
    store, accounts = await _open(plan, clock)
    goes_on = plan.until()
    known = {account.subdomain: account for account in accounts}
    journal.note("ready")
    readers = make_readers(plan, random, 4)
    while goes_on():
        if random.random() < 0.01:
            count = len(readers)
            readers += make_readers(plan, random, count + 1)[count:]
        reader = random.choice(readers)
        account = known[reader.account]
        ahead = random.choice([0, 0, 10**6])
        with contextlib.suppress(StoreUnavailable):
            page = await reader.ask_store(store, account, random.randint(1, 1000), clock() + ahead)
            journal.page(page)
            if random.random() < 0.2:
                await store.close_newest(account)
            if random.random() < 0.2:
                began = time.monotonic()
                state = await store.read_state(account)
                journal.note("state", account=reader.account, state=state, began=began, ended=time.monotonic())
        await asyncio.sleep(random.choice([0, 0, 0.005, 0.02]))
    await store.close()


async def run_client(plan: Plan, random: Random, journal: Journal) -> None:
    """Readers that ask the server, whatever becomes of it: a refused or broken connection is tried again."""
    goes_on = plan.until()
    host, _, port = plan.address.rpartition(":")
    readers = make_readers(plan, random, 4)
    connection = http.client.HTTPConnection(host, int(port), timeout=30)
    journal.note("ready")
    while goes_on():
        try:
            given = random.choice(readers).ask_server(connection, plan.token, random.randint(1, 1000))
        except (OSError, http.client.HTTPException):
            connection.close()
            time.sleep(0.02)
            continue
        if isinstance(given, GivenPage):
            journal.page(given)
            time.sleep(random.choice([0, 0.005, 0.02]))
        else:
            journal.note("unavailable", retry_after=given, ended=time.monotonic())
            time.sleep(0.1)
    connection.close()


async def _open(plan: Plan, clock: OwnClock) -> tuple[Store, list[Account]]:
    """Open the store, which may just be down."""
    deadline = time.monotonic() + OPEN_SECONDS_MAX
    while True:
        try:
            store = await open_store(plan.url, clock)
            return store, [await store.create_account(name) for name in plan.accounts]
        except (StoreError, StoreUnavailable):
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.1)


def main() -> None:
    from tests.process.http_work import run_http_reader, run_http_writer

    plan = msgspec.json.decode(sys.argv[1], type=Plan)
    roles: dict[str, Any] = {
        "writer": run_writer,
        "reader": run_reader,
        "client": run_client,
        "http_writer": run_http_writer,
        "http_reader": run_http_reader,
    }
    asyncio.run(roles[plan.role](plan, Random(plan.seed), Journal(Path(plan.journal))))


if __name__ == "__main__":
    main()
