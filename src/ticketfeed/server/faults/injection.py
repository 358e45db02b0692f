"""The middleware that does what scenarios say to the answers of the application behind it.

Without a scenario that is switched on, a request passes after one look at an attribute. Faults are those of a
connection: a request inside the process, as of `FeedServer.get`, meets none.
"""

import asyncio
import binascii
import contextlib
import re
import zlib
from base64 import b64decode
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from email.utils import formatdate
from functools import partial
from typing import Any, Protocol

import msgspec
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ticketfeed.clock import system_instant
from ticketfeed.logs import REQUEST_ID
from ticketfeed.protocol.credentials import hash_token
from ticketfeed.protocol.errors import InvalidToken, NotAuthenticated, WireError
from ticketfeed.protocol.model import Account, Identity, Position
from ticketfeed.protocol.query import PAGE_LIMIT_MAX, parse_integer, parse_query
from ticketfeed.protocol.scenarios import FaultEffect, FaultWorld
from ticketfeed.protocol.token_request import TokenRequest, parse_token_request
from ticketfeed.server.api.call import Service
from ticketfeed.server.api.requests import read_body
from ticketfeed.server.faults.engine import ActiveScenario, FaultRequest, Faults, Firing
from ticketfeed.server.faults.page_edits import edit_page, records_key, without_keys
from ticketfeed.server.faults.world_changes import change_world
from ticketfeed.server.middleware.access_log import logged_query
from ticketfeed.server.middleware.account_date import put_date
from ticketfeed.server.middleware.overload import CONNECTION
from ticketfeed.server.request_context import request_context
from ticketfeed.server.responses import error_response
from ticketfeed.storage.contract import WriteTransaction

__all__ = ["FaultInjection"]

_OWN = "/_ticketfeed"
_TOKENS = "/oauth/tokens"
_LIST_PAGE = 100
# How long an answer is withheld from a command that is to be killed.
_KILL_SECONDS = 30.0
# How long a change waits until it can be read: the rest of its second, and some.
_READABLE_SECONDS = 1.5
_POLL_SECONDS = 0.02
_HTTP_DATE = re.compile(r"\{http_date([+-][0-9]{1,9})?\}")
_GZIP_MEMBER = 31
_PLACES = {
    "head": "before the answer",
    "before_body": "before the body",
    "inside_body": "inside the body",
    "after_body": "before the end of the body was marked",
    "after_answer": "after the answer",
}


class Connection(Protocol):
    """A connection, as far as faults end it."""

    def cut(self, *, at_once: bool) -> None: ...


@dataclass(slots=True)
class _Answer:
    """An answer before it is sent."""

    status: int = 0
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    body: bytes = b""

    def header(self, name: bytes) -> bytes | None:
        return next((value for found, value in self.headers if found.lower() == name), None)

    def put_header(self, name: bytes, value: bytes | None) -> None:
        """Replace a header; None removes it."""
        self.headers = [row for row in self.headers if row[0].lower() != name]
        if value is not None:
            self.headers.append((name, value))

    async def receive(self, message: Message) -> None:
        """Take a message of an application."""
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], list(message["headers"])
        else:
            self.body += message.get("body", b"")

    def decode(self) -> Any:
        """The JSON of the body."""
        is_gzip = self.header(b"content-encoding") == b"gzip"
        return msgspec.json.decode(zlib.decompress(self.body, _GZIP_MEMBER) if is_gzip else self.body)

    def encode(self, values: object) -> None:
        """Put JSON in the body, in the coding that it had."""
        self.body = msgspec.json.encode(values)
        if self.header(b"content-encoding") == b"gzip":
            self.body = _gzip(self.body)
        self.put_header(b"etag", None)


@dataclass(slots=True)
class _Fault:
    """A scenario that fires at a request."""

    active: ActiveScenario
    number: int

    @property
    def what(self) -> FaultEffect:
        return self.active.scenario.what


class FaultInjection:
    """ASGI middleware, the innermost: it sees the path that is routed, and what AccessLog records is what was sent."""

    def __init__(self, app: ASGIApp, faults: Faults) -> None:
        self._app, self._faults = app, faults

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, unless a scenario counts it."""
        if not self._faults.are_active or scope["type"] != "http" or CONNECTION not in scope:
            await self._app(scope, receive, send)
            return
        exchange = None if scope["path"].startswith(_OWN) else await self._begin(scope, receive)
        if exchange is None:
            await self._app(scope, receive, send)
        else:
            await exchange.run(self._app, send)

    async def _begin(self, scope: Scope, receive: Receive) -> "_Exchange | None":
        """The exchange of a request that scenarios may count; None for any other."""
        request = Request(scope, receive)
        service: Service = request.app.state.service
        try:
            account = await service.accounts.find(request.headers.get("host", ""))
        except WireError:
            return None
        authorization, path = request.headers.get("authorization"), scope["path"]
        identity, asked = None, None
        if path == _TOKENS:
            body = await read_body(request)
            receive = _replay(body, receive)
            asked = _token_request(body, request)
        elif authorization:
            identity = await _identify(service, account, request)
        if identity is None and asked is None:  # nobody whose requests count
            return None
        query = parse_query(scope["query_string"].decode("latin-1"))
        facts = FaultRequest(
            method=scope["method"],
            path=path,
            per_page=_per_page(path, query),
            secrets=[*_secrets(authorization), *_secrets_of(asked)],
            identity=identity,
            grant_type=asked.grant_type if asked else None,
            request_id=REQUEST_ID.get(""),
            query=logged_query(scope["query_string"]),
        )
        return _Exchange(self._faults, service, account, scope, receive, facts, query, asked)


@dataclass(slots=True)
class _Exchange:
    """One request that scenarios may count, and its answer."""

    faults: Faults
    service: Service
    account: Account
    scope: Scope
    receive: Receive
    request: FaultRequest
    query: Mapping[str, str]
    token_request: TokenRequest | None

    async def run(self, app: ASGIApp, send: Send) -> None:
        """Answer the request. Raises InvalidToken or NotAuthenticated for a token that a scenario made expire."""
        context = request_context(self.scope)
        identity = self.request.identity
        if identity is not None and self.faults.is_expired(self.account, identity):
            context.account = self.account
            raise _expired(identity)
        matched = [each for each in self.faults.active(self.account) if each.counts(self.request)]
        fired = self._fire([each for each in matched if each.scenario.what.is_early])
        answer = await self._early(fired)
        if answer is None:
            answer = _Answer()
            await self._call(app, answer)
        if 200 <= answer.status < 400:
            late = [each for each in matched if not each.scenario.what.is_early and self._suits(each, answer)]
            fired += self._fire(late)
        changed = [fault for fault in fired if fault.what.page is not None]
        self._note_events(answer)
        for fault in fired:
            await self._change(answer, fault)
        if not changed:
            self._keep_records(matched, answer)
        for fault in fired:
            self._record(fault, answer)
        await self._send(answer, [fault.what for fault in fired], send)

    def _fire(self, scenarios: Sequence[ActiveScenario]) -> list[_Fault]:
        now = system_instant()
        fired = [_Fault(each, each.counted) for each in scenarios if each.fires(now)]
        context = request_context(self.scope)
        context.faults += tuple(fault.active.scenario.name for fault in fired)
        return fired

    def _suits(self, active: ActiveScenario, answer: _Answer) -> bool:
        """Whether the answer is one that the scenario is about."""
        what, page, served = active.scenario.what, active.scenario.when.page, request_context(self.scope).served
        if what.truncate_gzip and answer.header(b"content-encoding") != b"gzip":
            return False
        if what.page is None and page is None:
            return True
        if served is None:
            return False
        if page == "more":
            return served.rows > 0 and not served.end_of_stream
        return page is None or served.end_of_stream

    # Before the request is carried out

    async def _early(self, fired: Sequence[_Fault]) -> _Answer | None:
        """Delays, and what happens to tokens; the answer if it is made up."""
        for fault in fired:
            await asyncio.sleep(fault.what.delay_seconds)
            if fault.what.token is not None:
                await self._spoil_token(fault)
            if fault.what.body is not None:
                return self._made_up(fault.what)
        return None

    async def _spoil_token(self, fault: _Fault) -> None:
        """Raises InvalidToken or NotAuthenticated if the request's own token expires."""
        identity, asked = self.request.identity, self.token_request
        if fault.what.token == "end" and asked is not None and asked.refresh_token:
            work = partial(_end_refresh_token, hash_token(asked.refresh_token))
            await self.service.store.write(self.account, work)
        elif fault.what.token == "expire" and identity is not None:
            self.faults.expire(self.account, identity)
            request_context(self.scope).account = self.account
            self._record(fault, _Answer(401))
            raise _expired(identity)

    def _made_up(self, what: FaultEffect) -> _Answer:
        """An answer without the application. For usage records it is one of the address that was asked for."""
        context = request_context(self.scope)
        context.account, context.identity = self.account, self.request.identity
        context.endpoint = self.request.path.removeprefix("/api/v2").removesuffix(".json")
        status = what.status or 200
        if status >= 400:
            context.error = f"{status} fault"
        return _Answer(status, [(b"content-type", b"application/json; charset=utf-8")], (what.body or "").encode())

    async def _call(self, app: ASGIApp, answer: _Answer) -> None:
        """The application's answer, its errors included."""
        try:
            await app(self.scope, self.receive, answer.receive)
        except WireError as error:
            await error_response(Request(self.scope), error)(self.scope, self.receive, answer.receive)

    # What changes the answer

    async def _change(self, answer: _Answer, fault: _Fault) -> None:
        what, context = fault.what, request_context(self.scope)
        if what.page is not None and context.served is not None:
            page = answer.decode()
            before = fault.active.records.get(self._reader, ())
            self._keep_records([fault.active], answer)
            context.served = edit_page(page, what.page, context.served, self.query, before, fault.number)
            answer.encode(page)
        if what.remove_keys:
            values = answer.decode()
            without_keys(values, what.remove_keys)
            answer.encode(values)
        if what.world is not None:
            await self._change_world(what.world, answer)
        if what.status is not None:
            answer.status = what.status
        for name, value in what.headers.items():
            answer.put_header(name.lower().encode(), self._header(value).encode("latin-1"))
        if what.truncate_gzip:
            answer.body = answer.body[: len(answer.body) // 2]
            context.served = None

    def _header(self, value: str) -> str:
        """The value of a header, with dates by the account's clock."""
        now = self.service.now(self.account)
        return _HTTP_DATE.sub(lambda found: formatdate(now + int(found[1] or 0), usegmt=True), value)

    async def _change_world(self, world: FaultWorld, answer: _Answer) -> None:
        """Change tickets, and wait until the changes can be read: else a quick reader ends before it could see them."""
        served = request_context(self.scope).served
        given = None
        if world.given and served is not None:
            page = answer.decode()
            key = records_key(page, served)
            given = page[key][0]["id"] if key is not None and page[key] else None
        after = served.end if served is not None else Position(0, -1)

        def work(write: WriteTransaction) -> int:
            change_world(write, self.account, world, after, given)
            return write.second

        second = await self.service.store.write(self.account, work)
        readable_at = second + 1 + self.service.settings.settle_seconds
        deadline = system_instant() + _READABLE_SECONDS
        while self.service.now(self.account) < readable_at and system_instant() < deadline:
            await asyncio.sleep(_POLL_SECONDS)

    # What scenarios remember

    @property
    def _reader(self) -> str:
        """Whose page before another one it is."""
        identity = self.request.identity
        return f"{identity.credential_id if identity else 0} {self.request.path}"

    def _keep_records(self, scenarios: Sequence[ActiveScenario], answer: _Answer) -> None:
        served = request_context(self.scope).served
        for active in scenarios:
            edit = active.scenario.what.page
            if edit is not None and edit.records == "repeat" and served is not None and answer.status == 200:
                page = answer.decode()
                key = records_key(page, served)
                active.records[self._reader] = page[key] if key is not None else ()

    def _note_events(self, answer: _Answer) -> None:
        served = request_context(self.scope).served
        events = set()
        if served is not None and served.end_of_stream and answer.status == 200:
            events.add("end_of_stream")
        if self.token_request is not None and 200 <= answer.status < 300:
            events.add("token")
        for active in self.faults.active(self.account) if events else ():
            active.events |= events

    def _record(self, fault: _Fault, answer: _Answer) -> None:
        what, request = fault.what, self.request
        is_cut = what.cut is not None or what.cut_after_bytes is not None or what.kill
        firing = Firing(
            scenario=fault.active.scenario.name,
            at=system_instant(),
            number=fault.number,
            request_id=request.request_id,
            method=request.method,
            path=request.path,
            query=request.query,
            credential_id=request.identity.credential_id if request.identity else 0,
            action=", ".join(_words(what)),
            status=0 if what.kill or what.cut == "head" else answer.status,
            is_cut=is_cut,
        )
        self.faults.record(self.account, fault.active, firing)

    # Sending it

    async def _send(self, answer: _Answer, effects: Sequence[FaultEffect], send: Send) -> None:
        connection: Connection = self.scope[CONNECTION]
        if any(what.kill for what in effects):
            await _wait_for_end(self.receive)
        if any(what.kill or what.cut == "head" for what in effects):
            connection.cut(at_once=True)
            return
        cut = next((what for what in effects if what.cut or what.cut_after_bytes is not None), None)
        size = _cut_at(cut, len(answer.body))
        is_endless = cut is not None and cut.cut != "after_answer" and size >= len(answer.body)
        answer.put_header(b"content-length", None if is_endless else str(len(answer.body)).encode())
        start: Message = {"type": "http.response.start", "status": answer.status, "headers": answer.headers}
        skew = sum(what.date_skew_seconds for what in effects)
        if skew:
            put_date(self.scope, start, self.service.now(self.account) + skew)
        await send(start)
        drip = next((what.drip for what in effects if what.drip is not None), None)
        is_whole = cut is None or cut.cut == "after_answer"
        pieces = list(_pieces(answer.body[:size], drip.pieces if drip else 1))
        for number, piece in enumerate(pieces, 1):
            if drip is not None:
                await asyncio.sleep(drip.every_seconds)
            is_last = is_whole and number == len(pieces)
            await send({"type": "http.response.body", "body": piece, "more_body": not is_last})
        if cut is not None:
            request_context(self.scope).is_body_sent = is_endless
            connection.cut(at_once=False)


def _cut_at(cut: FaultEffect | None, size: int) -> int:
    """How many of the bytes of a body are sent."""
    if cut is None or cut.cut in ("after_body", "after_answer"):
        return size
    if cut.cut == "before_body":
        return 0
    return size // 2 if cut.cut_after_bytes is None else min(size, cut.cut_after_bytes)


def _pieces(body: bytes, count: int) -> Iterator[bytes]:
    """A body in so many pieces, one of them at least."""
    step = max(1, -(-len(body) // count))
    yield from (body[at : at + step] for at in range(0, max(1, len(body)), step))


def _gzip(body: bytes) -> bytes:
    compressor = zlib.compressobj(wbits=_GZIP_MEMBER)
    return compressor.compress(body) + compressor.flush()


async def _wait_for_end(receive: Receive) -> None:
    """Wait until the client is gone, for a bounded time."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_KILL_SECONDS):
            while (await receive())["type"] != "http.disconnect":
                pass


def _replay(body: bytes, receive: Receive) -> Receive:
    """Give a body to the application that was read before it."""
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return messages.pop() if messages else await receive()

    return replay


def _token_request(body: bytes, request: Request) -> TokenRequest | None:
    """What a client sent to the token endpoint; None for what cannot be read, which no scenario counts."""
    headers = request.headers
    try:
        return parse_token_request(
            body, headers.get("content-type", ""), request.scope["query_string"], headers.get("authorization")
        )
    except WireError:
        return None


async def _identify(service: Service, account: Account, request: Request) -> Identity | None:
    try:
        return await service.authenticate(account, request.headers.get("authorization"), request.scope.get("client"))
    except WireError:
        return None


def _expired(identity: Identity) -> WireError:
    """How the API refuses a token that has expired."""
    return InvalidToken() if identity.kind == "access_token" else NotAuthenticated(with_token=True)


def _end_refresh_token(refresh_hash: str, write: WriteTransaction) -> None:
    token = write.find_refresh_token(refresh_hash)
    if token is not None:
        write.end_oauth_token(token.id)


def _per_page(path: str, query: Mapping[str, str]) -> int:
    """The size of the page that a request asks for."""
    asked = query.get("per_page") or query.get("page[size]") or query.get("limit")
    number = parse_integer(asked) if asked else None
    if number is None:
        return PAGE_LIMIT_MAX if "/incremental/" in path else _LIST_PAGE
    return min(number, PAGE_LIMIT_MAX)


def _secrets(authorization: str | None) -> list[str]:
    """The token or password of a header."""
    scheme, _, value = (authorization or "").strip().partition(" ")
    if scheme.lower() != "basic":
        return [value.strip()] if value else []
    try:
        return [b64decode(value.strip(), validate=True).decode().partition(":")[2]]
    except (binascii.Error, ValueError):
        return []


def _secrets_of(asked: TokenRequest | None) -> list[str]:
    if asked is None:
        return []
    return [text for text in (asked.client_id, asked.client_secret, asked.refresh_token) if text]


def _words(what: FaultEffect) -> Iterator[str]:
    """What a scenario does, in a few words."""
    if what.delay_seconds:
        yield f"delayed by {what.delay_seconds:g} s"
    if what.token is not None:
        yield "token expired" if what.token == "expire" else "refresh token used by another process"
    if what.status is not None or what.body is not None:
        yield f"status {what.status or 200}"
    if what.page is not None:
        yield "page changed: " + ", ".join(f"{key} {value}" for key, value in _set_keys(what.page))
    if what.world is not None:
        yield "tickets changed: " + ", ".join(f"{key} {value}" for key, value in _set_keys(what.world))
    if what.remove_keys:
        yield f"without {', '.join(what.remove_keys)}"
    if what.headers and what.body is None:
        yield f"headers changed: {', '.join(what.headers)}"
    if what.date_skew_seconds:
        yield f"Date {what.date_skew_seconds:+d} s"
    if what.truncate_gzip:
        yield "gzip truncated"
    if what.drip is not None:
        yield f"sent in {what.drip.pieces} pieces"
    if what.kill:
        yield "answer withheld"
    if what.cut is not None or what.cut_after_bytes is not None:
        yield f"connection cut {_PLACES.get(what.cut or '', f'after {what.cut_after_bytes} bytes of the body')}"


def _set_keys(table: msgspec.Struct) -> Iterator[tuple[str, str]]:
    """The keys of a table that are set, with short values."""
    for key, value in msgspec.to_builtins(table).items():
        yield key, str(value)[:60].lower()
