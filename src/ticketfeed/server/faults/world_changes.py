"""Changes to the tickets of an account while somebody reads them, as part of one write."""

from typing import Any

import msgspec

from ticketfeed.protocol.audits import SYSTEM_ID
from ticketfeed.protocol.model import Account, Identity, Position
from ticketfeed.protocol.records import wire_second
from ticketfeed.protocol.rows import TicketRow
from ticketfeed.protocol.scenarios import FaultWorld
from ticketfeed.protocol.tickets import TicketDraft, parse_ticket
from ticketfeed.storage.contract import WriteTransaction
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
    drafts = [_changed(write, account, world, row.body) for row in touched]
    if world.given and given is not None:
        drafts += [_changed(write, account, world, body) for body in write.find_tickets([given]).values()]
    drafts += _created(write, account, world, oldest)
    write.put_tickets(drafts)
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


def _created(write: WriteTransaction, account: Account, world: FaultWorld, like: list[TicketRow]) -> list[TicketDraft]:
    """New tickets with the content of old ones."""
    if not world.create:
        return []
    first, bodies = write.next_id("tickets"), [row.body for row in like] or [b'{"id":1,"subject":"Printer"}']
    drafts = []
    for number in range(world.create):
        values = msgspec.json.decode(bodies[number % len(bodies)], type=dict[str, Any])
        for key in ("url", "encoded_id", "external_id"):
            values.pop(key, None)
        values |= {"id": first + number, "created_at": wire_second(write.now), "status": "new"}
        drafts.append(_changed(write, account, world, msgspec.json.encode(values)))
    return drafts


def _changed(write: WriteTransaction, account: Account, world: FaultWorld, body: bytes) -> TicketDraft:
    """A ticket, changed now."""
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
