"""Writers and readers over HTTP, through several servers in turn, whatever becomes of these.

A ticket is known by its subject, which every write makes anew: a writer whose request is not answered does not know
what else the server would have stored.
"""

import asyncio
import http.client
import threading
import time
from collections.abc import Callable
from random import Random

import msgspec

from tests.process.journal import Journal
from tests.process.worker import Plan, Reader
from tests.simulation.observer import EVERYTHING, GivenPage, version_of

__all__ = ["as_seen", "run_http_reader", "run_http_writer"]

# Longer than a server waits for its database.
TIMEOUT_SECONDS = 30.0


Work = Callable[[Plan, str, Random, Journal], None]


class _Seen(msgspec.Struct):
    generated_timestamp: int
    subject: str
    status: str
    support_type: str | None


def as_seen(ticket: bytes) -> bytes:
    """What of a ticket tells one write from another, and which readers want it."""
    return msgspec.json.encode(msgspec.json.decode(ticket, type=_Seen))


class _Servers:
    """A connection to one server at a time; the next one is taken when it fails, and now and then."""

    def __init__(self, addresses: str, random: Random) -> None:
        self._addresses, self._random = addresses.split(","), random
        self._connection: http.client.HTTPConnection | None = None

    def connection(self) -> http.client.HTTPConnection:
        if self._connection is None or self._random.random() < 0.02:
            self.leave()
            host, _, port = self._random.choice(self._addresses).rpartition(":")
            self._connection = http.client.HTTPConnection(host, int(port), timeout=TIMEOUT_SECONDS)
        return self._connection

    def leave(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


async def run_http_writer(plan: Plan, random: Random, journal: Journal) -> None:
    """One writer for each account, which changes the subjects of its tickets."""
    await _run_each(plan, random, journal, _write)


async def run_http_reader(plan: Plan, random: Random, journal: Journal) -> None:
    """Two readers for each account: one keeps its cursor, another begins anew now and then."""
    await _run_each(plan, random, journal, _read)


async def _run_each(plan: Plan, random: Random, journal: Journal, work: Work) -> None:
    threads = [
        threading.Thread(target=work, args=(plan, account, Random(random.random()), journal))
        for account in plan.accounts
    ]
    for thread in threads:
        thread.start()
    journal.note("ready")
    for thread in threads:
        await asyncio.to_thread(thread.join)


def _write(plan: Plan, account: str, random: Random, journal: Journal) -> None:
    servers, goes_on, number = _Servers(plan.address, random), plan.until(), 0
    writer = f"{plan.name}.{account}"
    while goes_on():
        number += 1
        id, subject = random.randint(1, plan.tickets), f"{writer} {number}"
        seen = msgspec.json.encode(_Seen(0, subject, "open", None))
        note = {"writer": writer, "number": number}
        journal.note(
            "try", **note, account=account, tickets={str(id): version_of(seen, 0)}, keeps=False, began=time.monotonic()
        )
        body = msgspec.json.encode({"ticket": {"subject": subject}})
        headers = {"Authorization": f"Bearer {plan.token}", "Host": f"{account}.localhost"}
        try:
            connection = servers.connection()
            connection.request("PUT", f"/api/v2/tickets/{id}", body, {**headers, "Content-Type": "application/json"})
            answer = connection.getresponse()
            answered = answer.read()
        except (OSError, http.client.HTTPException):
            servers.leave()
            time.sleep(0.05)
            continue
        if answer.status == 200:
            journal.note("acknowledged", **note, ended=time.monotonic())
        else:
            assert answer.status == 503, answered[:500]
            journal.note("unavailable", **note, ended=time.monotonic())
            servers.leave()
        time.sleep(random.choice([0.01, 0.05, 0.2]))


def _read(plan: Plan, account: str, random: Random, journal: Journal) -> None:
    servers, goes_on, count = _Servers(plan.address, random), plan.until(), 1
    following, walking = (Reader(f"{plan.name}.{account}.{name}", account, EVERYTHING, seen=as_seen) for name in "01")
    while goes_on():
        reader = random.choice((following, walking))
        try:
            given = reader.ask_server(servers.connection(), plan.token, random.choice([1, 7, 100, 1000]))
        except (OSError, http.client.HTTPException):
            servers.leave()
            time.sleep(0.05)
            continue
        if not isinstance(given, GivenPage):
            journal.note("unavailable", retry_after=given, ended=time.monotonic())
            servers.leave()
            time.sleep(0.1)
            continue
        journal.page(given)
        if reader is walking and given.end_of_stream and random.random() < 0.2:
            count += 1
            walking = Reader(f"{plan.name}.{account}.{count}", account, EVERYTHING, seen=as_seen)
        time.sleep(random.choice([0.01, 0.05, 0.2]))
