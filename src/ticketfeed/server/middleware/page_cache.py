"""Answers that are ready: the same request as before, whose pages are kept.

An export's page that was put together out of runs is remembered with its head. When the very same request comes
again, its credentials are checked as ever, and its bytes are sent; where a ticket has left one of its runs, they are
made anew first. Whatever is not quite so takes the ordinary way, which is the only one that decides anything.
"""

from dataclasses import dataclass, field, replace

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from ticketfeed.export.assemble import read_pieces
from ticketfeed.export.fragment_file import Body
from ticketfeed.export.fragments import Run, Runs, Whole
from ticketfeed.export.source import Source
from ticketfeed.protocol.consumers import Served
from ticketfeed.protocol.envelope import encode_etag, encode_page, encode_pieces_etag, page_ends
from ticketfeed.protocol.errors import WireError
from ticketfeed.protocol.gzip_splice import Coding, Piece
from ticketfeed.protocol.model import Account, Identity, Position
from ticketfeed.protocol.query import ExportRequest
from ticketfeed.server.api.call import Service
from ticketfeed.server.request_context import request_context

__all__ = ["Asked", "Ready", "ReadyAnswers", "make_ready", "remember"]

CURSOR_EXPORT = "tickets/cursor"
# About 5 KB each.
READY_MAX = 500


@dataclass(frozen=True, slots=True)
class Asked:
    """A page as it was asked for, by a user whose role allows it."""

    account: Account
    identity: Identity
    request: ExportRequest
    address: str
    coding: Coding


@dataclass(slots=True)
class Ready:
    """Its answer, and the runs that must all be as they were; None among them for one that was not kept.

    `whole`: the page with its sideloads, for one that has any. `stamp` is that of the store when who asks, and what
    has left, were last looked at.
    """

    asked: Asked
    body: Body
    etag: str
    served: Served
    runs: list[Run | None]
    whole: Whole | None = None
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    change_counter: int | None = None

    def is_right(self, runs: Runs) -> bool:
        """Whether nothing has changed. What a page at the end of the stream says changes without a departure."""
        if self.served.end_of_stream or (self.whole is not None and not runs.is_right(self.asked.account, self.whole)):
            return False
        return all(run is not None and run.is_kept for run in self.runs)


async def make_ready(service: Service, asked: Asked) -> Ready:
    """Put the page together."""
    now, request, runs = service.clock(), asked.request, service.runs
    until = now - service.settings.settle_seconds
    source = Source(service.store, asked.account, "tickets", request.filters, request.include, now, until)
    identity = service.store.store_id, asked.account.subdomain, asked.address, repr(request.kept)
    if request.include:
        return await _make_whole(runs, source, asked, identity)
    page = await read_pieces(runs, source, request.after, request.page_limit, asked.coding)
    head, tail = page_ends(page.after if page.pieces else None, page.end_of_stream, asked.address, request.kept)
    body = Body(*asked.coding.ends(head, page.pieces, tail), page.pieces, asked.coding.comma)
    etag = encode_pieces_etag(page.pieces, page.end_of_stream, *identity)
    served = _served(asked, page.after, sum(piece.count for piece in page.pieces), page.end_of_stream)
    return Ready(asked, body, etag, served, page.runs)


async def _make_whole(runs: Runs, source: Source, asked: Asked, identity: tuple[str, ...]) -> Ready:
    """With sideloads: all of the body is one piece."""
    request, coding = asked.request, asked.coding
    await runs.catch_up(asked.account)
    key = request, asked.address, coding.name
    whole = runs.find_whole(asked.account, key)
    if whole is not None:
        return _ready_whole(asked, whole)
    page = await source.read_page(request)
    data, size, crc = coding.encode([encode_page(page, asked.address, request.kept)])
    piece = Piece(len(page.rows), 0, page.after, size, crc, len(data), data)
    whole = Whole(Run(request.after, page.after, piece), encode_etag(page, *identity), source.state.record_changes)
    if page.end_of_stream or not runs.keep_whole(asked.account, key, whole):
        whole.run.is_kept = False
    return _ready_whole(asked, whole, page.end_of_stream)


def _ready_whole(asked: Asked, whole: Whole, end_of_stream: bool = False) -> Ready:
    piece = whole.run.whole
    body = Body(*asked.coding.ends(b"", [piece], b""), [piece], b"")
    served = _served(asked, piece.last, piece.count, end_of_stream)
    return Ready(asked, body, whole.etag, served, [whole.run], whole)


def _served(asked: Asked, end: Position, count: int, end_of_stream: bool) -> Served:
    return Served(CURSOR_EXPORT, "tickets", asked.request.after, end, count, end_of_stream, asked.request.filters)


def remember(service: Service, scope: Scope, ready: Ready, headers: list[tuple[bytes, bytes]]) -> None:
    """Unless requests are counted: then each has to take the ordinary way."""
    if service.rate_limiter.is_limited or not ready.is_right(service.runs):
        return
    service.ready[_key(scope)] = replace(ready, headers=headers.copy())  # to which each answer adds its id
    if len(service.ready) > READY_MAX:
        del service.ready[next(iter(service.ready))]


class ReadyAnswers:
    """Stands before the routes."""

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self._app, self._service = app, service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        ready = self._service.ready.get(_key(scope)) if scope["type"] == "http" else None
        if ready is not None:
            ready = await self._look_again(ready, scope)
        body = self._service.runs.file.read(ready.body) if ready is not None else None
        if ready is None or body is None:
            await self._app(scope, receive, send)
            return
        told = request_context(scope)
        told.account, told.identity, told.served = ready.asked.account, ready.asked.identity, ready.served
        told.endpoint = f"/incremental/{CURSOR_EXPORT}"
        await send({"type": "http.response.start", "status": 200, "headers": ready.headers.copy()})
        await send({"type": "http.response.body", "body": body})

    async def _look_again(self, ready: Ready, scope: Scope) -> Ready | None:
        """The answer as it is now; None when the ordinary way has to tell."""
        service, change_counter = self._service, self._service.store.change_counter()
        try:
            if change_counter is None or change_counter != ready.change_counter:
                headers = Headers(scope=scope)
                account = await service.accounts.find(headers.get("host", ""))
                identity = await service.authenticate(account, headers.get("authorization"))
                await service.runs.catch_up(account)
                if (account, identity) != (ready.asked.account, ready.asked.identity):
                    return None
                ready.change_counter = change_counter
            if ready.is_right(service.runs):
                return ready
            new = await make_ready(service, ready.asked)
        except WireError:
            return None
        kept = [(name, value) for name, value in ready.headers if name not in (b"etag", b"content-length")]
        new.headers = [*kept, (b"etag", new.etag.encode()), (b"content-length", b"%d" % new.body.size)]
        remember(service, scope, new, new.headers)
        return new


def _key(scope: Scope) -> tuple[object, ...]:
    """All of a request that its answer depends on, and a little more."""
    return (scope["method"], scope["scheme"], scope["path"], scope["query_string"], *map(tuple, scope["headers"]))
