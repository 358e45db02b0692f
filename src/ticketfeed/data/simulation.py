"""Simulates traffic: end users write, agents answer, solve and clean up, all through the functions of the API.

The same seed and store give the same draws. When they happen depends on the machine.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec

from ticketfeed.protocol.audits import SYSTEM_ID
from ticketfeed.protocol.errors import RecordInvalid, RecordNotFound
from ticketfeed.protocol.model import Account, Identity
from ticketfeed.protocol.record_input import RecordChange, parse_new_record, parse_record_change
from ticketfeed.protocol.record_types import UserRecord
from ticketfeed.protocol.stored_records import StoredDecoder
from ticketfeed.protocol.ticket_input import NEW_TICKET, TICKET_CHANGE, Comment, TicketInput
from ticketfeed.storage.contract import Store
from ticketfeed.storage.write_contract import WriteTransaction
from ticketfeed.world.languages import LANGUAGES
from ticketfeed.world.text import draw_matter, write_text
from ticketfeed.writing.records import RecordWriter
from ticketfeed.writing.tickets import TicketWriter

__all__ = ["Simulation"]

# How many of a hundred actions are of each kind.
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
_BULK_TICKETS = 25
# Tickets that actions choose from: the newest ones.
_RECENT_TICKETS = 2000
# Users are read only where there are few; with many ids they would not fit into one query.
_KNOWN_USERS = 5000
_AGENTS_MIN, _END_USERS_MIN = 5, 20
# The sizes of descriptions that `write_text` knows: a line, a few, half a page.
_SIZES = (0, 1, 1, 1, 2)
_USER = StoredDecoder(UserRecord)
Work = Callable[[WriteTransaction], Any]


@dataclass(slots=True)
class _Action:
    """A write, and what to do with its result once it is stored."""

    work: Work
    then: Callable[[Any], None] = lambda _: None


@dataclass(slots=True)
class Simulation:
    """The traffic of one account. `done`: how often each kind of action was stored; `refused`: actions that were
    refused, as the ticket had been closed or deleted meanwhile."""

    store: Store
    account: Account
    seed: int = 1
    done: Counter[str] = field(default_factory=Counter)
    refused: int = 0
    _rng: random.Random = field(init=False)
    _end_users: list[int] = field(default_factory=list)
    _agents: list[int] = field(default_factory=list)
    _tickets: list[int] = field(default_factory=list)
    _deleted: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._rng = random.Random(self.seed)

    async def prepare(self) -> None:
        """Read the tickets and users that actions choose from; create users where there are too few."""
        self._tickets, self._agents, self._end_users = await self.store.write(self.account, self._read_or_create)

    async def run(self, rate: float, seconds: float | None, concurrency: int = 8) -> None:
        """Start `rate` actions a second, for `seconds` or forever."""
        loop = asyncio.get_running_loop()
        started = due = loop.time()
        room = asyncio.Semaphore(concurrency)
        async with asyncio.TaskGroup() as group:
            while seconds is None or due < started + seconds:
                await asyncio.sleep(max(0.0, due - loop.time()))
                await room.acquire()
                kind = self._rng.choices(list(_SHARES), list(_SHARES.values()))[0]
                task = group.create_task(self._act(kind))
                task.add_done_callback(lambda _: room.release())
                due += 1 / rate

    async def _act(self, kind: str) -> None:
        action: _Action = getattr(self, f"_{kind}")(random.Random(self._rng.getrandbits(64)))
        try:
            action.then(await self.store.write(self.account, action.work))
            self.done[kind] += 1
        except (RecordNotFound, RecordInvalid):
            self.refused += 1

    def _read_or_create(self, write: WriteTransaction) -> tuple[list[int], list[int], list[int]]:
        newest = write.next_id("tickets") - 1
        recent = range(max(1, newest - _RECENT_TICKETS), newest + 1)
        tickets = [
            id
            for id, body in sorted(write.find_tickets(recent).items())
            if msgspec.json.decode(body)["status"] not in ("closed", "deleted")
        ]
        first = write.next_id("users")
        bodies = write.find_records("users", range(1, first)) if first < _KNOWN_USERS else {}
        users = [_USER.decode(body) for _, body in sorted(bodies.items())]
        users = [user for user in users if user.active and not user.suspended]
        agents = [user.id for user in users if user.role != "end-user"]
        end_users = [user.id for user in users if user.role == "end-user"]
        writer = self._users(write)
        for number in range(_AGENTS_MIN - len(agents)):
            agents.append(writer.create(self._new_user(f"agent{first + number}", "agent")).id)
        for number in range(_END_USERS_MIN - len(end_users)):
            end_users.append(writer.create(self._new_user(f"person{first + number}", "end-user")).id)
        return tickets, agents, end_users

    def _new_user(self, name: str, role: str) -> RecordChange:
        values = {"name": name.capitalize(), "email": f"{name}@{self.seed}.example", "role": role}
        return parse_new_record("users", msgspec.json.encode(values))

    def _users(self, write: WriteTransaction) -> RecordWriter:
        return RecordWriter(write, self.account.subdomain, Identity(SYSTEM_ID, "", "admin"), "users")

    def _by(self, write: WriteTransaction, user_id: int) -> TicketWriter:
        return TicketWriter(write, self.account.subdomain, Identity(user_id, "", "agent"))

    def _change(self, rng: random.Random, values: dict[str, Any]) -> _Action:
        ticket_id, agent = rng.choice(self._tickets or [0]), rng.choice(self._agents)
        change = TICKET_CHANGE.convert(values)
        return _Action(lambda write: self._by(write, agent).update(ticket_id, change))

    def _ticket(self, rng: random.Random) -> _Action:
        matter = draw_matter(rng, LANGUAGES[0])
        requester = rng.choice(self._end_users)
        values = {
            "subject": matter.subject,
            "comment": {"body": write_text(rng, rng.choice(_SIZES), LANGUAGES[0], matter, "Alex")},
            "requester_id": requester,
            "priority": rng.choice([None, "low", "normal", "high", "urgent"]),
            "tags": [matter.product_tag],
        }
        ticket = NEW_TICKET.convert(values)

        def then(id: int) -> None:
            self._tickets.append(id)
            del self._tickets[:-_RECENT_TICKETS]

        return _Action(lambda write: self._by(write, requester).create(ticket).draft.id, then)

    def _agent_reply(self, rng: random.Random) -> _Action:
        text = rng.choice(["Thank you, we are looking into it.", "Could you tell us more?", "It is on its way."])
        status = rng.choice(["open", "pending", "pending", "solved"])
        return self._change(rng, {"comment": {"body": text, "public": rng.random() < 0.8}, "status": status})

    def _requester_reply(self, rng: random.Random) -> _Action:
        ticket_id = rng.choice(self._tickets or [0])
        text = rng.choice(["Any news?", "Thank you!", "It still does not work.", "Here is what you asked for."])
        other = rng.choice(self._end_users)

        def work(write: WriteTransaction) -> None:
            body = write.find_tickets([ticket_id]).get(ticket_id)
            requester = msgspec.json.decode(body)["requester_id"] if body else None
            author = requester if requester in self._end_users else other
            self._by(write, author).update(ticket_id, TicketInput(comment=Comment(body=text, author_id=author)))

        return _Action(work)

    def _status(self, rng: random.Random) -> _Action:
        return self._change(rng, {"status": rng.choice(["open", "pending", "hold", "solved", "solved", "closed"])})

    def _assignment(self, rng: random.Random) -> _Action:
        return self._change(rng, {"assignee_id": rng.choice(self._agents)})

    def _tags(self, rng: random.Random) -> _Action:
        key = rng.choice(["additional_tags", "remove_tags"])
        return self._change(rng, {key: [rng.choice(["vip", "refund", "bug", "follow_up"])]})

    def _bulk(self, rng: random.Random) -> _Action:
        chosen = rng.sample(self._tickets, min(_BULK_TICKETS, len(self._tickets)))
        agent, change = rng.choice(self._agents), TicketInput(priority=rng.choice(["low", "high"]))

        def work(write: WriteTransaction) -> None:
            tickets = self._by(write, agent)
            for ticket_id in chosen:
                if tickets.is_open(ticket_id):
                    tickets.update(ticket_id, change)

        return _Action(work)

    def _deletion(self, rng: random.Random) -> _Action:
        ticket_id, agent = rng.choice(self._tickets or [0]), rng.choice(self._agents)
        return _Action(
            lambda write: self._by(write, agent).delete(ticket_id), lambda _: self._deleted.append(ticket_id)
        )

    def _restoration(self, rng: random.Random) -> _Action:
        ticket_id, agent = rng.choice(self._deleted or [0]), rng.choice(self._agents)
        return _Action(lambda write: self._by(write, agent).restore(ticket_id))

    def _person(self, rng: random.Random) -> _Action:
        if rng.random() < 0.5:
            return _Action(
                lambda write: (
                    self._users(write).create(self._new_user(f"person{write.next_id('users')}", "end-user")).id
                ),
                self._end_users.append,
            )
        user_id = rng.choice(self._end_users)
        change = parse_record_change("users", msgspec.json.encode({"notes": f"note {rng.random():.6f}"}))
        return _Action(lambda write: self._users(write).update(user_id, change))
