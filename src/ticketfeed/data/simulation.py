"""A help desk at work: people write, agents answer, solve, merge, clean up. Seeded, through the functions of the API.

What is drawn is the same for the same seed and the same store; when it happens depends on the machine.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec

from ticketfeed.protocol.errors import RecordInvalid, RecordNotFound
from ticketfeed.protocol.model import Account, Identity
from ticketfeed.protocol.record_input import RecordChange, parse_new_record, parse_record_change
from ticketfeed.protocol.ticket_input import NEW_TICKET, TICKET_CHANGE, Comment, TicketInput
from ticketfeed.storage.contract import Store, WriteTransaction
from ticketfeed.world.languages import LANGUAGES
from ticketfeed.world.text import draw_matter, write_text
from ticketfeed.writing.records import RecordWriter
from ticketfeed.writing.tickets import TicketWriter

__all__ = ["Simulation"]

# How many of a hundred things that happen are of each kind.
_SHARES = {
    "ticket": 22,
    "agent_reply": 24,
    "requester_reply": 16,
    "status": 12,
    "assignment": 8,
    "tags": 6,
    "bulk": 4,
    "deletion": 3,
    "restoration": 2,
    "person": 3,
}
_BULK = 25
# How long descriptions are: a line, a few, half a page.
_SIZES = (0, 1, 1, 1, 2)
Work = Callable[[WriteTransaction], None]


@dataclass(slots=True)
class Simulation:
    """One account's desk. `done`: how often each kind of thing has happened; `refused`: what came too late."""

    store: Store
    account: Account
    seed: int = 1
    done: Counter[str] = field(default_factory=Counter)
    refused: int = 0
    _rng: random.Random = field(init=False)
    _people: list[int] = field(default_factory=list)
    _agents: list[int] = field(default_factory=list)
    _tickets: list[int] = field(default_factory=list)
    _deleted: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._rng = random.Random(self.seed)

    async def prepare(self) -> None:
        """Look around; where there are no agents or nobody who asks, make some."""
        await self.store.write(self.account, self._look_around)

    async def run(self, rate: float, seconds: float | None, at_once: int = 8) -> None:
        """So many things a second, some at once; until the time is over, or for ever."""
        loop = asyncio.get_running_loop()
        started = due = loop.time()
        room = asyncio.Semaphore(at_once)
        async with asyncio.TaskGroup() as group:
            while seconds is None or due < started + seconds:
                await asyncio.sleep(max(0.0, due - loop.time()))
                await room.acquire()
                kind = self._rng.choices(list(_SHARES), list(_SHARES.values()))[0]
                task = group.create_task(self._happen(kind))
                task.add_done_callback(lambda _: room.release())
                due += 1 / rate

    async def _happen(self, kind: str) -> None:
        work = getattr(self, f"_do_{kind}")(random.Random(self._rng.getrandbits(64)))
        try:
            await self.store.write(self.account, work)
            self.done[kind] += 1
        except (RecordNotFound, RecordInvalid):  # two at once: the ticket is closed or deleted by now
            self.refused += 1

    def _look_around(self, write: WriteTransaction) -> None:
        newest = write.next_id("tickets") - 1
        self._tickets = [
            id
            for id, body in sorted(write.find_tickets(range(max(1, newest - 2000), newest + 1)).items())
            if msgspec.json.decode(body)["status"] not in ("closed", "deleted")
        ]
        known = write.find_records("users", range(1, write.next_id("users"))) if write.next_id("users") < 5000 else {}
        for id, body in sorted(known.items()):
            user = msgspec.json.decode(body)
            if user["active"] and not user["suspended"]:
                (self._people if user["role"] == "end-user" else self._agents).append(id)
        users = RecordWriter(write, self.account.subdomain, Identity(-1, "", "admin"), "users")
        first = write.next_id("users")
        for number in range(5 - len(self._agents)):
            self._agents.append(users.create(self._person(f"agent{first + number}", "agent")).id)
        for number in range(20 - len(self._people)):
            self._people.append(users.create(self._person(f"person{first + number}", "end-user")).id)

    def _person(self, name: str, role: str) -> RecordChange:
        values = {"name": name.capitalize(), "email": f"{name}@{self.seed}.example", "role": role}
        return parse_new_record("users", msgspec.json.encode(values))

    def _by(self, write: WriteTransaction, user_id: int) -> TicketWriter:
        return TicketWriter(write, self.account.subdomain, Identity(user_id, "", "agent"))

    def _change(self, rng: random.Random, values: dict[str, Any]) -> Work:
        ticket_id, agent = rng.choice(self._tickets or [0]), rng.choice(self._agents)
        change = TICKET_CHANGE.convert(values)
        return lambda write: _ignore(self._by(write, agent).update(ticket_id, change))

    def _do_ticket(self, rng: random.Random) -> Work:
        matter = draw_matter(rng, LANGUAGES[0])
        person = rng.choice(self._people)
        values = {
            "subject": matter.subject,
            "comment": {"body": write_text(rng, rng.choice(_SIZES), LANGUAGES[0], matter, "Alex")},
            "requester_id": person,
            "priority": rng.choice([None, "low", "normal", "high", "urgent"]),
            "tags": [matter.product_tag],
        }
        ticket = NEW_TICKET.convert(values)

        def work(write: WriteTransaction) -> None:
            self._tickets.append(self._by(write, person).create(ticket).draft.id)
            del self._tickets[:-2000]

        return work

    def _do_agent_reply(self, rng: random.Random) -> Work:
        text = rng.choice(["Thank you, we are looking into it.", "Could you tell us more?", "It is on its way."])
        status = rng.choice(["open", "pending", "pending", "solved"])
        return self._change(rng, {"comment": {"body": text, "public": rng.random() < 0.8}, "status": status})

    def _do_requester_reply(self, rng: random.Random) -> Work:
        ticket_id = rng.choice(self._tickets or [0])
        text = rng.choice(["Any news?", "Thank you!", "It still does not work.", "Here is what you asked for."])

        def work(write: WriteTransaction) -> None:
            body = write.find_tickets([ticket_id]).get(ticket_id)
            requester = msgspec.json.decode(body)["requester_id"] if body else None
            author = requester if requester in self._people else rng.choice(self._people)
            self._by(write, author).update(ticket_id, TicketInput(comment=Comment(body=text, author_id=author)))

        return work

    def _do_status(self, rng: random.Random) -> Work:
        return self._change(rng, {"status": rng.choice(["open", "pending", "hold", "solved", "solved", "closed"])})

    def _do_assignment(self, rng: random.Random) -> Work:
        return self._change(rng, {"assignee_id": rng.choice(self._agents)})

    def _do_tags(self, rng: random.Random) -> Work:
        how = rng.choice(["additional_tags", "remove_tags"])
        return self._change(rng, {how: [rng.choice(["vip", "refund", "bug", "follow_up"])]})

    def _do_bulk(self, rng: random.Random) -> Work:
        chosen = rng.sample(self._tickets, min(_BULK, len(self._tickets)))
        agent, change = rng.choice(self._agents), TicketInput(priority=rng.choice(["low", "high"]))

        def work(write: WriteTransaction) -> None:
            tickets = self._by(write, agent)
            for ticket_id in chosen:
                if tickets.is_open(ticket_id):
                    tickets.update(ticket_id, change)

        return work

    def _do_deletion(self, rng: random.Random) -> Work:
        ticket_id, agent = rng.choice(self._tickets or [0]), rng.choice(self._agents)

        def work(write: WriteTransaction) -> None:
            self._by(write, agent).delete(ticket_id)
            self._deleted.append(ticket_id)

        return work

    def _do_restoration(self, rng: random.Random) -> Work:
        ticket_id, agent = rng.choice(self._deleted or [0]), rng.choice(self._agents)
        return lambda write: self._by(write, agent).restore(ticket_id)

    def _do_person(self, rng: random.Random) -> Work:
        def work(write: WriteTransaction) -> None:
            users = RecordWriter(write, self.account.subdomain, Identity(-1, "", "admin"), "users")
            if rng.random() < 0.5:
                self._people.append(users.create(self._person(f"person{write.next_id('users')}", "end-user")).id)
            else:
                notes = msgspec.json.encode({"notes": f"note {rng.random():.6f}"})
                users.update(rng.choice(self._people), parse_record_change("users", notes))

        return work


def _ignore(_: object) -> None:
    return None
