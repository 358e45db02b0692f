"""Authorization header -> Identity. A credential acts as the user it was made for, whose role counts.

Three ways in: Basic `email/token:TOKEN`, Basic `email:password`, Bearer `TOKEN`.
"""

import asyncio
import binascii
import time
from base64 import b64decode
from collections.abc import Awaitable, Callable
from functools import cache
from hashlib import sha256

import msgspec

from ticketfeed.protocol.credentials import hash_password, hash_token, is_password
from ticketfeed.protocol.errors import InvalidToken, NotAuthenticated
from ticketfeed.protocol.model import Account, Identity
from ticketfeed.storage.contract import Store

__all__ = ["Authenticate", "Authenticator", "identity_of"]

# What an app needs of an authenticator; `ticketfeed get` brings its own, which trusts the local user.
Authenticate = Callable[[Account, str | None], Awaitable[Identity]]

# Checking a password takes argon2 tens of milliseconds; one that was right is taken as right for this long.
PASSWORD_REMEMBERED_SECONDS = 60.0
PASSWORDS_REMEMBERED_MAX = 1000
HEADERS_KNOWN_MAX = 1000


class _User(msgspec.Struct):
    id: int
    email: str | None = None
    role: str = "end-user"
    active: bool = True
    suspended: bool = False


_USER = msgspec.json.Decoder(_User)


class Authenticator:
    """Checks credentials against a store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._remembered: dict[str, float] = {}
        # Who is behind a header, with the account's record_changes then: right for as long as these stay the same.
        self._known: dict[tuple[int, str | None], tuple[int, Identity]] = {}
        # The store's stamp when an account's record_changes were last read, and what they were.
        self._changes: dict[int, tuple[int, int]] = {}
        # One password at a time: a flood of wrong ones must not take every core.
        self._checking = asyncio.Lock()

    async def __call__(self, account: Account, authorization: str | None) -> Identity:
        """Raises NotAuthenticated or InvalidToken."""
        change_counter, key = self._store.change_counter(), (account.account_id, authorization)
        if change_counter is None:
            return await self._identify(account, authorization)
        changes = await self._record_changes(account, change_counter)
        known = self._known.get(key)
        if known is not None and known[0] == changes:
            return known[1]
        identity = await self._identify(account, authorization)
        if len(self._known) >= HEADERS_KNOWN_MAX:
            self._known.clear()
        self._known[key] = changes, identity  # read before we looked: what changed meanwhile is seen next time
        return identity

    async def _record_changes(self, account: Account, change_counter: int) -> int:
        last_stamp, changes = self._changes.get(account.account_id, (None, 0))
        if change_counter != last_stamp:
            changes = (await self._store.read_state(account)).record_changes
            self._changes[account.account_id] = change_counter, changes
        return changes

    async def _identify(self, account: Account, authorization: str | None) -> Identity:
        scheme, _, value = (authorization or "").strip().partition(" ")
        if scheme.lower() == "bearer":
            return await self._token(account, value.strip()) or _refuse(InvalidToken())
        if scheme.lower() == "basic":
            return await self._basic(account, value.strip())
        raise NotAuthenticated

    async def _basic(self, account: Account, value: str) -> Identity:
        try:
            name, separator, secret = b64decode(value, validate=True).decode("utf-8").partition(":")
        except (binascii.Error, ValueError):
            raise NotAuthenticated from None
        if not separator or "\0" in name:
            raise NotAuthenticated
        if name.endswith("/token"):
            identity = await self._token(account, secret)
            wanted = name.removesuffix("/token").strip().lower()
            is_owner = identity and wanted and identity.email.strip().lower() == wanted
            return identity if identity and is_owner else _refuse(NotAuthenticated(with_token=True))
        return await self._password(account, name.strip().lower(), secret) or _refuse(NotAuthenticated())

    async def _token(self, account: Account, token: str) -> Identity | None:
        found = await self._store.find_token_user(account, hash_token(token)) if token else None
        return identity_of(found.id, found.user) if found else None

    async def _password(self, account: Account, email: str, password: str) -> Identity | None:
        found = await self._store.find_passwords(account, email)
        if not found:  # takes as long as a wrong password: how long a refusal takes must not tell who is there
            await self._matches(_nobodys_hash(), password)
        for credential in found:
            if await self._matches(credential.secret_hash, password):
                return identity_of(credential.id, credential.user)
        return None

    async def _matches(self, stored: str, password: str) -> bool:
        key = sha256(f"{stored}\n{password}".encode()).hexdigest()
        if self._remembered.get(key, 0.0) > time.monotonic():
            return True
        async with self._checking:
            right = await asyncio.to_thread(is_password, password, stored)
        if right:
            if len(self._remembered) >= PASSWORDS_REMEMBERED_MAX:
                self._remembered.clear()
            self._remembered[key] = time.monotonic() + PASSWORD_REMEMBERED_SECONDS
        return right


@cache
def _nobodys_hash() -> str:
    return hash_password("")


def identity_of(credential_id: int, body: bytes) -> Identity | None:
    """The user that a credential stands for; None for one who may not come in."""
    user = _USER.decode(body)
    if not user.active or user.suspended:
        return None
    return Identity(user.id, user.email or "", user.role, credential_id)


def _refuse(error: Exception) -> Identity:
    raise error
