"""`GET /_ticketfeed/feed_hash`: counts and hashes of an account's tickets, for `ticketfeed export --verify`.

Equal hashes mean equal tickets (protocol/feed_hash.py). Where they differ, buckets of ids narrow down which tickets do.
"""

from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ticketfeed.export.source import FeedReader
from ticketfeed.protocol.cursor import decode_cursor
from ticketfeed.protocol.errors import InvalidValue, RoleTooLow
from ticketfeed.protocol.feed_hash import FeedHash
from ticketfeed.protocol.model import INT64_MAX, Filters, Position
from ticketfeed.protocol.query import parse_integer, parse_query
from ticketfeed.server.api.call import admit
from ticketfeed.server.request_context import request_context

__all__ = ["FEED_HASH_ROUTES"]

BUCKETS_MAX = 1024
IDS_MAX = 10_000
# Other requests are served between two pages; hashing one takes about 2 ms.
_PAGE_ROWS = 1000


@dataclass(frozen=True, slots=True)
class _HashRequest:
    """after < position <= until, id_from <= id < id_to, in `buckets` ranges of ids of equal width."""

    after: Position
    until: Position
    id_from: int
    id_to: int
    buckets: int
    with_ids: bool
    filters: Filters

    def bucket(self, id: int) -> int:
        return (id - self.id_from) * self.buckets // (self.id_to - self.id_from)

    def bounds(self, bucket: int) -> tuple[int, int]:
        """The range of ids of a bucket: from (inclusive), to (exclusive)."""
        width = self.id_to - self.id_from
        low, high = (-(-number * width // self.buckets) for number in (bucket, bucket + 1))
        return self.id_from + low, self.id_from + high


@dataclass(slots=True)
class _Bucket:
    tickets: FeedHash = field(default_factory=FeedHash)
    positions: FeedHash = field(default_factory=FeedHash)


async def _feed_hash(request: Request) -> Response:
    request_context(request.scope).endpoint = "/_ticketfeed/feed_hash"
    call = await admit(request)
    if call.identity.role != "admin":
        raise RoleTooLow
    wanted = _parse(parse_query(request.scope["query_string"].decode("latin-1")))
    service, until = call.service, wanted.until.generated_timestamp
    reader = FeedReader(service.store, call.account, "tickets", wanted.filters, (), call.now, until)
    buckets = [_Bucket() for _ in range(wanted.buckets)]
    ids: list[tuple[int, int]] = []
    lowest, highest, after, is_end = INT64_MAX, -1, wanted.after, False
    while not is_end:
        _, rows = await reader.read(after, _PAGE_ROWS)
        is_end = len(rows) < _PAGE_ROWS
        for row in rows:
            second, id = row.generated_timestamp, row.id
            if (second, id) > wanted.until:
                is_end = True
                break
            if wanted.id_from <= id < wanted.id_to:
                bucket = buckets[wanted.bucket(id)]
                bucket.tickets.add(id, second, row.body)
                bucket.positions.add(id, second)
                lowest, highest = min(lowest, id), max(highest, id)
                if wanted.with_ids and len(ids) < IDS_MAX:
                    ids.append((id, second))
        if rows:
            after = Position(rows[-1].generated_timestamp, rows[-1].id)
    described = [_describe(wanted, number, bucket) for number, bucket in enumerate(buckets) if bucket.tickets.count]
    count = sum(bucket["count"] for bucket in described)
    if wanted.with_ids and count > IDS_MAX:
        raise InvalidValue(f"there are {count:,} tickets; ids are listed for at most {IDS_MAX:,}")
    body: dict[str, Any] = {"account": call.account.subdomain, "count": count, "buckets": described}
    body |= {"lowest_id": lowest, "highest_id": highest} if count else {"lowest_id": None, "highest_id": None}
    if wanted.with_ids:
        body["ids"] = sorted(ids)
    return JSONResponse(body, headers={"cache-control": "no-store"})


def _describe(wanted: _HashRequest, number: int, bucket: _Bucket) -> dict[str, Any]:
    id_from, id_to = wanted.bounds(number)
    return {
        "id_from": id_from,
        "id_to": id_to,
        "count": bucket.tickets.count,
        "hash": bucket.tickets.text(),
        "positions_hash": bucket.positions.text(),
    }


def _parse(query: dict[str, str]) -> _HashRequest:
    """Raises InvalidCursor, InvalidValue."""
    numbers = {name: _number(query, name) for name in ("since", "id_from", "id_to", "buckets")}
    id_from, id_to = numbers["id_from"] or 0, numbers["id_to"] if numbers["id_to"] is not None else INT64_MAX
    if id_to <= id_from:
        raise InvalidValue("id_to must be greater than id_from")
    buckets = 1 if numbers["buckets"] is None else numbers["buckets"]
    if not 1 <= buckets <= BUCKETS_MAX:
        raise InvalidValue(f"buckets must be from 1 to {BUCKETS_MAX}")
    after = decode_cursor(query["after"]) if "after" in query else Position(numbers["since"] or 0, -1)
    until = decode_cursor(query["until"]) if "until" in query else Position(INT64_MAX, INT64_MAX)
    filters = Filters(exclude_deleted=query.get("exclude_deleted") == "true", support_type_scope="all")
    return _HashRequest(after, until, id_from, id_to, buckets, query.get("ids") == "true", filters)


def _number(query: dict[str, str], name: str) -> int | None:
    if name not in query:
        return None
    number = parse_integer(query[name])
    if number is None:
        raise InvalidValue(f"{name} must be a tickets number")
    return number


FEED_HASH_ROUTES = [Route("/_ticketfeed/feed_hash", _feed_hash, methods=["GET"])]
