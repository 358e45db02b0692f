"""Dashboard sessions: signed cookies and CSRF tokens.

The cookie names a credential and is signed with a key derived from its stored hash. So processes need no shared session
state: every process that can read the store can verify a cookie, and a session ends when its credential is revoked.
Every form carries a CSRF token of its session; the sign-in form carries one that must match a cookie of its own.
"""

import secrets
from base64 import b64encode
from collections.abc import Mapping
from hmac import compare_digest
from typing import NamedTuple

from itsdangerous import BadData, URLSafeSerializer, URLSafeTimedSerializer
from starlette.requests import Request
from starlette.responses import Response

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
COOKIE_CHARS_MAX = 200
SESSION_COOKIE, LOGIN_COOKIE = "ticketfeed_session", "ticketfeed_login"


class Session(NamedTuple):
    """A signed-in admin. `csrf`: the token that its forms must carry; empty for requests with API credentials."""

    identity: Identity
    csrf: str


async def find_session(request: Request, service: Service, account: Account) -> Session | None:
    """The session of the request's cookie; None unless the cookie is valid and its credential is that of an admin."""
    cookie = request.cookies.get(SESSION_COOKIE, "")
    credential_id = _claimed_credential(cookie)
    credential = await service.store.find_credential(account, credential_id) if credential_id is not None else None
    if credential is None:
        return None
    secret_hash, body = credential.secret_hash, credential.user
    try:
        claims = _signer(account, secret_hash).loads(cookie, max_age=SESSION_SECONDS)
    except BadData:
        return None
    identity = identity_of(claims[0], body)
    if identity is None or identity.role != "admin":
        return None
    return Session(identity, str(URLSafeSerializer(secret_hash, salt="ticketfeed.csrf").dumps(claims[1])))


def _claimed_credential(cookie: str) -> int | None:
    """The credential id in a cookie, before its signature is verified.

    Long or compressed cookies are rejected unread: the server never issues them.
    """
    if len(cookie) > COOKIE_CHARS_MAX or cookie.startswith("."):
        return None
    _, claims = URLSafeTimedSerializer("").loads_unsafe(cookie)
    is_valid = isinstance(claims, list) and len(claims) == 2 and type(claims[0]) is int and 0 < claims[0] < 2**63
    return claims[0] if is_valid else None


def _signer(account: Account, secret_hash: str) -> URLSafeTimedSerializer:
    return URLSafeTimedSerializer(secret_hash, salt=f"ticketfeed.session.{account.account_id}")


async def sign_in(service: Service, account: Account, email: str, secret: str, client: Client) -> Identity | None:
    """The admin with this email and API token or password, or None. Raises APIRateLimitExceeded."""
    for name in (f"{email}/token", email):
        header = "Basic " + b64encode(f"{name}:{secret}".encode()).decode()
        try:
            identity = await service.authenticate(account, header, client)
        except WireError as error:
            if error.status != 401:
                raise
            continue
        return identity if identity.role == "admin" else None
    return None


async def open_session(request: Request, response: Response, account: Account, identity: Identity) -> None:
    """Set the session cookie."""
    service: Service = request.app.state.service
    credential = await service.store.find_credential(account, identity.credential_id)
    if credential is not None:
        cookie = _signer(account, credential.secret_hash).dumps([identity.credential_id, secrets.token_urlsafe(16)])
        _set_cookie(request, response, SESSION_COOKIE, str(cookie), SESSION_SECONDS)


def sign_out(request: Request, response: Response) -> None:
    """Clear the session cookie."""
    _set_cookie(request, response, SESSION_COOKIE, "", 0)


def begin_login(request: Request, response: Response, token: str) -> None:
    """Set the cookie that the CSRF token of the sign-in form must match."""
    _set_cookie(request, response, LOGIN_COOKIE, token, 3600)


def has_csrf_token(form: Mapping[str, str], token: str | None) -> bool:
    """Whether a form carries this CSRF token."""
    return bool(token) and compare_digest(form.get("csrf", "").encode(), str(token).encode())


def _set_cookie(request: Request, response: Response, name: str, value: str, seconds: int) -> None:
    service: Service = request.app.state.service
    is_secure = request.scope["scheme"] == "https" or (service.settings.public_url or "").startswith("https:")
    response.set_cookie(name, value, max_age=seconds, path=BASE, secure=is_secure, httponly=True, samesite="lax")
