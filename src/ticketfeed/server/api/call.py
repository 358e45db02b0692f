"""What precedes every handler of `/api/v2`: the account, then the credentials, the role and the rate limits.

The path comes before all of them, as on the wire: an unknown one is 404 with or without credentials.
"""

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, Literal

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from ticketfeed.clock import Clock
from ticketfeed.data.all_accounts import AllAccounts
from ticketfeed.data.status import AllStatuses
from ticketfeed.export.answer import Exports
from ticketfeed.protocol.api_tokens import is_accepted
from ticketfeed.protocol.errors import (
    AccountIsFull,
    ForeignOrigin,
    InvalidAttribute,
    InvalidEndpoint,
    InvalidPaginationParameter,
    InvalidToken,
    InvalidValue,
    MissingScope,
    NotAuthenticated,
    RecordNotFound,
    RoleTooLow,
)
from ticketfeed.protocol.model import INT64_MAX, Account, Identity
from ticketfeed.protocol.query import parse_include, parse_query
from ticketfeed.protocol.resources import Role, allows_role
from ticketfeed.protocol.scopes import allows, required_scopes, resource_of
from ticketfeed.server.api.accounts import Accounts
from ticketfeed.server.api.auth import AccountClock, Authenticate
from ticketfeed.server.middleware.overload import limit_anonymous
from ticketfeed.server.ops.clock_follower import ClockFollower
from ticketfeed.server.ops.jobs import Jobs
from ticketfeed.server.ops.maintenance import Maintenance
from ticketfeed.server.ops.metrics import Metrics
from ticketfeed.server.ops.mirror_freshness import MirrorFreshness
from ticketfeed.server.ops.rate_limiter import RATE_LIMIT_HEADERS, RateLimiter
from ticketfeed.server.ops.served_mirror import ServedMirror
from ticketfeed.server.ops.usage_tracker import UsageTracker
from ticketfeed.server.recent_reads import RecentReads
from ticketfeed.server.request_context import comes_from_another_origin, request_context
from ticketfeed.settings import Settings
from ticketfeed.storage.contract import Store

__all__ = [
    "ANONYMOUS",
    "JOB",
    "ApiCall",
    "ApiRoute",
    "Handler",
    "Service",
    "Tag",
    "admit",
    "path_id",
    "query_of",
    "refuse_cross_site",
    "starlette_routes",
]

Tag = Literal["Exports", "Tickets", "Account and identity", "OAuth", "Search", "Jobs", "Records", "Empty lists"]
# What the answers that start a job, or show one, have.
JOB = {"job_status": "object"}
_PARAMETER = re.compile(r"\{(\w+)(:int)?\}")
_INTEGER = re.compile(r"[+-]?[0-9]+")
# What the wire calls the methods of a list and of a single record in the texts of errors.
_ACTIONS = {"GET": ("index", "show"), "POST": ("create", "create"), "PUT": ("update", "update")}
# Addresses of what a mirror has of its own.
_CREDENTIALS = ("/api_tokens", "/oauth/")
# The caller of an address for anybody who sends no credentials, or a wrong password.
ANONYMOUS = Identity(0, "", "anybody")


@dataclass(frozen=True, slots=True)
class Service:
    """Everything that the handlers of one process share. `clock`: the machine's; `now`: the time of an account."""

    settings: Settings
    store: Store
    clock: Clock
    accounts: Accounts
    authenticate: Authenticate
    rate_limiter: RateLimiter
    exports: Exports
    jobs: Jobs
    maintenance: Maintenance
    usage_tracker: UsageTracker
    metrics: Metrics | None
    now: AccountClock
    clock_follower: ClockFollower
    mirror: ServedMirror
    mirror_freshness: MirrorFreshness
    recent_reads: RecentReads = field(default_factory=RecentReads)
    all_accounts: AllAccounts = field(default_factory=AllAccounts)
    all_statuses: AllStatuses = field(default_factory=AllStatuses)


@dataclass(frozen=True, slots=True)
class ApiCall:
    """An admitted request: its account, its caller and its query parameters (see `parse_query`)."""

    service: Service
    account: Account
    identity: Identity
    query: Mapping[str, str]

    @property
    def now(self) -> int:
        """The time of the account, in Unix seconds."""
        return self.service.now(self.account)

    def address(self, request: Request) -> str:
        """The requested URL without its query, on a host that the caller can reach."""
        public_url = self.service.settings.public_url
        if public_url:
            base = public_url.rstrip("/").replace("{account}", self.account.subdomain)
        else:
            scheme = "https" if request.scope["scheme"] == "https" else "http"  # a proxy's header may say anything
            base = f"{scheme}://{request.headers['host']}"
        return base + str(request.scope["path"])


Handler = Callable[[Request, ApiCall], Awaitable[Response]]


def _always(_call: ApiCall) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class ApiRoute:
    """One method of one address: what answers it, who may call it, and its text in the OpenAPI document.

    `path`: below /api/v2; `{NAME:int}` takes a number, `{NAME}` any text. `role`: the lowest that may call it.
    `rate_limit`: a limit besides the account's own; `counts`: which calls count against it. `body`: top-level keys of
    the request's body -> their types. `answer`: those of the answer's -> array, object, ... `statuses`: of answers that
    are no errors; 204 has no body. `scopes`: of which an access token needs one, if not those of the path; empty where
    any token will do.

    Query parameters: `parameters` are those that it uses, by their names in `parameters.PARAMETERS`; the handler gets
    no others; NAME[..] of one of them is answered with 400. `includes`: the sideloads that `include` can name.
    `refused`: what Zendesk documents and this server does not imitate, a name, or NAME=VALUE for one value; it is
    answered with 400. `ignored`: what clients send although Zendesk ignores it. Parameters that are in none of them are
    ignored, too.
    """

    method: str
    path: str
    handler: Handler
    tag: Tag
    summary: str
    role: Role = "agent"
    rate_limit: str | None = None
    counts: Callable[[ApiCall], bool] = _always
    parameters: tuple[str, ...] = ()
    includes: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    body: Mapping[str, Any] = field(default_factory=dict)
    answer: Mapping[str, str] = field(default_factory=dict)
    statuses: tuple[int, ...] = (200,)
    scopes: tuple[str, ...] | None = None

    @property
    def required_scopes(self) -> tuple[str, ...]:
        """The scopes of which an access token needs one; none for any token."""
        return required_scopes(self.method, resource_of(self.path)) if self.scopes is None else self.scopes

    @property
    def writes_records(self) -> bool:
        """Whether it changes more than credentials, and so nothing of a mirror."""
        return self.method != "GET" and not self.path.startswith(_CREDENTIALS)

    @property
    def template(self) -> str:
        """The path as OpenAPI writes it."""
        return self.path.replace(":int}", "}")


def starlette_routes(routes: Sequence[ApiRoute]) -> list[Route]:
    """The routes as Starlette takes them, each with and without `.json`. A text at the end of a path takes both.

    A number is matched as any text, as one that is no number has an error of its own. So paths with fewer of them come
    first.
    """
    return [
        Route(f"/api/v2{path}{suffix}", _Endpoint(route), methods=[route.method])
        for route in sorted(routes, key=lambda route: route.path.count("{"))
        for path in (_PARAMETER.sub(r"{\1}", route.path),)
        for suffix in (("",) if route.path.endswith("{id}") else (".json", ""))
    ]


class _Endpoint:
    """The ASGI application of a route. For a plain function Starlette would add a second layer that catches errors."""

    def __init__(self, route: ApiRoute) -> None:
        self._route, self._used, self._scopes = route, frozenset(route.parameters), route.required_scopes
        self._known = self._used.union(route.ignored)
        self._numbers = tuple(name for name, is_number in _PARAMETER.findall(route.path) if is_number)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request, route = Request(scope, receive, send), self._route
        request_context(scope).endpoint = route.path
        if route.method == "POST":
            refuse_cross_site(request)
        call = await admit(request, allow_anonymous=route.role == "anybody")
        if call.service.settings.api_tokens != "allowed":
            call = _check_credential(request, call, allow_anonymous=route.role == "anybody")
        if call.identity.scopes is not None:
            _check_scopes(call.identity.scopes, self._scopes)
        if not allows_role(call.identity.role, route.role):
            raise RoleTooLow
        if call.identity is not ANONYMOUS:
            limits = (route.rate_limit,) if route.rate_limit is not None and route.counts(call) else ()
            await _count_request(request, call, limits)
        if route.writes_records:
            await _refuse_mirror(call)
            if route.method != "DELETE" and call.account.account_id in call.service.maintenance.full_accounts:
                raise AccountIsFull
        if call.query:
            _refuse(route.refused, call.query)
            self._refuse_lists(call.query)
        if not self._used.issuperset(call.query):
            call = replace(call, query={name: text for name, text in call.query.items() if name in self._used})
        _parse_path(request, route, self._numbers)
        _check_numbers(call, route)
        response = await route.handler(request, call)
        await response(scope, receive, send)

    def _refuse_lists(self, query: Mapping[str, str]) -> None:
        """Raises InvalidValue for a list or an object where the route takes one value: ids[]=1, page[number]=2."""
        for name in query:
            if "[" in name and name not in self._known and any(name.startswith(f"{used}[") for used in self._used):
                raise InvalidValue(f"{name} is not supported here")


def refuse_cross_site(request: Request) -> None:
    """Refuse a write that a page of another origin can make a browser send with the password that it remembers.

    A browser asks before it sends JSON (see `CorsPreflight`), or any method but GET and POST; and no browser adds a
    Bearer token by itself. Raises ForeignOrigin.
    """
    is_basic = request.headers.get("authorization", "").strip()[:5].lower() == "basic"
    if is_basic and comes_from_another_origin(request):
        content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if content_type != "application/json":
            raise ForeignOrigin


def _check_credential(request: Request, call: ApiCall, *, allow_anonymous: bool) -> ApiCall:
    """Refuse a credential that has ended (`protocol/api_tokens.py`) as if it were wrong."""
    identity = call.identity
    if is_accepted(call.service.settings.api_tokens, identity, call.now):
        return call
    if identity.kind == "password" and allow_anonymous:
        return replace(call, identity=ANONYMOUS)
    is_bearer = request.headers["authorization"].strip()[:6].lower() == "bearer"
    raise InvalidToken if is_bearer else NotAuthenticated(with_token=identity.kind == "api_token")


def _check_scopes(granted: str, required: Sequence[str]) -> None:
    """Raises MissingScope."""
    if required and not any(allows(granted, scope) for scope in required):
        raise MissingScope(required)


async def _refuse_mirror(call: ApiCall) -> None:
    """Raises AccountIsMirror for a write, whatever is wrong with it besides; the store refuses others."""
    mirror = await call.service.exports.mirrors.find(call.account)
    if mirror is not None:
        raise mirror.refusal()


def _refuse(refused: Sequence[str], query: Mapping[str, str]) -> None:
    """Raises InvalidValue, or InvalidPaginationParameter, for a parameter, or a value of one, that is refused."""
    for row in refused:
        name, _, value = row.partition("=")
        if name in query and (not value or value in parse_include(query[name])):
            error = InvalidPaginationParameter if name.startswith("page") else InvalidValue
            raise error(f"{row} is not supported here")


async def admit(request: Request, *, allow_anonymous: bool = False) -> ApiCall:
    """Find the account, then the caller. Raises InvalidEndpoint, UnknownAccount, NotAuthenticated, InvalidToken.

    `allow_anonymous`: no credentials or a wrong password admit ANONYMOUS; a wrong token is refused all the same.
    """
    if request.scope["path"].endswith("\n"):  # a route's pattern ends in $, which lets it pass
        raise InvalidEndpoint
    service: Service = request.app.state.service
    context = request_context(request.scope)
    context.account = account = await service.accounts.find(request.headers.get("host", ""))
    try:
        identity = await service.authenticate(
            account, request.headers.get("authorization"), request.scope.get("client")
        )
    except NotAuthenticated as error:
        if error.with_token or not allow_anonymous:
            raise
        limit_anonymous(request.scope)
        return ApiCall(service, account, ANONYMOUS, query_of(request))
    context.identity = identity
    return ApiCall(service, account, identity, query_of(request))


async def _count_request(request: Request, call: ApiCall, limits: Sequence[str]) -> None:
    """Count it against the account's rate limit and `limits`. Raises APIRateLimitExceeded."""
    service = call.service
    headers = await service.rate_limiter.count_request(service.store, call.account, limits, call.now)
    request.scope[RATE_LIMIT_HEADERS] = headers


def query_of(request: Request) -> Mapping[str, str]:
    """The query parameters that are present. A query is ASCII; bytes beyond it are read as Latin-1, never refused."""
    return _parse_query(request.scope["query_string"])


@lru_cache(1024)
def _parse_query(query: bytes) -> Mapping[str, str]:
    return parse_query(query.decode("latin-1"))


def path_id(request: Request, name: str = "id") -> int:
    """An id in the path."""
    id: int = request.path_params[name]
    return id


def _parse_path(request: Request, route: ApiRoute, names: Sequence[str]) -> None:
    """Replace the numbers in the path, the parameters of these names, by integers.

    Raises InvalidAttribute, and RecordNotFound for a number that no record can have.
    """
    for name in names:
        text = request.path_params[name]
        if not _INTEGER.fullmatch(text):
            raise InvalidAttribute(*_attribute(route, name))
        digits = text.lstrip("+0")
        is_long = len(text) > len(str(INT64_MAX)) + 1
        if is_long or not digits.isdecimal() or int(digits) > INT64_MAX:
            raise RecordNotFound
        request.path_params[name] = int(digits)


def _check_numbers(call: ApiCall, route: ApiRoute) -> None:
    """Refuse a page of a list that is no number. Raises InvalidAttribute."""
    if "page" in route.parameters:
        for name in ("page", "per_page"):
            if not _INTEGER.fullmatch(call.query.get(name, "1").strip()):
                raise InvalidAttribute(name, _action(route))


def _attribute(route: ApiRoute, name: str) -> tuple[str, str]:
    """The name of a number in the path, and the action, as the wire has them in errors."""
    parts = route.path.strip("/").split("/")
    place = parts.index(f"{{{name}:int}}")
    is_list_of_it = len(parts) > place + 1 and parts[-1].endswith("s")
    if name == "id" and is_list_of_it:  # /tickets/{id}/audits
        name = f"{parts[place - 1].removesuffix('s')}_id"
    return name, _action(route)


def _action(route: ApiRoute) -> str:
    """What the wire calls a method of an address: `users/show`, `audits/index`, `tickets/merge`."""
    parts = [part for part in route.path.strip("/").split("/") if not part.startswith("{")]
    of_list, of_one = _ACTIONS.get(route.method, ("destroy", "destroy"))
    if route.path.endswith("}"):
        return "/".join((*parts, of_one))
    if "{" not in route.path:
        return "/".join((*parts, of_list))
    return f"{parts[-1]}/{of_list}" if parts[-1].endswith("s") else "/".join(parts)
