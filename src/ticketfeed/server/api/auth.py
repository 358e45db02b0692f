"""Authorization header -> Identity. A credential acts as the user who owns it, with that user's role.

Three schemes: Basic `email/token:TOKEN`, Basic `email:password`, Bearer `TOKEN`.
"""

import asyncio
import binascii
import time
from base64 import b64decode
from collections.abc import Awaitable, Callable
from functools import cache
from hashlib import sha256

from ticketfeed.protocol.credentials import hash_password, hash_token, is_password
from ticketfeed.protocol.errors import InvalidToken, NotAuthenticated
from ticketfeed.protocol.model import Account, Identity
from ticketfeed.protocol.record_types import UserRecord
from ticketfeed.protocol.stored_records import StoredDecoder
from ticketfeed.storage.contract import Store

__all__ = ["Authenticate", "Authenticator", "identity_of"]

# The authenticator of an app. `ticketfeed get` has one of its own, which trusts the local user.
Authenticate = Callable[[Account, str | None], Awaitable[Identity]]

# argon2 takes tens of milliseconds for a password, so a correct one is cached for this long.
PASSWORD_CACHE_SECONDS = 60.0
PASSWORD_CACHE_ENTRIES_MAX = 1000
IDENTITY_CACHE_ENTRIES_MAX = 1000


_USER = StoredDecoder(UserRecord)


class Authenticator:
    """Checks credentials against a store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        # Hash of a correct password and its stored hash -> when the entry expires, on the monotonic clock.
        self._passwords: dict[str, float] = {}
        # (account_id, header) -> the account's record_changes when it was checked, and the identity. Every write of a
        # credential or a user bumps record_changes, so an entry is valid while they stay the same.
        self._identities: dict[tuple[int, str | None], tuple[int, Identity]] = {}
        # account_id -> the store's change_counter when record_changes were last read, and record_changes.
        self._record_changes: dict[int, tuple[int, int]] = {}
        # One password at a time: many wrong ones at once must not take every core.
        self._password_lock = asyncio.Lock()

    async def __call__(self, account: Account, authorization: str | None) -> Identity:
        """Raises NotAuthenticated or InvalidToken."""
        change_counter, key = self._store.change_counter(), (account.account_id, authorization)
        if change_counter is None:
            return await self._identify(account, authorization)
        changes = await self._read_record_changes(account, change_counter)
        cached = self._identities.get(key)
        if cached is not None and cached[0] == changes:
            return cached[1]
        identity = await self._identify(account, authorization)
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
            email = name.removesuffix("/token").strip().lower()
            is_owner = identity and email and identity.email.strip().lower() == email
            return identity if identity and is_owner else _refuse(NotAuthenticated(with_token=True))
        return await self._password(account, name.strip().lower(), secret) or _refuse(NotAuthenticated())

    async def _token(self, account: Account, token: str) -> Identity | None:
        credential = await self._store.find_token_user(account, hash_token(token)) if token else None
        return identity_of(credential.id, credential.user) if credential else None

    async def _password(self, account: Account, email: str, password: str) -> Identity | None:
        credentials = await self._store.find_passwords(account, email)
        if not credentials:  # check one all the same: the time of a refusal must not tell whether the email exists
            await self._matches(_dummy_hash(), password)
        for credential in credentials:
            if await self._matches(credential.secret_hash, password):
                return identity_of(credential.id, credential.user)
        return None

    async def _matches(self, stored: str, password: str) -> bool:
        key = sha256(f"{stored}\n{password}".encode()).hexdigest()
        if self._passwords.get(key, 0.0) > time.monotonic():
            return True
        async with self._password_lock:
            is_correct = await asyncio.to_thread(is_password, password, stored)
        if is_correct:
            if len(self._passwords) >= PASSWORD_CACHE_ENTRIES_MAX:
                self._passwords.clear()
            self._passwords[key] = time.monotonic() + PASSWORD_CACHE_SECONDS
        return is_correct


@cache
def _dummy_hash() -> str:
    return hash_password("")


def identity_of(credential_id: int, body: bytes) -> Identity | None:
    """The user who owns a credential; None for one who is inactive or suspended."""
    user = _USER.decode(body)
    if not user.active or user.suspended:
        return None
    return Identity(user.id, user.email or "", user.role, credential_id)


def _refuse(error: Exception) -> Identity:
    raise error
