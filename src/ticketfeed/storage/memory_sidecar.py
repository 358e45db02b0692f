"""The sidecar of a store in memory."""

import time
from collections.abc import Mapping, Sequence

from ticketfeed.protocol import rate_limits
from ticketfeed.protocol.consumers import (
    REQUESTS_KEPT,
    Consumer,
    RequestRecord,
    UsageUpdate,
    consumer_key,
    merge_usage,
    recent_consumers,
    recent_requests,
)
from ticketfeed.protocol.model import Account
from ticketfeed.protocol.rate_limits import RateLimit, RateLimitResult, Window
from ticketfeed.storage.erased_usage import ErasedUsage
from ticketfeed.storage.sidecar_contract import LOGINS_MAX

__all__ = ["MemorySidecarStore"]


class MemorySidecarStore:
    """A SidecarStore."""

    _accounts: dict[str, Account]

    def __init__(self) -> None:
        self._erased = ErasedUsage()
        self._windows: dict[int, dict[str, Window]] = {}
        self._consumers: dict[int, dict[str, Consumer]] = {}
        self._requests: dict[int, list[RequestRecord]] = {}
        # account_id -> hash of a login -> when it ends, the oldest first
        self._logins: dict[int, dict[str, int]] = {}
        # name -> (owner, the monotonic time at which it ends)
        self._leases: dict[str, tuple[str, float]] = {}
        self._full_accounts: set[int] = set()

    async def count_request(self, account: Account, limits: Sequence[RateLimit], now: int) -> RateLimitResult:
        windows, result = rate_limits.count_request(self._windows.get(account.account_id, {}), limits, now)
        if result.refused is None:
            self._windows[account.account_id] = {**self._windows.get(account.account_id, {}), **windows}
        return result

    async def record_usage(
        self,
        account: Account,
        consumers: Mapping[str, UsageUpdate],
        requests: Sequence[RequestRecord],
        now: float,
        *,
        keep: int = REQUESTS_KEPT,
    ) -> None:
        consumers, requests = self._erased.remaining(account, consumers, requests)
        known = self._consumers.get(account.account_id, {})
        noted = {key: update for key, update in consumers.items() if key in known or not update.is_refused}
        known = known | {key: merge_usage(known.get(key), update) for key, update in noted.items()}
        recent = recent_consumers([(key, consumer.last_at) for key, consumer in known.items()], now)
        self._consumers[account.account_id] = {key: consumer for key, consumer in known.items() if key in recent}
        newest = recent_requests([*reversed(requests), *self._requests.get(account.account_id, [])], keep)
        self._requests[account.account_id] = newest

    def _erase_usage(self, account: Account, now: int, user_ids: set[int]) -> None:
        """Forget the requests of an account in which something was erased at `now`, and consumers of erased users."""
        self._erased.add(account, now, user_ids)
        self._requests[account.account_id] = []
        known = self._consumers.get(account.account_id, {})
        kept = {key: consumer for key, consumer in known.items() if consumer.user_id not in user_ids}
        self._consumers[account.account_id] = kept

    async def replace_consumers(self, account: Account, consumers: Sequence[Consumer]) -> None:
        self._consumers[account.account_id] = {consumer_key(each): each for each in consumers}
        self._requests[account.account_id] = []

    async def read_consumers(self, account: Account) -> list[Consumer]:
        known = self._consumers.get(account.account_id, {})
        return [known[key] for key in sorted(known, key=lambda key: (-known[key].last_at, key))]

    async def read_all_consumers(self) -> dict[int, list[Consumer]]:
        accounts = [each for each in self._accounts.values() if self._consumers.get(each.account_id)]
        return {each.account_id: await self.read_consumers(each) for each in accounts}

    async def read_requests(self, account: Account) -> list[RequestRecord]:
        return self._requests.get(account.account_id, [])

    async def add_login(self, account: Account, token_hash: str, now: int, ends_at: int) -> None:
        known = [(each, end) for each, end in self._logins.get(account.account_id, {}).items() if end > now]
        self._logins[account.account_id] = dict([*known, (token_hash, ends_at)][-LOGINS_MAX:])

    async def has_login(self, account: Account, token_hash: str, now: int) -> bool:
        return self._logins.get(account.account_id, {}).get(token_hash, now) > now

    async def end_login(self, account: Account, token_hash: str) -> None:
        self._logins.get(account.account_id, {}).pop(token_hash, None)

    async def take_lease(self, name: str, owner: str, seconds: float) -> bool:
        now = time.monotonic()
        known, ends_at = self._leases.get(name, (owner, now))
        if known != owner and ends_at > now:
            return False
        self._leases[name] = owner, now + seconds
        return True

    async def end_lease(self, name: str, owner: str) -> None:
        if self._leases.get(name, ("", 0.0))[0] == owner:
            del self._leases[name]

    async def replace_full_accounts(self, account_ids: set[int]) -> None:
        self._full_accounts = set(account_ids)

    async def read_full_accounts(self) -> set[int]:
        return set(self._full_accounts)
