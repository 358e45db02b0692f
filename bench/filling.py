"""A store of any size, quickly: the tickets of a small generated world again and again, each with an id of its own."""

import random
from collections.abc import Iterator
from dataclasses import replace
from functools import cache

import msgspec

from ticketfeed import Account, Store, TicketDraft, generate_world, parse_ticket

__all__ = ["drafts", "fill", "fill_short", "update_all"]

UNTIL = 1_780_272_000
SECONDS_APART = 10
TEMPLATES = 2000
_CHUNK = 1000
# Of short tickets: enough to share the costs of a commit, few enough that a write-ahead log stays small.
_SHORT_CHUNK = 50_000
_SHORT_HEAD = (
    b'{"url":"https://demo.zendesk.com/api/v2/tickets/%d.json","id":%d,"created_at":"2026-01-01T00:00:00Z",'
    b'"updated_at":"2026-01-01T00:00:00Z","generated_timestamp":'
)
_SHORT_TAIL = b'%d,"subject":"ticket","raw_subject":"ticket","status":"new","support_type":null}'


def drafts(count: int, *, first_id: int = 1, until: int = UNTIL) -> Iterator[TicketDraft]:
    """`count` tickets with ascending ids and seconds, the last one generated at `until`."""
    for number, data in zip(range(count), _bodies(first_id), strict=False):
        second = until - (count - 1 - number) * SECONDS_APART
        data = data.replace(b'"generated_timestamp":0', b'"generated_timestamp":%d' % second, 1)
        yield parse_ticket(data, account="demo", now=until)


async def fill(store: Store, account: Account, count: int) -> None:
    """One load, as `ticketfeed load` does it."""
    await store.write(
        account, lambda write: write.put_tickets(drafts(count), keep_generated_timestamp=True), exclusive=True
    )


async def fill_short(store: Store, account: Account, count: int) -> None:
    """Tickets with nine of their keys: a tenth of the bytes, so that 30 million and their indexes are 15 GB."""
    for begin in range(0, count, _SHORT_CHUNK):
        ids = range(begin + 1, min(begin + _SHORT_CHUNK, count) + 1)
        await store.write(account, lambda write, ids=ids: write.put_tickets(map(_short_draft, ids)))  # type: ignore[misc]


def _short_draft(id: int) -> TicketDraft:
    draft = _short_template()
    head = _SHORT_HEAD % (id, id)
    row = draft.row._replace(id=id, body=head + _SHORT_TAIL % UNTIL)
    return replace(draft, row=row, second_at=len(head))


@cache
def _short_template() -> TicketDraft:
    return parse_ticket(b'{"id":1,"generated_timestamp":%d}' % UNTIL, account="demo", now=UNTIL)


async def update_all(store: Store, account: Account, count: int, seed: int) -> None:
    """Every ticket once, in an order of chance, a thousand in a transaction."""
    ids = list(range(1, count + 1))
    random.Random(seed).shuffle(ids)
    bodies = _templates()
    for begin in range(0, count, _CHUNK):
        chunk = [
            parse_ticket(_with_id(bodies[id % TEMPLATES], id), account="demo", now=UNTIL)
            for id in ids[begin : begin + _CHUNK]
        ]
        await store.write(account, lambda write, chunk=chunk: write.put_tickets(chunk))  # type: ignore[misc]


def _bodies(first_id: int) -> Iterator[bytes]:
    bodies = _templates()
    id = first_id
    while True:
        yield _with_id(bodies[id % TEMPLATES], id)
        id += 1


@cache
def _templates() -> list[bytes]:
    world = generate_world(TEMPLATES, seed=1, until=UNTIL, account="demo", histories=False)
    zeros = {"id": 0, "generated_timestamp": 0, "support_type": None}
    return [msgspec.json.encode({**record, **zeros}) for kind, record in world if kind == "tickets"]


def _with_id(body: bytes, id: int) -> bytes:
    return body.replace(b'"id":0', b'"id":%d' % id, 1)
