"""Checks of passwords: one at a time, few in line, and fewer for senders of wrong ones.

argon2 takes tens of milliseconds of every core for each check. A password that this process has found to be correct is
recognised without it, for as long as its credential is in force, so those who sign in with one wait for nobody.
"""

import asyncio
import ipaddress
import math
import secrets
import time
from collections.abc import Callable, Hashable, Sequence
from functools import cache
from hashlib import blake2b

from cachetools import LRUCache

from ticketfeed.protocol.credentials import hash_password, is_password
from ticketfeed.protocol.errors import APIRateLimitExceeded
from ticketfeed.protocol.model import Account
from ticketfeed.storage.contract import Credential, CredentialStore
from ticketfeed.storage.shared_reads import SharedReads

__all__ = ["ADDRESS_FAILURES", "LINE_MAX", "NAME_FAILURES", "Failures", "PasswordChecks", "network_of", "too_many"]

# Wrong passwords in a row before a sender has to wait, and the seconds per attempt from then on. More are allowed for
# a name than for an address, so that one address alone cannot keep the owner of a name out.
ADDRESS_FAILURES = 20, 10.0
NAME_FAILURES = 30, 5.0
# Checks that run or wait for their turn: a few seconds' work.
LINE_MAX = 50
CORRECT_MAX = 1000
# Addresses, and names, whose failures are counted.
COUNTED_MAX = 10_000
# A network hands a single customer 2^64 IPv6 addresses.
_IPV6_PREFIX = 64


class Failures:
    """Attempts by key. So many are allowed at once, and one more each time `seconds` have passed.

    This is the generic cell rate algorithm: one time per key, up to which its attempts are paid for.
    """

    def __init__(self, at_once: int, seconds: float) -> None:
        self._seconds, self._ahead_max = seconds, (at_once - 1) * seconds
        self._paid_until: LRUCache[Hashable, float] = LRUCache(COUNTED_MAX)

    def wait_seconds(self, key: Hashable, now: float) -> float:
        """How long the next attempt has to wait; 0 if it is allowed now."""
        return max(0.0, self._paid_until.get(key, now) - now - self._ahead_max)

    def add(self, key: Hashable, now: float) -> None:
        self._paid_until[key] = max(self._paid_until.get(key, now), now) + self._seconds

    def take_back(self, key: Hashable) -> None:
        """Take back one attempt, which did not fail."""
        if key in self._paid_until:
            self._paid_until[key] -= self._seconds


class PasswordChecks:
    """The checks of one process."""

    def __init__(self, store: CredentialStore, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._stored, self._monotonic = SharedReads(lambda *which: store.find_passwords(*which)), monotonic
        # Entries are keyed by a hash that is worth nothing outside of this process.
        self._secret = secrets.token_bytes(32)
        # Account, email and password -> the stored hash that they were found to match.
        self._correct: LRUCache[bytes, str] = LRUCache(CORRECT_MAX)
        self._in_line: dict[bytes, asyncio.Task[Credential | None]] = {}
        self._turn = asyncio.Lock()
        self._of_addresses, self._of_names = Failures(*ADDRESS_FAILURES), Failures(*NAME_FAILURES)

    async def find(self, account: Account, email: str, password: str, address: str) -> Credential | None:
        """The credential of this email, in lower case, that has this password; None if there is none.

        Raises APIRateLimitExceeded if too many wrong ones came from this address, or for this email.
        """
        key = self._key(account, email, password)
        stored = self._correct.get(key)
        if stored is not None:
            for credential in await self._stored.read(account, email):
                if credential.secret_hash == stored:
                    return credential
        check = self._in_line.get(key)  # clients open several connections at once
        if check is None:
            name, network = (account.account_id, email), network_of(address)
            self._count(name, network)
            work = self._check(account, email, password, name, network)
            check = self._in_line[key] = asyncio.get_running_loop().create_task(work)
            check.add_done_callback(lambda done: self._end(key, done))
        return await asyncio.shield(check)

    def _count(self, name: Hashable, network: str) -> None:
        """Count an attempt before it is checked, for those that come meanwhile. Raises APIRateLimitExceeded."""
        now = self._monotonic()
        wait = max(self._of_addresses.wait_seconds(network, now), self._of_names.wait_seconds(name, now))
        if wait > 0:
            raise too_many("Too many failed attempts to sign in", wait)
        if len(self._in_line) >= LINE_MAX:
            raise too_many("Too many attempts to sign in at the same time", 1)
        self._of_addresses.add(network, now)
        self._of_names.add(name, now)

    async def _check(
        self, account: Account, email: str, password: str, name: Hashable, network: str
    ) -> Credential | None:
        is_wrong = False
        try:
            credentials = await self._stored.read(account, email)
            async with self._turn:
                found = await asyncio.to_thread(_find_match, credentials, password)
            is_wrong = found is None
        finally:
            if not is_wrong:
                self._of_addresses.take_back(network)
                self._of_names.take_back(name)
        return found

    def _end(self, key: bytes, check: "asyncio.Task[Credential | None]") -> None:
        del self._in_line[key]
        if not check.cancelled() and check.exception() is None and (found := check.result()) is not None:
            self._correct[key] = found.secret_hash

    def _key(self, account: Account, email: str, password: str) -> bytes:
        """The email is bounded by the head of a request, and holds no NUL."""
        text = f"{account.account_id} {email}\0{password}"
        return blake2b(text.encode("utf-8", "surrogatepass"), key=self._secret).digest()


def too_many(reason: str, wait: float) -> APIRateLimitExceeded:
    """The error of an attempt that has to wait."""
    seconds = math.ceil(wait)
    return APIRateLimitExceeded(f"{reason}. Try again in {seconds} seconds", seconds, {})


def _find_match(credentials: Sequence[Credential], password: str) -> Credential | None:
    """One is checked even where there is none: the time of a refusal must not tell whether the email exists."""
    if not credentials:
        is_password(password, _dummy_hash())
    return next((each for each in credentials if is_password(password, each.secret_hash)), None)


@cache
def _dummy_hash() -> str:
    return hash_password("")


def network_of(address: str) -> str:
    """What one sender can choose addresses from."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv4Address):
        return address
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((int(parsed), _IPV6_PREFIX), strict=False))
