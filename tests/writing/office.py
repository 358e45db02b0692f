"""An account in a store, under a clock that is set by hand, whose tickets are written without the API around it."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from ticketfeed.protocol.model import Identity
from ticketfeed.protocol.records import parse_record
from ticketfeed.protocol.tickets import parse_ticket
from ticketfeed.storage import open_store
from ticketfeed.storage.memory import MemoryStore
from ticketfeed.storage.write_contract import WriteTransaction
from ticketfeed.writing.tickets import TicketWriter

__all__ = ["NOON", "Office"]

NOON = 1_700_000_000
T = TypeVar("T")


class Office:
    """An admin (1), end users (10, 11), agents (20, 21) of the groups 30 and 31, an inactive agent (22)."""

    def __init__(self, sqlite: Path | None = None) -> None:
        self.now = NOON
        if sqlite is None:
            self.store: Any = MemoryStore(lambda: self.now)
        else:
            self.store = asyncio.run(open_store(f"sqlite:///{sqlite}/office.db", lambda: self.now))
        self.account = asyncio.run(self.store.create_account("acme"))
        self.load("groups", {"id": 30, "name": "Support"}, {"id": 31, "name": "Sales"})
        self.load("organizations", {"id": 40, "name": "ACME"})
        self.load("users", {"id": 1, "name": "Ada", "email": "ada@example.com", "role": "admin"})
        self.load("users", {"id": 10, "name": "Ann", "email": "ann@example.com", "organization_id": 40})
        self.load("users", {"id": 11, "name": "Abe", "email": "abe@example.com"})
        self.load(
            "users", {"id": 20, "name": "Bob", "email": "bob@example.com", "role": "agent", "default_group_id": 30}
        )
        self.load(
            "users", {"id": 21, "name": "Ben", "email": "ben@example.com", "role": "agent", "default_group_id": 31}
        )
        self.load("users", {"id": 22, "name": "Bea", "email": "bea@example.com", "role": "agent", "active": False})

    def close(self) -> None:
        asyncio.run(self.store.close())

    def load(self, kind: str, *records: dict[str, Any]) -> None:
        """Store records as `ticketfeed load` does."""
        encoded = [msgspec.json.encode(record) for record in records]

        def work(write: WriteTransaction) -> None:
            if kind == "tickets":
                write.put_tickets([parse_ticket(data, account="acme", now=self.now) for data in encoded])
            else:
                write.put_records([parse_record(kind, data, account="acme", now=self.now) for data in encoded])

        self.write(work)

    def write(self, work: Callable[[WriteTransaction], T]) -> T:
        return asyncio.run(self.store.write(self.account, work))

    def tickets(self, work: Callable[[TicketWriter], T], actor: int = 1) -> T:
        """Write tickets in the name of a user."""
        return self.write(lambda write: work(TicketWriter(write, "acme", Identity(actor, "", "admin"))))

    def ticket(self, ticket_id: int) -> dict[str, Any]:
        return dict(msgspec.json.decode(self.write(lambda write: write.find_tickets([ticket_id]))[ticket_id]))

    def of_ticket(self, kind: str, ticket_id: int) -> list[bytes]:
        return self.write(lambda write: write.find_of_ticket(kind, ticket_id))

    def record(self, kind: str, id: int) -> dict[str, Any] | None:
        body = self.write(lambda write: write.find_records(kind, [id])).get(id)
        return None if body is None else dict(msgspec.json.decode(body))
