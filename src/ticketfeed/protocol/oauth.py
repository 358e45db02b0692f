"""OAuth: clients, tokens and authorization codes as they are stored, and the rules of their lives as pure functions.

A token is an access token, and a refresh token if its grant gives one. It is renewed by ending it and adding its
successor in the same family, in one write: at any time a family has at most one token that has not ended. Only hashes
of secrets are stored, with the first characters, which are shown. What expires is judged by the account's clock.
"""

import re
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from hashlib import sha256
from hmac import compare_digest
from typing import Any, Literal, NamedTuple

import msgspec

from ticketfeed.protocol.credentials import hash_token
from ticketfeed.protocol.errors import InvalidGrant, InvalidScope
from ticketfeed.protocol.scopes import DEFAULT_SCOPES, allows, cut_scopes, is_scope

__all__ = [
    "CODE_SECONDS",
    "OAUTH_ID_MIN",
    "SHOWN_TOKEN_CHARS",
    "AuthorizationCode",
    "ClientKind",
    "Lifetimes",
    "NewSecrets",
    "OauthClient",
    "OauthToken",
    "check_code",
    "check_renewal",
    "choose_scopes",
    "is_access_token",
    "is_redirect_uri",
    "is_secret",
    "keep_until",
    "make_jwt",
    "make_token",
    "matches_redirect_uri",
]

ClientKind = Literal["public", "confidential", "unknown"]

# Ids of clients begin here, so that the id of a client can stand for the credential of its requests: no other
# credential has it.
OAUTH_ID_MIN = 10_000_000_001
# An authorization code can be exchanged for so long.
CODE_SECONDS = 120
ACCESS_SECONDS_DEFAULT = 1800
REFRESH_SECONDS_DEFAULT = 2_592_000
# 2026-04-30: tokens of clients that were made before do not expire unless that is asked for.
EXPIRY_BEGINS = 1_777_507_200
# What has expired, or was ended, is still told apart from what never was for this long.
KEEP_SECONDS = 7 * 86400
SHOWN_TOKEN_CHARS = 10
SHOWN_SECRET_CHARS = 9
# A JWT of about a kilobyte: its signature is as long as that of a 4096-bit key.
SIGNATURE_BYTES = 512

# Without a fragment, RFC 6749 3.1.2: what is appended to one never reaches the client's server.
_URI = re.compile(
    r"(?P<scheme>https?)://(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::[0-9]{1,5})?(?:[/?][!\"$-~]*)?"
)
_OWN_HOSTS = frozenset({"localhost", "127.0.0.1", "[::1]"})
_ACCESS_TOKEN = re.compile(r"[0-9a-f]{64}|ey[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
_VERIFIER = re.compile(r"[A-Za-z0-9._~-]{43,128}")


@dataclass(frozen=True, slots=True)
class OauthClient:
    """A program that may ask for tokens. `identifier` is the `client_id` of its requests.

    `user_id`: whom it acts as by itself. `secret_hash`: None for a public client. `redirect_uris`, `allowed_scopes`:
    separated by spaces; None allows all scopes.
    """

    id: int
    identifier: str
    kind: ClientKind
    name: str
    user_id: int
    secret_hash: str | None
    secret_start: str
    redirect_uris: str
    allowed_scopes: str | None
    company: str | None
    description: str | None
    logo_url: str | None
    created_at: int
    updated_at: int

    @property
    def is_public(self) -> bool:
        return self.kind == "public"

    @property
    def is_global(self) -> bool:
        """Whether it is one of the clients that all accounts know."""
        return self.identifier.startswith("zdg-")


@dataclass(frozen=True, slots=True)
class OauthToken:
    """An access token, with its refresh token if it has one. `*_start`: the characters that are shown.

    `family`: the id of the first token of the chain of renewals. `ended_at`: when it was revoked or renewed.
    `keep_until`: when it can be forgotten; None for never. `used_at`: when it was last used, roughly.
    """

    id: int
    family: int
    client_id: int
    user_id: int
    scopes: str
    access_hash: str
    access_start: str
    refresh_hash: str | None
    refresh_start: str | None
    created_at: int
    expires_at: int | None
    refresh_expires_at: int | None
    ended_at: int | None
    keep_until: int | None
    used_at: int | None

    def is_expired(self, now: int) -> bool:
        """Whether the access token has expired."""
        return self.expires_at is not None and now >= self.expires_at

    def is_listed(self, now: int) -> bool:
        """Whether the access or the refresh token can still be used."""
        ends = [self.expires_at] if self.refresh_hash is None else [self.expires_at, self.refresh_expires_at]
        return self.ended_at is None and any(end is None or now < end for end in ends)


@dataclass(frozen=True, slots=True)
class AuthorizationCode:
    """What a user consented to. `token_id`: the token that the code was exchanged for, once it was."""

    code_hash: str
    client_id: int
    user_id: int
    scopes: str
    redirect_uri: str
    challenge: str | None
    challenge_method: str | None
    expires_at: int
    token_id: int | None


class Lifetimes(NamedTuple):
    """The seconds that were asked for; None for the default."""

    access: int | None = None
    refresh: int | None = None


class NewSecrets(NamedTuple):
    """Random texts of a new token. `refresh`: None for a grant that gives no refresh token."""

    access: str
    refresh: str | None


def make_token(
    id: int,
    client: OauthClient,
    user_id: int,
    scopes: str,
    secrets: NewSecrets,
    lifetimes: Lifetimes,
    now: int,
    *,
    family: int | None = None,
    is_endless: bool = False,
) -> OauthToken:
    """A new token. Tokens of older clients expire only if that is asked for, and those that are `is_endless` never."""
    default = None if is_endless or client.created_at < EXPIRY_BEGINS else ACCESS_SECONDS_DEFAULT
    access = default if lifetimes.access is None else lifetimes.access
    refresh = REFRESH_SECONDS_DEFAULT if lifetimes.refresh is None else lifetimes.refresh
    expires_at = None if access is None else now + access
    refresh_expires_at = None if secrets.refresh is None else now + refresh
    return OauthToken(
        id=id,
        family=id if family is None else family,
        client_id=client.id,
        user_id=user_id,
        scopes=scopes,
        access_hash=hash_token(secrets.access),
        access_start=secrets.access[:SHOWN_TOKEN_CHARS],
        refresh_hash=None if secrets.refresh is None else hash_token(secrets.refresh),
        refresh_start=None if secrets.refresh is None else secrets.refresh[:SHOWN_TOKEN_CHARS],
        created_at=now,
        expires_at=expires_at,
        refresh_expires_at=refresh_expires_at,
        ended_at=None,
        keep_until=keep_until(expires_at, refresh_expires_at),
        used_at=None,
    )


def keep_until(expires_at: int | None, refresh_expires_at: int | None) -> int | None:
    """When a token can be forgotten; None for one that never expires."""
    return None if expires_at is None else max(expires_at, refresh_expires_at or 0) + KEEP_SECONDS


def check_renewal(token: OauthToken | None, client: OauthClient, now: int) -> OauthToken:
    """The token whose refresh token a client sent, if it can be renewed. Raises InvalidGrant."""
    if token is None or token.client_id != client.id or token.ended_at is not None:
        raise InvalidGrant
    if token.refresh_expires_at is None or now >= token.refresh_expires_at:
        raise InvalidGrant
    return token


def check_code(
    code: AuthorizationCode | None, client: OauthClient, redirect_uri: str | None, verifier: str | None, now: int
) -> AuthorizationCode:
    """The authorization code that a client sent, if it can be exchanged. Raises InvalidGrant."""
    if code is None or code.client_id != client.id or code.token_id is not None or now >= code.expires_at:
        raise InvalidGrant
    if code.redirect_uri != redirect_uri or not _is_verifier(verifier, code):
        raise InvalidGrant
    return code


def _is_verifier(verifier: str | None, code: AuthorizationCode) -> bool:
    """Whether it proves who asked for the code (RFC 7636). A challenge whose method is unknown is never met."""
    if code.challenge is None:
        return verifier is None
    if verifier is None or not _VERIFIER.fullmatch(verifier):
        return False
    if code.challenge_method == "S256":
        verifier = urlsafe_b64encode(sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    elif code.challenge_method != "plain":
        return False
    return compare_digest(verifier.encode(), code.challenge.rstrip("=").encode())


def choose_scopes(client: OauthClient, asked: str | None, granted: str | None) -> str:
    """The scopes of a new token. `asked`: what the request names. `granted`: what was consented to or held before.

    A request may narrow what was granted, never widen it, and the client's allowed scopes bound both. Raises
    InvalidScope.
    """
    allowed = client.allowed_scopes
    if asked is None:
        scopes = cut_scopes(granted if granted is not None else allowed or DEFAULT_SCOPES, allowed)
        if not scopes:
            raise InvalidScope
        return scopes
    names = asked.split()
    if not all(is_scope(name) and allows(allowed, name) and allows(granted, name) for name in names):
        raise InvalidScope
    return " ".join(names)


def is_redirect_uri(text: str) -> bool:
    """Whether it is absolute and without a fragment, and https unless its host is this machine."""
    match = _URI.fullmatch(text)
    return match is not None and (match["scheme"] == "https" or match["host"].lower() in _OWN_HOSTS)


def matches_redirect_uri(client: OauthClient, redirect_uri: str) -> bool:
    """Whether it is one of the client's, character for character."""
    return redirect_uri in client.redirect_uris.split()


def is_access_token(text: str) -> bool:
    """Whether it has the form of an access token, of either kind. An API token can have it, too."""
    return _ACCESS_TOKEN.fullmatch(text) is not None


def is_secret(client: OauthClient | None, secret: str | None) -> bool:
    """Whether it is the client's secret; for a client that is not there it takes as long."""
    stored = (client.secret_hash if client else None) or hash_token("")
    return compare_digest(hash_token(secret or ""), stored) and bool(secret) and client is not None


def make_jwt(claims: dict[str, Any], signature: bytes) -> str:
    """A text in the form of a JWT access token. Nobody can verify it: it is looked up like any other token."""
    header = {"alg": "RS256", "kid": "1", "typ": "at+jwt"}
    parts = (msgspec.json.encode(header), msgspec.json.encode(claims), signature)
    return ".".join(urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)
