"""The middleware that does what scenarios say to the answers of the application behind it.

Without a scenario that is switched on, a request passes after one look at an attribute. Faults are those of a
connection: a request inside the process, as of `FeedServer.get`, meets none.
"""

import asyncio
import contextlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from email.utils import formatdate
from functools import partial
from typing import Protocol

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ticketfeed.clock import system_instant
from ticketfeed.protocol.credentials import hash_token
from ticketfeed.protocol.errors import InvalidToken, NotAuthenticated, WireError
from ticketfeed.protocol.model import Account, Identity, Position
from ticketfeed.protocol.scenarios import FaultEffect, FaultWorld, describe_effect
from ticketfeed.server.api.call import Service
from ticketfeed.server.faults.answers import FaultAnswer, cut_at, split_body
from ticketfeed.server.faults.engine import ActiveScenario, FaultRequest, Faults, Firing
from ticketfeed.server.faults.page_edits import edit_page, records_key, without_keys
from ticketfeed.server.faults.requests import read_fault_request
from ticketfeed.server.faults.world_changes import change_world
from ticketfeed.server.middleware.account_date import put_date
from ticketfeed.server.middleware.overload import CONNECTION
from ticketfeed.server.request_context import request_context
from ticketfeed.server.responses import error_response
from ticketfeed.storage.write_contract import WriteTransaction

__all__ = ["FaultInjection"]

_OWN = "/_ticketfeed"
# How long an answer is withheld from a command that is to be killed.
KILL_SECONDS = 5.0
# How long a change waits until it can be read: the rest of its second, and some.
_READABLE_SECONDS = 1.5
_POLL_SECONDS = 0.02
_HTTP_DATE = re.compile(r"\{http_date([+-][0-9]{1,9})?\}")


class Connection(Protocol):
    """A connection, as far as faults end it."""

    def cut(self, *, at_once: bool) -> None: ...


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
        facts, receive = await read_fault_request(request, service, account, receive)
        return None if facts is None else _Exchange(self._faults, service, account, scope, receive, facts)


@dataclass(slots=True)
class _Exchange:
    """One request that scenarios may count, and its answer."""

    faults: Faults
    service: Service
    account: Account
    scope: Scope
    receive: Receive
    request: FaultRequest

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
            answer = FaultAnswer()
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

    def _suits(self, active: ActiveScenario, answer: FaultAnswer) -> bool:
        """Whether the answer is one that the scenario is about."""
        what, page, served = active.scenario.what, active.scenario.when.page, request_context(self.scope).served
        if what.truncate_gzip and answer.header(b"content-encoding") != b"gzip":
            return False
        if what.remove_keys and not answer.is_json:
            return False
        if what.page is None and page is None:
            return True
        if served is None:
            return False
        if page == "more":
            return served.rows > 0 and not served.end_of_stream
        return page is None or served.end_of_stream

    # Before the request is carried out

    async def _early(self, fired: Sequence[_Fault]) -> FaultAnswer | None:
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
        identity, asked = self.request.identity, self.request.token_request
        if fault.what.token == "end" and asked is not None and asked.refresh_token:
            work = partial(_end_refresh_token, hash_token(asked.refresh_token))
            await self.service.store.write(self.account, work)
        elif fault.what.token == "expire" and identity is not None:
            self.faults.expire(self.account, identity)
            request_context(self.scope).account = self.account
            self._record(fault, FaultAnswer(401))
            raise _expired(identity)

    def _made_up(self, what: FaultEffect) -> FaultAnswer:
        """An answer without the application. For usage records it is one of the address that was asked for."""
        context = request_context(self.scope)
        context.account, context.identity = self.account, self.request.identity
        context.endpoint = self.request.path.removeprefix("/api/v2").removesuffix(".json")
        status = what.status or 200
        if status >= 400:
            context.error = f"{status} fault"
        return FaultAnswer(status, [(b"content-type", b"application/json; charset=utf-8")], (what.body or "").encode())

    async def _call(self, app: ASGIApp, answer: FaultAnswer) -> None:
        """The application's answer, its errors included."""
        try:
            await app(self.scope, self.receive, answer.receive)
        except WireError as error:
            await error_response(Request(self.scope), error)(self.scope, self.receive, answer.receive)

    # What changes the answer

    async def _change(self, answer: FaultAnswer, fault: _Fault) -> None:
        what, context = fault.what, request_context(self.scope)
        if what.page is not None and context.served is not None:
            page = answer.decode()
            before = fault.active.records.get(self._reader, ())
            self._keep_records([fault.active], answer)
            context.served = edit_page(page, what.page, context.served, self.request.parameters, before, fault.number)
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

    async def _change_world(self, world: FaultWorld, answer: FaultAnswer) -> None:
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
        readable_at, service = second + 1 + self.service.settings.settle_seconds, self.service
        deadline = system_instant() + _READABLE_SECONDS
        if not service.store.clocks.is_frozen(self.account):
            while service.now(self.account) < readable_at and system_instant() < deadline:
                await asyncio.sleep(_POLL_SECONDS)

    # What scenarios remember

    @property
    def _reader(self) -> str:
        """Whose page before another one it is."""
        identity = self.request.identity
        return f"{identity.credential_id if identity else 0} {self.request.path}"

    def _keep_records(self, scenarios: Sequence[ActiveScenario], answer: FaultAnswer) -> None:
        served = request_context(self.scope).served
        for active in scenarios:
            edit = active.scenario.what.page
            if edit is not None and edit.records == "repeat" and served is not None and answer.status == 200:
                page = answer.decode()
                key = records_key(page, served)
                active.records[self._reader] = page[key] if key is not None else ()

    def _note_events(self, answer: FaultAnswer) -> None:
        served = request_context(self.scope).served
        events = set()
        if served is not None and served.end_of_stream and answer.status == 200:
            events.add("end_of_stream")
        if self.request.token_request is not None and 200 <= answer.status < 300:
            events.add("token")
        for active in self.faults.active(self.account) if events else ():
            active.events |= events

    def _record(self, fault: _Fault, answer: FaultAnswer) -> None:
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
            action=describe_effect(what),
            status=0 if what.kill or what.cut == "head" else answer.status,
            is_cut=is_cut,
        )
        self.faults.record(self.account, fault.active, firing)

    # Sending it

    async def _send(self, answer: FaultAnswer, effects: Sequence[FaultEffect], send: Send) -> None:
        connection: Connection = self.scope[CONNECTION]
        if any(what.kill for what in effects):
            await _wait_for_end(self.receive)
        if any(what.kill or what.cut == "head" for what in effects):
            connection.cut(at_once=True)
            return
        cut = next((what for what in effects if what.cut or what.cut_after_bytes is not None), None)
        size = cut_at(cut, len(answer.body))
        is_endless = cut is not None and cut.cut != "after_answer" and size >= len(answer.body)
        answer.put_header(b"content-length", None if is_endless else str(len(answer.body)).encode())
        start: Message = {"type": "http.response.start", "status": answer.status, "headers": answer.headers}
        skew = sum(what.date_skew_seconds for what in effects)
        if skew:
            put_date(self.scope, start, self.service.now(self.account) + skew)
        await send(start)
        drip = next((what.drip for what in effects if what.drip is not None), None)
        is_whole = cut is None or cut.cut == "after_answer"
        pieces = list(split_body(answer.body[:size], drip.pieces if drip else 1))
        for number, piece in enumerate(pieces, 1):
            if drip is not None:
                await asyncio.sleep(drip.every_seconds)
            is_last = is_whole and number == len(pieces)
            await send({"type": "http.response.body", "body": piece, "more_body": not is_last})
        if cut is not None:
            request_context(self.scope).is_body_sent = is_endless
            connection.cut(at_once=False)


async def _wait_for_end(receive: Receive) -> None:
    """Wait until the client is gone, for a bounded time."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(KILL_SECONDS):
            while (await receive())["type"] != "http.disconnect":
                pass


def _expired(identity: Identity) -> WireError:
    """How the API refuses a token that has expired."""
    return InvalidToken() if identity.kind == "access_token" else NotAuthenticated(with_token=True)


def _end_refresh_token(refresh_hash: str, write: WriteTransaction) -> None:
    token = write.find_refresh_token(refresh_hash)
    if token is not None:
        write.end_oauth_token(token.id)
