"""Authorization header -> Identity. A credential acts as the user who owns it, with that user's role.

Three schemes: Basic `email/token:TOKEN`, Basic `email:password`, Bearer `TOKEN`, which is an access token of OAuth or
an API token.
"""

import binascii
from base64 import b64decode
from collections.abc import Awaitable, Callable
from dataclasses import replace

from ticketfeed.protocol.credentials import hash_token
from ticketfeed.protocol.errors import APIRateLimitExceeded, InvalidToken, NotAuthenticated
from ticketfeed.protocol.model import Account, Identity
from ticketfeed.protocol.oauth import is_access_token
from ticketfeed.protocol.record_types import UserRecord
from ticketfeed.protocol.scopes import cut_scopes
from ticketfeed.protocol.stored_records import StoredDecoder
from ticketfeed.server.api.password_checks import PasswordChecks
from ticketfeed.storage.contract import Store
from ticketfeed.storage.shared_reads import SharedReads

__all__ = ["AccountClock", "Authenticate", "Authenticator", "Client", "identity_of"]

# Address and port of who sent a request, as ASGI has them.
Client = tuple[str, int] | None
# The authenticator of an app. `ticketfeed get` has one of its own, which trusts the local user.
Authenticate = Callable[[Account, str | None, Client], Awaitable[Identity]]

# The time of an account, in whole Unix seconds.
AccountClock = Callable[[Account], int]

IDENTITY_CACHE_ENTRIES_MAX = 1000


_USER = StoredDecoder(UserRecord)


class Authenticator:
    """Checks credentials against a store. Access tokens expire by the clock."""

    def __init__(
        self,
        store: Store,
        now: AccountClock,
        on_failure: Callable[[Account, str], None] = lambda _account, _reason: None,
    ) -> None:
        """`on_failure` is called with why credentials were refused: token, password, or unchecked."""
        self._store, self._now, self._on_failure = store, now, on_failure
        self._passwords = PasswordChecks(store)
        self._tokens = SharedReads(lambda *which: store.find_token_user(*which))
        self._access_tokens = SharedReads(lambda *which: store.find_access_token(*which))
        # (account_id, header) -> the account's record_changes when it was checked, and the identity. Every write of a
        # credential or a user bumps record_changes, so an entry is valid while they stay the same.
        self._identities: dict[tuple[int, str | None], tuple[int, Identity]] = {}
        # account_id -> the store's change_counter when record_changes were last read, and record_changes.
        self._record_changes: dict[int, tuple[int, int]] = {}

    async def __call__(self, account: Account, authorization: str | None, client: Client) -> Identity:
        """Raises NotAuthenticated, InvalidToken or APIRateLimitExceeded."""
        change_counter, key = self._store.change_counter(), (account.account_id, authorization)
        if change_counter is None:
            return await self._identify(account, authorization, client)
        changes = await self._read_record_changes(account, change_counter)
        cached = self._identities.get(key)
        if cached is not None and cached[0] == changes:
            identity = cached[1]
            if identity.expires_at is None or self._now(account) < identity.expires_at:
                return identity
        identity = await self._identify(account, authorization, client)
        if len(self._identities) >= IDENTITY_CACHE_ENTRIES_MAX:
            self._identities.clear()
        # `changes` were read first: a change since then makes the entry invalid.
        self._identities[key] = changes, identity
        return identity

    async def _read_record_changes(self, account: Account, change_counter: int) -> int:
        last_counter, changes = self._record_changes.get(account.account_id, (None, 0))
        if change_counter != last_counter:
            changes = (await self._store.read_state(account)).record_changes
            self._record_changes[account.account_id] = change_counter, changes
        return changes

    async def _identify(self, account: Account, authorization: str | None, client: Client) -> Identity:
        if not authorization:
            raise NotAuthenticated
        try:
            return await self._check(account, authorization, client[0] if client else "")
        except (NotAuthenticated, InvalidToken, APIRateLimitExceeded) as error:
            self._on_failure(account, _reason(error))
            raise

    async def _check(self, account: Account, authorization: str, address: str) -> Identity:
        scheme, _, value = authorization.strip().partition(" ")
        if scheme.lower() == "bearer":
            return await self._bearer(account, value.strip()) or _refuse(InvalidToken())
        if scheme.lower() == "basic":
            return await self._basic(account, value.strip(), address)
        raise NotAuthenticated

    async def _basic(self, account: Account, value: str, address: str) -> Identity:
        try:
            name, separator, secret = b64decode(value, validate=True).decode("utf-8").partition(":")
        except (binascii.Error, ValueError):
            raise NotAuthenticated from None
        if not separator or "\0" in name:
            raise NotAuthenticated
        if name.endswith("/token"):
            identity = await self._token(account, secret)
            email = name.removesuffix("/token").strip().lower()
            is_owner = identity and email and identity.email.strip().lower() == email
            return identity if identity and is_owner else _refuse(NotAuthenticated(with_token=True))
        credential = await self._passwords.find(account, name.strip().lower(), secret, address)
        identity = identity_of(credential.id, credential.user) if credential else None
        return replace(identity, kind="password") if identity else _refuse(NotAuthenticated())

    async def _bearer(self, account: Account, token: str) -> Identity | None:
        if not is_access_token(token):
            return await self._token(account, token)
        found = await self._access_tokens.read(account, hash_token(token))
        if found is None:
            return await self._token(account, token)
        if found.expires_at is not None and self._now(account) >= found.expires_at:
            return None
        identity, scopes = identity_of(found.client_id, found.user), cut_scopes(found.scopes, found.allowed_scopes)
        return identity and replace(
            identity,
            kind="access_token",
            used_at=found.used_at,
            token_id=found.id,
            scopes=scopes,
            expires_at=found.expires_at,
        )

    async def _token(self, account: Account, token: str) -> Identity | None:
        credential = await self._tokens.read(account, hash_token(token)) if token else None
        identity = identity_of(credential.id, credential.user) if credential else None
        return identity and credential and replace(identity, kind="api_token", used_at=credential.used_at)


def identity_of(credential_id: int, body: bytes) -> Identity | None:
    """The user who owns a credential; None for one who is inactive or suspended."""
    user = _USER.decode(body)
    if not user.active or user.suspended:
        return None
    return Identity(user.id, user.email or "", user.role, credential_id)


def _refuse(error: Exception) -> Identity:
    raise error


def _reason(error: Exception) -> str:
    if isinstance(error, APIRateLimitExceeded):
        return "unchecked"
    return "token" if isinstance(error, InvalidToken) or getattr(error, "with_token", False) else "password"
