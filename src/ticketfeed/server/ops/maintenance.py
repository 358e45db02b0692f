"""Scheduled maintenance of all accounts, which one process of all that serve a store does: the one that has the lease.

A round finds the accounts in which something is due, a thousand in one statement, and changes only those. It picks up
jobs that a process has left unfinished; accounts are measured beside it. What is found of quotas is stored for all
processes, each of which reads only which accounts are full.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence

from ticketfeed.data.maintenance import by_time, find_due, maintain
from ticketfeed.data.sizes import find_full_accounts, measure_accounts
from ticketfeed.protocol.errors import StoreError, StoreUnavailable
from ticketfeed.protocol.model import Account
from ticketfeed.server.ops.jobs import Jobs
from ticketfeed.server.ops.lease import RENEW_SECONDS, ServerLease
from ticketfeed.settings import Settings
from ticketfeed.storage.account_batches import Away, read_in_batches
from ticketfeed.storage.contract import Store

__all__ = ["MAINTENANCE_SECONDS", "Maintenance"]

# From the end of a round to the next.
MAINTENANCE_SECONDS = 60.0
# How often quotas are compared with what accounts hold, and how often a process reads what was found: half of the time
# that a change of either takes to be followed.
QUOTA_SECONDS = 5.0
# A job that is not finished after so long may be one that nobody does any more. Two processes may do one.
LEFT_JOB_SECONDS = 60
# Accounts that are maintained at the same time.
TOGETHER = 4
# Accounts that are named in one line of the log.
NAMED = 3
MOVED_CLOCKS = (
    "the clock of account %s was moved, and is not followed: this server keeps the machine's time, as it was started "
    "without --test-clock"
)

_log = logging.getLogger("ticketfeed.maintenance")


def _always() -> bool:
    return True


class Maintenance:
    """What one process does of it. `on_round` is called after each round that it did."""

    def __init__(
        self,
        store: Store,
        settings: Settings,
        now: Callable[[Account], int],
        jobs: Jobs,
        on_round: Callable[[], None] = lambda: None,
    ) -> None:
        self._store, self._settings, self._now, self._jobs, self._on_round = store, settings, now, jobs, on_round
        # A server that goes by moved clocks does for them what one that does not leaves.
        self._lease = ServerLease(store, "maintenance by moved clocks" if settings.test_clock else "maintenance")
        # The ids of those that have reached their quotas.
        self.full_accounts: set[int] = set()
        # Those that the last round could not reach.
        self._unreachable: set[Account] = set()
        # How many writes had erased when the engine last overwrote what they left.
        self._overwritten: int | None = None
        self._has_warned = False
        self._tasks: list[asyncio.Task[None]] = []
        self._is_due: list[asyncio.Event] = []

    def start(self) -> None:
        """Do what is to be done, again and again, until `stop`."""
        for work, seconds in (
            (self._renew, RENEW_SECONDS),
            (self._maintain, MAINTENANCE_SECONDS),
            (self._measure, MAINTENANCE_SECONDS),
            (self._follow_quotas, QUOTA_SECONDS),
        ):
            self._is_due.append(asyncio.Event())
            repeating = self._repeat(work, seconds, self._is_due[-1])
            self._tasks.append(asyncio.get_running_loop().create_task(repeating))

    async def stop(self) -> None:
        """Stop, and let another process go on at once. Idempotent."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._lease.end()

    def wake(self) -> None:
        """Do it now: the clock of an account was moved."""
        for is_due in self._is_due:
            is_due.set()

    async def run_round(self, goes_on: Callable[[], bool] = _always) -> None:
        """Run it once for every account, those last that could not be reached before, as long as it `goes_on`."""
        shards = await self._store.list_shards()
        await self._overwrite_erased()
        left_out = await self._pick_up_jobs(shards)
        due, away = await find_due(
            self._store,
            shards,
            self._now,
            close_solved_days=self._settings.close_solved_days,
            scrub_deleted_days=self._settings.scrub_deleted_days,
        )
        away |= left_out
        self._note_unreachable(away)
        left = iter(sorted(due, key=self._unreachable.__contains__))

        async def maintain_some() -> None:
            for account in left:
                if goes_on():
                    await self._maintain_account(account)

        await asyncio.gather(*(maintain_some() for _ in range(TOGETHER)))
        self._unreachable &= {*due, *away}
        self._on_round()

    async def find_full_accounts(self) -> None:
        """Look which accounts have reached their quotas, and tell all processes."""
        full, away = await find_full_accounts(self._store)
        before = await self._store.read_full_accounts()
        self.full_accounts = full | (before & away)
        if self.full_accounts != before:
            await self._store.replace_full_accounts(self.full_accounts)

    async def _repeat(self, work: Callable[[], Awaitable[None]], seconds: float, is_due: asyncio.Event) -> None:
        reason = ""
        while True:
            is_due.clear()
            try:
                await work()
                reason = ""
            except (StoreError, StoreUnavailable) as error:
                if str(error) != reason:
                    reason = str(error)
                    _log.warning("maintenance failed, retrying: %s", reason)
            except Exception:  # a fault of this program, which must not end maintenance for good
                _log.exception("maintenance failed, retrying")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await is_due.wait()

    async def _renew(self) -> None:
        had_it = self._lease.is_held
        if await self._lease.take() and not had_it:
            _log.debug("this process does the maintenance of all accounts now")
            self._overwritten = None
            self.wake()

    async def _maintain(self) -> None:
        has_erased = await self._jobs.follow_erasures()
        if self._lease.is_held:
            await self.run_round(lambda: self._lease.is_held)
        elif has_erased:
            await self._store.overwrite_erased(own=True)
        if not self._settings.test_clock:
            await self._warn_moved_clocks()

    async def _measure(self) -> None:
        if self._lease.is_held:
            await measure_accounts(self._store, self._now, lambda: self._lease.is_held)

    async def _follow_quotas(self) -> None:
        if self._lease.is_held:
            await self.find_full_accounts()
        else:
            self.full_accounts = await self._store.read_full_accounts()

    async def _overwrite_erased(self) -> None:
        erasures = await self._store.count_erasures()
        if erasures == (self._overwritten or 0):
            return
        try:
            await self._store.overwrite_erased()
            self._overwritten = erasures
        except (StoreError, StoreUnavailable) as error:  # the accounts are maintained all the same
            _log.warning("erased rows are not overwritten yet: %s", error)

    async def _pick_up_jobs(self, shards: Iterable[Sequence[Account]]) -> Away:
        """Start the jobs that a process may have left unfinished, and those that came with a copied account.

        Returns the accounts that are out of reach.
        """

        async def find(accounts: Sequence[Account]) -> list[tuple[Account, str]]:
            found: list[tuple[Account, str]] = []
            for at, some in by_time(accounts, self._now):
                found += await self._jobs.find_open(some, at - LEFT_JOB_SECONDS)
            return found

        open_jobs, away = await read_in_batches(shards, find)
        for account, job_id in open_jobs:
            self._jobs.start(account, job_id)
        return away

    async def _maintain_account(self, account: Account) -> None:
        try:
            counts = await maintain(
                self._store,
                account,
                close_solved_days=self._settings.close_solved_days,
                scrub_deleted_days=self._settings.scrub_deleted_days,
                now=self._now(account),
            )
        except (StoreError, StoreUnavailable) as error:
            if account not in self._unreachable:
                _log.warning("maintenance of %s failed, retrying: %s", account.subdomain, error)
            self._unreachable.add(account)
            return
        except Exception:  # a fault of this program, or of what is stored; the other accounts go on
            _log.exception("maintenance of %s failed, retrying", account.subdomain)
            self._unreachable.add(account)
            return
        self._unreachable.discard(account)
        if any(counts.values()):
            _log.info("maintenance of %s: %s", account.subdomain, counts)

    def _note_unreachable(self, away: Away) -> None:
        if new := sorted(account.subdomain for account in away.keys() - self._unreachable):
            names = ", ".join(new[:NAMED]) + (", ..." if len(new) > NAMED else "")
            _log.warning("maintenance leaves out %d accounts that cannot be reached: %s", len(new), names)
        self._unreachable |= away.keys()

    async def _warn_moved_clocks(self) -> None:
        """Say once of a process that it does not go by clocks that were moved."""
        if not self._has_warned and (moved := await self._store.read_clocks()):
            self._has_warned = True
            names = [each.subdomain for each in await self._store.list_accounts() if each.account_id in moved]
            _log.warning(MOVED_CLOCKS, ", ".join(names))
