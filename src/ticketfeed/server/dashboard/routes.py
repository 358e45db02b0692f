"""Routes of the dashboard: sign in, views, sign out. Its content security policy allows no other host.

Requests with API credentials, for example from curl, need no session.
"""

import logging
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from ticketfeed.faults import find_scenario
from ticketfeed.protocol.errors import (
    APIRateLimitExceeded,
    InvalidValue,
    RecordNotFound,
    RoleTooLow,
    StoreError,
    StoreUnavailable,
    WireError,
)
from ticketfeed.protocol.model import Account
from ticketfeed.protocol.moved_clock import parse_clock_move
from ticketfeed.protocol.query import parse_integer
from ticketfeed.server.api.call import ApiCall, Service, admit, query_of
from ticketfeed.server.dashboard.pages import PAGE_HEADERS, read_form, render
from ticketfeed.server.dashboard.session import (
    BASE,
    LOGIN_COOKIE,
    Session,
    begin_login,
    find_session,
    has_csrf_token,
    open_session,
    sign_in,
    sign_out,
)
from ticketfeed.server.dashboard.views import VIEWS, Values, View
from ticketfeed.server.faults.routes import find_faults
from ticketfeed.server.ops.mirror import change_mirror
from ticketfeed.server.request_context import request_context
from ticketfeed.server.static_files import static_file_response

__all__ = ["DASHBOARD_ROUTES"]

_FOLDER = Path(__file__).parent
_STATIC = frozenset({"page.css", "page.js", "uPlot.iife.min.js", "uPlot.min.css"})
_log = logging.getLogger("ticketfeed.dashboard")

Handler = Callable[[Request, Account], Awaitable[Response]]
Change = Callable[[Request, Account, Mapping[str, str]], Awaitable[str]]


def _route(path: str, handler: Handler, method: str = "GET") -> Route:
    async def endpoint(request: Request) -> Response:
        service: Service = request.app.state.service
        request_context(request.scope).endpoint = f"{BASE}{path}"
        try:
            account = await service.accounts.find(request.headers.get("host", ""))
            return await handler(request, account)
        except WireError as error:
            if error.status >= 500:
                _log.warning(str(error))
            return render("error", error.status, title=_title(error), account=None, session=None)
        except StoreError as error:
            _log.warning(str(error))
            return render("error", 503, title="The store cannot be read", account=None, session=None)

    return Route(f"{BASE}{path}", endpoint, methods=[method])


def _title(error: WireError) -> str:
    if isinstance(error, StoreUnavailable):
        return "The store is unavailable"
    if isinstance(error, RecordNotFound):
        return "Ticket not found"
    return "Admins only" if isinstance(error, RoleTooLow) else str(error) or "Invalid request"


def _view(name: str, view: View) -> Handler:
    async def handler(request: Request, account: Account) -> Response:
        service: Service = request.app.state.service
        session = await _find_session(request, service, account)
        if session is None:
            target = request.scope["path"] + ("?" + request.url.query if request.url.query else "")
            return RedirectResponse(f"{BASE}login?next={quote(target)}", 303, PAGE_HEADERS)
        values = await view(request, ApiCall(service, account, session.identity, query_of(request)))
        return render(name, account=account, session=session, **_values(service, account), **values)

    return handler


def _values(service: Service, account: Account) -> Values:
    """What every page is made with. `now`: the machine's time, by which requests are seen."""
    clock = {"account_now": service.now(account), "is_frozen": service.store.clocks.is_frozen(account)}
    return {"now": service.clock(), "settings": service.settings, **clock}


def _form(change: Change) -> Handler:
    """A form of a session: changes what it says, and leads to the page that `change` names, below the start page."""

    async def handler(request: Request, account: Account) -> Response:
        session = await find_session(request, request.app.state.service, account)
        if session is None:
            return RedirectResponse(f"{BASE}login", 303, PAGE_HEADERS)
        form = await read_form(request)
        if not has_csrf_token(form, session.csrf):
            return _invalid_csrf_token()
        return RedirectResponse(BASE + await change(request, account, form), 303, PAGE_HEADERS)

    return handler


async def _move_clock(request: Request, account: Account, form: Mapping[str, str]) -> str:
    """Move the account's clock."""
    service: Service = request.app.state.service
    name, value = form.get("move", ""), form.get("value", "")
    move = parse_clock_move({name: value if name in ("set", "advance") else True})
    await service.clock_follower.move(account, move, service.clock())
    return ""


async def _change_mirror(request: Request, account: Account, form: Mapping[str, str]) -> str:
    """Pause the account's mirror, resume it, or change its budget."""
    service: Service = request.app.state.service
    paused, budget = form.get("paused"), form.get("requests_per_minute")
    limit = None if budget is None else parse_integer(budget)
    if (budget is not None and limit is None) or paused not in (None, "true", "false"):
        raise InvalidValue("Requests a minute must be a whole number, and a mirror is paused or not")
    is_paused = None if paused is None else paused == "true"
    await change_mirror(service.store, account, paused=is_paused, requests_per_minute=limit)
    return "#mirror"


async def _switch_fault(request: Request, account: Account, form: Mapping[str, str]) -> str:
    """Switch a scenario on or off."""
    faults = find_faults(request)
    if "add" in form:
        faults.add(account, find_scenario(form["add"]))
    else:
        faults.clear(account, form.get("clear") or None)
    return "scenarios"


async def _find_session(request: Request, service: Service, account: Account) -> Session | None:
    """The session of the cookie, or of API credentials. Raises RoleTooLow for a user who is not an admin."""
    if "authorization" not in request.headers:
        return await find_session(request, service, account)
    call = await admit(request)
    if call.identity.role != "admin":
        raise RoleTooLow
    return Session(call.identity, "")


async def _show_login(request: Request, account: Account) -> Response:
    service: Service = request.app.state.service
    target = _safe_target(request.query_params.get("next", ""))
    if await find_session(request, service, account) is not None:
        return RedirectResponse(target, 303, PAGE_HEADERS)
    return _login_page(request, account, target, "", status=200)


def _login_page(
    request: Request,
    account: Account,
    target: str,
    problem: str,
    email: str = "",
    status: int = 401,
    headers: Mapping[str, str] = MappingProxyType({}),
) -> Response:
    token = request.cookies.get(LOGIN_COOKIE) or secrets.token_urlsafe(16)
    response = render(
        "login", status, account=account, session=None, target=target, problem=problem, email=email, csrf=token
    )
    response.headers.update(headers)
    begin_login(request, response, token)
    return response


async def _login(request: Request, account: Account) -> Response:
    service: Service = request.app.state.service
    form = await read_form(request)
    target, email = _safe_target(form.get("next", "")), form.get("email", "").strip()
    if not has_csrf_token(form, request.cookies.get(LOGIN_COOKIE)):
        return _login_page(request, account, target, "The sign-in form expired, or cookies are disabled. Try again.")
    try:
        identity = await sign_in(service, account, email, form.get("secret", "").strip(), request.scope.get("client"))
    except APIRateLimitExceeded as error:
        return _login_page(request, account, target, f"{error}.", email, error.status, error.headers())
    if identity is None:
        return _login_page(
            request, account, target, "There is no admin with this email and this token or password.", email
        )
    response = RedirectResponse(target, 303, PAGE_HEADERS)
    await open_session(request, response, account, identity)
    return response


async def _logout(request: Request, account: Account) -> Response:
    session = await find_session(request, request.app.state.service, account)
    if session is not None and not has_csrf_token(await read_form(request), session.csrf):
        return _invalid_csrf_token()
    response = RedirectResponse(f"{BASE}login", 303, PAGE_HEADERS)
    await sign_out(request, response, account, session)
    return response


def _invalid_csrf_token() -> Response:
    title = "Invalid CSRF token. Reload the page and try again."
    return render("error", 403, title=title, account=None, session=None)


def _safe_target(text: str) -> str:
    """The path to open after signing in; paths outside of the dashboard are replaced by its start page."""
    return text if text.startswith(BASE) and "\\" not in text and text.isprintable() else BASE


async def _static(request: Request) -> Response:
    name = request.path_params["name"]
    if name not in _STATIC:
        return render("error", 404, title="File not found", account=None, session=None)
    return static_file_response(request, _FOLDER / "static" / name, PAGE_HEADERS)


async def _redirect_to_base(_request: Request) -> Response:
    return RedirectResponse(BASE, 307, PAGE_HEADERS)


DASHBOARD_ROUTES: Sequence[Route] = [
    *(_route(path, _view(name, view)) for path, (name, view) in VIEWS.items()),
    _route("login", _show_login),
    _route("login", _login, "POST"),
    _route("logout", _logout, "POST"),
    _route("move_clock", _form(_move_clock), "POST"),
    _route("change_mirror", _form(_change_mirror), "POST"),
    _route("scenarios", _form(_switch_fault), "POST"),
    Route(f"{BASE}static/{{name}}", _static, methods=["GET"]),
    Route(BASE.rstrip("/"), _redirect_to_base, methods=["GET"]),
]
