"""The part of the Store contract for what stands beside the data and may be lost: limits, usage, logins, leases."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from ticketfeed.protocol.consumers import REQUESTS_KEPT, Consumer, RequestRecord, UsageUpdate
from ticketfeed.protocol.model import Account
from ticketfeed.protocol.rate_limits import RateLimit, RateLimitResult

__all__ = ["LEASE_SECONDS_MAX", "LOGINS_MAX", "SidecarStore"]

# Of one account. Each took a right password or token, so more are a program's, and the oldest end.
LOGINS_MAX = 1000
# No lease is taken for longer, so one that ends later was taken by a clock that has been put back since.
LEASE_SECONDS_MAX = 60.0


class SidecarStore(Protocol):
    """What is stored beside the data and may be lost in a crash. Never waits for a write, however long that is."""

    async def count_request(self, account: Account, limits: Sequence[RateLimit], now: int) -> RateLimitResult:
        """Count one request against all `limits`, or none (`rate_limits.count_request`). Processes share the count."""

    async def record_usage(
        self,
        account: Account,
        consumers: Mapping[str, UsageUpdate],
        requests: Sequence[RequestRecord],
        now: float,
        *,
        keep: int = REQUESTS_KEPT,
    ) -> None:
        """Add what one process has seen (`consumers.merge_usage`), all of it or nothing. Only the newest are stored,
        `keep` requests, and of consumers that received nothing those that are known.

        Not idempotent. If it raises, the caller may repeat it.
        """

    async def read_consumers(self, account: Account) -> list[Consumer]:
        """Every consumer, last seen first."""

    async def read_all_consumers(self) -> dict[int, list[Consumer]]:
        """The same of every account that has any, by account_id."""

    async def replace_consumers(self, account: Account, consumers: Sequence[Consumer]) -> None:
        """Store these consumers in place of all others of the account, and forget its requests."""

    async def read_requests(self, account: Account) -> list[RequestRecord]:
        """The newest requests, newest first: those of `keep`, and about ANONYMOUS_REQUESTS_KEPT of nobody known."""

    async def add_login(self, account: Account, token_hash: str, now: int, ends_at: int) -> None:
        """Store that a browser is signed in to the dashboard until `ends_at`; only the newest LOGINS_MAX are stored."""

    async def has_login(self, account: Account, token_hash: str, now: int) -> bool:
        """Whether it is signed in still. False too if the logins were lost: everybody has to sign in again."""

    async def end_login(self, account: Account, token_hash: str) -> None:
        """Forget a login, in all processes that use the store. Idempotent."""

    async def take_lease(self, name: str, owner: str, seconds: float) -> bool:
        """Take what one process of all has at a time, or renew it, for so long; False while another owner has it.

        By the clock of the database's server, or of the machine that the file is on.
        """

    async def end_lease(self, name: str, owner: str) -> None:
        """Give it back, so that another may have it at once. Idempotent."""

    async def replace_full_accounts(self, account_ids: set[int]) -> None:
        """Store which accounts have reached their quotas, in place of those before."""

    async def read_full_accounts(self) -> set[int]:
        """Those that were stored last."""
