"""Changes to the tickets of an account while somebody reads them, as part of one write."""

import contextlib
from collections.abc import Iterable
from typing import Any

import msgspec

from ticketfeed.protocol.audits import SYSTEM_ID
from ticketfeed.protocol.errors import BadRecord
from ticketfeed.protocol.model import Account, Identity, Position
from ticketfeed.protocol.records import wire_second
from ticketfeed.protocol.rows import TicketRow
from ticketfeed.protocol.scenarios import FaultWorld
from ticketfeed.protocol.tickets import TicketDraft, parse_ticket
from ticketfeed.storage.write_contract import WriteTransaction
from ticketfeed.writing.tickets import TicketWriter

__all__ = ["change_world"]

_BEGIN = Position(0, -1)
_SYSTEM = Identity(SYSTEM_ID, "", "admin")
_WORDS = "The printer on the third floor prints every page twice. "


def change_world(
    write: WriteTransaction, account: Account, world: FaultWorld, after: Position, given: int | None
) -> None:
    """Make the changes. `after`: the position that the reader has come to. `given`: the first ticket of its page."""
    wanted = world.touch + world.delete + 1
    oldest = [row for row in write.find_tickets_after(_BEGIN, 2 * wanted + 50) if row.status != "deleted"]
    touched, deleted = oldest[: world.touch], oldest[world.touch : world.touch + world.delete]
    bodies = [row.body for row in touched]
    if world.given and given is not None:
        bodies += write.find_tickets([given]).values()
    bodies += _new_bodies(write, world, oldest)
    write.put_tickets(_all_changed(write, account, world, bodies))
    writer = TicketWriter(write, account.subdomain, _SYSTEM)
    done = {row.id for row in (*touched, *deleted)}
    for row in deleted:
        writer.delete(row.id)
    for row in _following(write, after, world.scrub, done):
        writer.delete(row.id)
        writer.scrub(row.id)


def _following(write: WriteTransaction, after: Position, count: int, done: set[int]) -> list[TicketRow]:
    """Tickets that the reader has not come to."""
    if not count:
        return []
    rows = write.find_tickets_after(after, count + len(done) + 50)
    return [row for row in rows if row.status != "deleted" and row.id not in done][:count]


def _new_bodies(write: WriteTransaction, world: FaultWorld, like: list[TicketRow]) -> list[bytes]:
    """New tickets with the content of old ones."""
    if not world.create:
        return []
    first, found = write.next_id("tickets"), [row.body for row in like] or [b'{"id":1,"subject":"Printer"}']
    bodies = []
    for number in range(world.create):
        values = msgspec.json.decode(found[number % len(found)], type=dict[str, Any])
        for key in ("url", "encoded_id", "external_id"):
            values.pop(key, None)
        values |= {"id": first + number, "created_at": wire_second(write.now), "status": "new"}
        bodies.append(msgspec.json.encode(values))
    return bodies


def _all_changed(
    write: WriteTransaction, account: Account, world: FaultWorld, bodies: Iterable[bytes]
) -> list[TicketDraft]:
    """These tickets, changed now; without those that an older release let in and that could not be loaded today."""
    drafts = []
    for body in bodies:
        with contextlib.suppress(BadRecord):
            drafts.append(_changed(write, account, world, body))
    return drafts


def _changed(write: WriteTransaction, account: Account, world: FaultWorld, body: bytes) -> TicketDraft:
    """A ticket, changed now. Raises BadRecord."""
    values = msgspec.json.decode(body, type=dict[str, Any])
    if not world.system:
        values["updated_at"] = wire_second(write.now)
    values |= world.values
    if world.custom_field is not msgspec.UNSET and values.get("custom_fields"):
        first, *others = values["custom_fields"]
        values["custom_fields"] = values["fields"] = [{**first, "value": world.custom_field}, *others]
    if world.description_bytes:
        repeats = world.description_bytes // len(_WORDS) + 1
        values["description"] = (_WORDS * repeats)[: world.description_bytes]
    values.pop("generated_timestamp", None)
    return parse_ticket(msgspec.json.encode(values), account=account.subdomain, now=write.now)
