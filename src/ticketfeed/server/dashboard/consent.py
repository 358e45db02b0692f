"""`/oauth/authorizations/new`: a user allows a client to act as they do, or refuses.

The user is signed in with a session of these pages, or by Basic credentials, which may come with the decision at once.
Whatever is wrong with the client or its redirect URI is told here; everything else is told to the redirect URI.
"""

import secrets
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from ticketfeed.protocol.authorization import AuthorizationRequest, parse_authorization, redirect_url
from ticketfeed.protocol.credentials import hash_token
from ticketfeed.protocol.errors import APIRateLimitExceeded, NotAuthenticated
from ticketfeed.protocol.model import Account, Identity
from ticketfeed.protocol.oauth import CODE_SECONDS, AuthorizationCode, OauthClient, matches_redirect_uri
from ticketfeed.server.api.call import Service
from ticketfeed.server.dashboard.pages import PAGE_HEADERS, page_headers, read_form, render
from ticketfeed.server.dashboard.session import (
    LOGIN_COOKIE,
    begin_login,
    find_session,
    has_csrf_token,
    open_session,
    sign_in,
    sign_out,
)
from ticketfeed.server.request_context import comes_from_another_origin, request_context
from ticketfeed.storage.write_contract import WriteTransaction

__all__ = ["CONSENT_ROUTES"]

_PATH = "/oauth/authorizations/new"
_COOKIES = "/oauth/"


async def _authorize(request: Request) -> Response:
    service: Service = request.app.state.service
    context = request_context(request.scope)
    context.endpoint = _PATH
    context.account = account = await service.accounts.find(request.headers.get("host", ""))
    form = await read_form(request) if request.method == "POST" else {}
    pairs = parse_qsl(request.scope["query_string"].decode("latin-1"), keep_blank_values=True)
    parameters = {**form, **dict(pairs)}
    client = await _find_client(service, account, parameters.get("client_id", ""))
    redirect_uri = parameters.get("redirect_uri", "")
    if client is None:
        return _invalid("No such client")
    if not matches_redirect_uri(client, redirect_uri):
        return _invalid("The redirect URI is not one of the client's")
    asked = "invalid_request" if len(pairs) > len(dict(pairs)) else parse_authorization(parameters, client)
    if not isinstance(asked, AuthorizationRequest):
        return _redirect(redirect_url(redirect_uri, parameters.get("state"), refusal=asked))
    identity, csrf = await _identify(request, service, account)
    if identity is None:
        return await _sign_in(request, account, client, form)
    context.identity = identity
    if csrf is None:  # credentials that a browser may add by itself to what another page asks for
        decision, is_own = parameters.get("decision"), not comes_from_another_origin(request)
    else:
        decision, is_own = form.get("decision"), has_csrf_token(form, csrf)
    if is_own and request.method != "HEAD" and decision in ("allow", "deny"):
        return await _decide(service, account, client, identity, asked, parameters, is_allowed=decision == "allow")
    if csrf and is_own and decision == "switch":
        return await _switch_user(request, account)
    shown: dict[str, Any] = {"client": client, "scopes": asked.scopes.split(), "email": identity.email}
    response = render("consent", account=account, session=None, csrf=csrf or "", **shown)
    response.headers.update(page_headers(f"'self' {_origin(redirect_uri)}"))
    return response


async def _find_client(service: Service, account: Account, identifier: str) -> OauthClient | None:
    is_text = "\0" not in identifier and not any("\ud800" <= c <= "\udfff" for c in identifier)
    return await service.store.find_oauth_client(account, identifier) if is_text else None


async def _identify(request: Request, service: Service, account: Account) -> tuple[Identity | None, str | None]:
    """Who is signed in, with the CSRF token of the session; None instead of it with Basic credentials.

    An access token cannot consent: it would widen itself. Raises NotAuthenticated.
    """
    authorization = request.headers.get("authorization")
    if authorization is not None:
        identity = await service.authenticate(account, authorization, request.scope.get("client"))
        if identity.kind == "access_token":
            raise NotAuthenticated
        return identity, None
    session = await find_session(request, service, account, admins_only=False)
    return (session.identity, session.csrf) if session else (None, "")


async def _sign_in(request: Request, account: Account, client: OauthClient, form: Mapping[str, str]) -> Response:
    """The form, or where it leads once it was sent: to the same address, signed in."""
    service: Service = request.app.state.service
    if "secret" not in form:
        return _login_page(request, account, client)
    email = form.get("email", "").strip()
    if not has_csrf_token(form, request.cookies.get(LOGIN_COOKIE)):
        expired = "The sign-in form expired, or cookies are disabled. Try again."
        return _login_page(request, account, client, expired, email, 401)
    sender = request.scope.get("client")
    try:
        identity = await sign_in(service, account, email, form["secret"].strip(), sender, admins_only=False)
    except APIRateLimitExceeded as error:
        response = _login_page(request, account, client, f"{error}.", email, error.status)
        response.headers.update(error.headers())
        return response
    if identity is None:
        wrong = "There is no user with this email and this token or password."
        return _login_page(request, account, client, wrong, email, 401)
    response = RedirectResponse(_same_address(request), 303, PAGE_HEADERS)
    await open_session(request, response, account, identity, _COOKIES)
    return response


async def _switch_user(request: Request, account: Account) -> Response:
    """End the session, and ask who it is."""
    service: Service = request.app.state.service
    session = await find_session(request, service, account, admins_only=False)
    response = RedirectResponse(_same_address(request), 303, PAGE_HEADERS)
    await sign_out(request, response, account, session, _COOKIES)
    return response


def _same_address(request: Request) -> str:
    return f"?{request.scope['query_string'].decode('latin-1')}"


def _login_page(
    request: Request, account: Account, client: OauthClient, problem: str = "", email: str = "", status: int = 200
) -> Response:
    token = request.cookies.get(LOGIN_COOKIE) or secrets.token_urlsafe(16)
    values = {"client": client, "problem": problem, "email": email, "csrf": token}
    response = render("consent_login", status, account=account, session=None, **values)
    begin_login(request, response, token, _COOKIES)
    return response


async def _decide(
    service: Service,
    account: Account,
    client: OauthClient,
    identity: Identity,
    asked: AuthorizationRequest,
    parameters: Mapping[str, str],
    *,
    is_allowed: bool,
) -> Response:
    redirect_uri, state, code = parameters["redirect_uri"], parameters.get("state"), secrets.token_hex(32)
    if not is_allowed:
        return _redirect(redirect_url(redirect_uri, state, refusal="access_denied"))

    def work(write: WriteTransaction) -> None:
        write.add_code(
            AuthorizationCode(
                code_hash=hash_token(code),
                client_id=client.id,
                user_id=identity.user_id,
                scopes=asked.scopes,
                redirect_uri=redirect_uri,
                challenge=asked.challenge,
                challenge_method=asked.challenge_method,
                expires_at=write.now + CODE_SECONDS,
                token_id=None,
            )
        )

    await service.store.write(account, work)
    return _redirect(redirect_url(redirect_uri, state, code=code))


def _redirect(url: str) -> Response:
    return RedirectResponse(url, 302, PAGE_HEADERS)


def _invalid(problem: str) -> Response:
    """What the user is told where nobody else can be."""
    return render("invalid_authorization", 400, account=None, session=None, problem=problem)


def _origin(redirect_uri: str) -> str:
    """The origin that the form's answer leads to; a content security policy cannot name an IPv6 address."""
    parts = urlsplit(redirect_uri)
    return f"{parts.scheme}:" if "[" in parts.netloc else f"{parts.scheme}://{parts.netloc}"


CONSENT_ROUTES = [Route(_PATH, _authorize, methods=["GET", "POST"])]
