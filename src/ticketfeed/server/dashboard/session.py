"""Dashboard sessions: signed cookies, logins and CSRF tokens.

The cookie names a credential and a random text, and is signed with a key that is not in the store. The store knows the
hash of that text while the session lasts. So a session ends in every process when the admin signs out, when its
credential is revoked, and when the store loses its sidecar. Every form carries a CSRF token of its session; the sign-in
form carries one that must match a cookie of its own.
"""

import secrets
from base64 import b64encode
from collections.abc import Mapping
from hmac import compare_digest
from typing import NamedTuple

from itsdangerous import BadData, URLSafeSerializer, URLSafeTimedSerializer
from starlette.requests import Request
from starlette.responses import Response

from ticketfeed.protocol.credentials import hash_token
from ticketfeed.protocol.errors import WireError
from ticketfeed.protocol.model import Account, Identity
from ticketfeed.server.api.auth import Client, identity_of
from ticketfeed.server.api.call import Service

__all__ = [
    "BASE",
    "LOGIN_COOKIE",
    "SESSION_SECONDS",
    "Session",
    "begin_login",
    "find_session",
    "has_csrf_token",
    "open_session",
    "sign_in",
    "sign_out",
]

BASE = "/_ticketfeed/"
SESSION_SECONDS = 8 * 3600
SESSION_COOKIE, LOGIN_COOKIE = "ticketfeed_session", "ticketfeed_login"


class Session(NamedTuple):
    """A signed-in user, on the dashboard an admin. `csrf`: the token that its forms must carry; empty for requests with
    API credentials.

    `token_hash`: what the store knows it by.
    """

    identity: Identity
    csrf: str
    token_hash: str = ""


async def find_session(
    request: Request, service: Service, account: Account, *, admins_only: bool = True
) -> Session | None:
    """The session of the request's cookie; None unless the cookie is valid and its credential is that of an admin, or
    of any user."""
    cookie = request.cookies.get(SESSION_COOKIE, "")
    try:
        credential_id, token = _signer(service).loads(cookie, max_age=SESSION_SECONDS)
    except BadData:
        return None
    token_hash = hash_token(token)
    if not await service.store.has_login(account, token_hash, service.clock()):
        return None
    credential = await service.store.find_credential(account, credential_id)
    identity = identity_of(credential_id, credential.user) if credential else None
    if identity is None or (admins_only and identity.role != "admin"):
        return None
    csrf = URLSafeSerializer(_key(service), salt="ticketfeed.csrf").dumps(token)
    return Session(identity, str(csrf), token_hash)


def _signer(service: Service) -> URLSafeTimedSerializer:
    """The same for all accounts: a login is of one."""
    return URLSafeTimedSerializer(_key(service), salt="ticketfeed.session")


def _key(service: Service) -> str:
    assert service.settings.session_key
    return service.settings.session_key


async def sign_in(
    service: Service, account: Account, email: str, secret: str, client: Client, *, admins_only: bool = True
) -> Identity | None:
    """The admin, or user, with this email and API token or password, or None. Raises APIRateLimitExceeded."""
    for name in (f"{email}/token", email):
        header = "Basic " + b64encode(f"{name}:{secret}".encode()).decode()
        try:
            identity = await service.authenticate(account, header, client)
        except WireError as error:
            if error.status != 401:
                raise
            continue
        return identity if identity.role == "admin" or not admins_only else None
    return None


async def open_session(
    request: Request, response: Response, account: Account, identity: Identity, path: str = BASE
) -> None:
    """Store the login and set the session cookie, for pages below `path`."""
    service: Service = request.app.state.service
    token, now = secrets.token_urlsafe(16), service.clock()
    await service.store.add_login(account, hash_token(token), now, now + SESSION_SECONDS)
    cookie = _signer(service).dumps([identity.credential_id, token])
    _set_cookie(request, response, SESSION_COOKIE, str(cookie), SESSION_SECONDS, path)


async def sign_out(
    request: Request, response: Response, account: Account, session: Session | None, path: str = BASE
) -> None:
    """End the session in all processes, and clear its cookie."""
    service: Service = request.app.state.service
    if session is not None:
        await service.store.end_login(account, session.token_hash)
    _set_cookie(request, response, SESSION_COOKIE, "", 0, path)


def begin_login(request: Request, response: Response, token: str, path: str = BASE) -> None:
    """Set the cookie that the CSRF token of the sign-in form must match."""
    _set_cookie(request, response, LOGIN_COOKIE, token, 3600, path)


def has_csrf_token(form: Mapping[str, str], token: str | None) -> bool:
    """Whether a form carries this CSRF token."""
    return bool(token) and compare_digest(form.get("csrf", "").encode(), str(token).encode())


def _set_cookie(request: Request, response: Response, name: str, value: str, seconds: int, path: str = BASE) -> None:
    service: Service = request.app.state.service
    is_secure = request.scope["scheme"] == "https" or (service.settings.public_url or "").startswith("https:")
    response.set_cookie(name, value, max_age=seconds, path=path, secure=is_secure, httponly=True, samesite="lax")
