"""Background jobs of a serving process, which may end at any moment: the next one resumes what is left.

Several processes may do one job: each takes the next item while it holds the account's row.
"""

import asyncio
import contextlib
import logging
import uuid
from collections.abc import Callable

from ticketfeed.data.maintenance import maintain
from ticketfeed.data.sizes import full_accounts, measure_accounts
from ticketfeed.protocol.errors import InternalServerError, StoreError, StoreUnavailable, WireError
from ticketfeed.protocol.model import Account
from ticketfeed.settings import Settings
from ticketfeed.storage.contract import JobItem, Store
from ticketfeed.storage.snapshot_contract import WATCH_STATEMENT_SECONDS
from ticketfeed.storage.wait_budget import begin_waits
from ticketfeed.writing.jobs import do_item, next_item, parse_item, put_failure

__all__ = ["Jobs", "new_job_id"]

# Between two attempts while the store is unavailable.
_RETRY_SECONDS = 1.0
# Accounts that are asked for open jobs at the same time.
_RESUMED_TOGETHER = 4
MAINTENANCE_SECONDS = 60.0
# How often quotas are compared with what accounts hold.
QUOTA_SECONDS = 10.0
MOVED_CLOCKS = (
    "the clock of account %s was moved, and is not followed: this server keeps the machine's time, as it was started "
    "without --test-clock"
)

_log = logging.getLogger("ticketfeed.jobs")


def new_job_id() -> str:
    """An id in the form that the wire has."""
    return f"V3-{uuid.uuid4().hex}"


class Jobs:
    """The jobs and the scheduled maintenance of one process."""

    def __init__(self, store: Store, on_erasure: Callable[[], None] = lambda: None) -> None:
        """`on_erasure` is called after anything was erased, by this process or another."""
        self._store, self._on_erasure = store, on_erasure
        self._erasures, self._has_warned = 0, False
        self._running: dict[str, asyncio.Task[None]] = {}
        self._is_stopping = False
        self._maintenance: asyncio.Task[None] | None = None
        self._resuming: asyncio.Task[None] | None = None
        self._measuring: asyncio.Task[None] | None = None
        self._following_quotas: asyncio.Task[None] | None = None
        self.full_accounts: set[Account] = set()
        # Those that were there at the last maintenance: one that is new may be a copy that came with open jobs.
        self._known: set[Account] | None = None
        # Accounts that the last maintenance could not reach.
        self._unreachable: set[Account] = set()
        self._is_due = asyncio.Event()

    def start(self, account: Account, job_id: str) -> None:
        """Run a job in the background, unless it runs already."""
        if job_id not in self._running:
            task = self._running[job_id] = asyncio.get_running_loop().create_task(self._run(account, job_id))
            task.add_done_callback(lambda _: self._running.pop(job_id, None))

    def start_maintenance(self, settings: Settings, now: Callable[[Account], int]) -> None:
        """Run maintenance every minute."""
        self._maintenance = asyncio.get_running_loop().create_task(self._maintain(settings, now))

    def start_measuring(self, now: Callable[[Account], int]) -> None:
        """Look every minute which accounts are to be measured, every QUOTA_SECONDS which have reached their quotas."""
        self._measuring = asyncio.get_running_loop().create_task(self._measure(now))
        self._following_quotas = asyncio.get_running_loop().create_task(self._follow_quotas())

    def wake_maintenance(self) -> None:
        """Run it now: the clock of an account was moved."""
        self._is_due.set()

    def start_resuming(self) -> None:
        """Run `resume` in the background."""
        self._resuming = asyncio.get_running_loop().create_task(self.resume())

    async def resume(self) -> None:
        """Start all jobs that a process left unfinished, account by account: those out of reach when they are back."""
        accounts: list[Account] | None = None
        while accounts is None or accounts:
            try:
                accounts = await self._store.list_accounts() if accounts is None else accounts
                turns = asyncio.Semaphore(_RESUMED_TOGETHER)
                resumed = await asyncio.gather(*(self._resume(account, turns) for account in accounts))
                accounts = [account for account, is_done in zip(accounts, resumed, strict=True) if not is_done]
            except (StoreError, StoreUnavailable) as error:
                _log.warning("jobs cannot be resumed, retrying: %s", error)
            if accounts is None or accounts:
                await asyncio.sleep(_RETRY_SECONDS)

    async def _resume(self, account: Account, turns: asyncio.Semaphore) -> bool:
        """Start the open jobs of an account; whether it could be reached."""
        async with turns:
            try:
                for job_id in await self._store.list_open_jobs(account):
                    self.start(account, job_id)
            except (StoreError, StoreUnavailable):
                return False
            return True

    async def stop(self) -> None:
        """Finish the items in flight and start no others."""
        self._is_stopping = True
        for task in (self._maintenance, self._resuming, self._measuring, self._following_quotas):
            if task is not None:
                task.cancel()
        await self.wait()

    async def wait(self) -> None:
        """Wait until no job is running."""
        while self._running:
            await asyncio.wait(list(self._running.values()))

    async def maintain(self, settings: Settings, now: Callable[[Account], int]) -> None:
        """Run it once for every account, those last that could not be reached before."""
        if await self._follow_erasures():
            await self._store.overwrite_erased()
        accounts = await self._store.list_accounts()
        await self._resume_new(accounts)
        for account in sorted(accounts, key=self._unreachable.__contains__):
            try:
                counts = await maintain(
                    self._store,
                    account,
                    close_solved_days=settings.close_solved_days,
                    scrub_deleted_days=settings.scrub_deleted_days,
                    now=now(account),
                )
            except (StoreError, StoreUnavailable) as error:
                if account not in self._unreachable:
                    _log.warning("maintenance of %s failed, retrying: %s", account.subdomain, error)
                self._unreachable.add(account)
                continue
            self._unreachable.discard(account)
            if any(counts.values()):
                _log.info("maintenance of %s: %s", account.subdomain, counts)

    async def _resume_new(self, accounts: list[Account]) -> None:
        known, self._known = self._known, set(accounts)
        for account in self._known - known if known is not None else ():
            if not await self._resume(account, asyncio.Semaphore()):
                self._known.discard(account)

    async def _maintain(self, settings: Settings, now: Callable[[Account], int]) -> None:
        while True:
            self._is_due.clear()
            try:
                await self.maintain(settings, now)
                if not settings.test_clock:
                    await self._warn_moved_clocks()
            except (StoreError, StoreUnavailable) as error:
                _log.warning("maintenance failed, retrying: %s", error)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._is_due.wait(), MAINTENANCE_SECONDS)

    async def _measure(self, now: Callable[[Account], int]) -> None:
        while True:
            with contextlib.suppress(StoreError, StoreUnavailable):  # maintenance meets the same, and tells
                await measure_accounts(self._store, now)
            await asyncio.sleep(MAINTENANCE_SECONDS)

    async def find_full_accounts(self) -> None:
        """Look which accounts have reached their quotas."""
        self.full_accounts = await self._store.inspect(full_accounts, statement_seconds=WATCH_STATEMENT_SECONDS)

    async def _follow_quotas(self) -> None:
        while True:
            with contextlib.suppress(StoreError, StoreUnavailable):
                await self.find_full_accounts()
            await asyncio.sleep(QUOTA_SECONDS)

    async def _warn_moved_clocks(self) -> None:
        """Say once of a process that it does not go by clocks that were moved."""
        if not self._has_warned and (moved := await self._store.read_clocks()):
            self._has_warned = True
            names = [each.subdomain for each in await self._store.list_accounts() if each.account_id in moved]
            _log.warning(MOVED_CLOCKS, ", ".join(names))

    async def _follow_erasures(self) -> bool:
        """Whether anything was erased since the last call; the caches of this process are cleared then."""
        before, self._erasures = self._erasures, await self._store.count_erasures()
        if self._erasures != before:
            self._on_erasure()
        return self._erasures != before

    async def _run(self, account: Account, job_id: str) -> None:
        item: JobItem | None = None
        is_finished = False
        while not is_finished and not self._is_stopping:
            begin_waits()  # each item's own, not those of the request that started the job
            try:
                item = await self._advance(account, job_id, item)
                is_finished = item is None
                if is_finished:
                    await self._follow_erasures()
            except StoreUnavailable as error:
                _log.warning("job %s failed, retrying: %s", job_id, error)
                await asyncio.sleep(_RETRY_SECONDS)
            except Exception:
                _log.exception("job %s aborted", job_id)
                return

    async def _advance(self, account: Account, job_id: str, item: JobItem | None) -> JobItem | None:
        """Do `item`, or store why it cannot be done; returns the next one. Without an item only find the first."""
        if item is None:
            return await self._store.write(account, lambda write: next_item(write, job_id))
        error: WireError
        try:
            parsed = parse_item(item)
            return await self._store.write(account, lambda write: do_item(write, account.subdomain, parsed))
        except (StoreUnavailable, StoreError):
            raise
        except WireError as refusal:
            error = refusal
        except Exception:  # a fault of this program, which the other items must not wait for
            _log.exception("item %d of job %s failed", item.number, job_id)
            error = InternalServerError()
        return await self._store.write(account, lambda write: put_failure(write, item, error))
