"""Background jobs of a serving process, which may end at any moment: the next one resumes what is left.

Several processes may do one job: each takes the next item while it holds the account's row.
"""

import asyncio
import logging
import uuid
from collections.abc import Callable, Sequence

from ticketfeed.protocol.errors import InternalServerError, StoreError, StoreUnavailable, WireError
from ticketfeed.protocol.model import INT64_MAX, Account
from ticketfeed.storage.account_batches import read_in_batches
from ticketfeed.storage.contract import Store
from ticketfeed.storage.wait_budget import begin_waits
from ticketfeed.storage.write_contract import JobItem
from ticketfeed.writing.jobs import do_item, next_item, parse_item, put_failure

__all__ = ["Jobs", "new_job_id"]

# Between two attempts while the store is unavailable.
_RETRY_SECONDS = 1.0

_log = logging.getLogger("ticketfeed.jobs")


def new_job_id() -> str:
    """An id in the form that the wire has."""
    return f"V3-{uuid.uuid4().hex}"


class Jobs:
    """The jobs of one process."""

    def __init__(self, store: Store, on_erasure: Callable[[], None] = lambda: None) -> None:
        """`on_erasure` is called after anything was erased, by this process or another."""
        self._store, self._on_erasure = store, on_erasure
        self._erasures = 0
        self._running: dict[str, asyncio.Task[None]] = {}
        self._is_stopping = False
        self._resuming: asyncio.Task[None] | None = None

    def start(self, account: Account, job_id: str) -> None:
        """Run a job in the background, unless it runs already."""
        if job_id not in self._running:
            task = self._running[job_id] = asyncio.get_running_loop().create_task(self._run(account, job_id))
            task.add_done_callback(lambda _: self._running.pop(job_id, None))

    def start_resuming(self) -> None:
        """Run `resume` in the background."""
        self._resuming = asyncio.get_running_loop().create_task(self.resume())

    async def resume(self) -> None:
        """Start all jobs that a process left unfinished: those of accounts that are out of reach when they are back."""
        shards: list[list[Account]] | None = None
        while shards is None or shards:
            try:
                shards = await self._store.list_shards() if shards is None else shards
                found, away = await read_in_batches(shards, self.find_open)
                for account, job_id in found:
                    self.start(account, job_id)
                shards = [some for accounts in shards if (some := [each for each in accounts if each in away])]
            except (StoreError, StoreUnavailable) as error:
                _log.warning("jobs cannot be resumed, retrying: %s", error)
            if shards is None or shards:
                await asyncio.sleep(_RETRY_SECONDS)

    async def find_open(self, accounts: Sequence[Account], until: int = INT64_MAX) -> list[tuple[Account, str]]:
        """The jobs of some accounts that were created until then and are not finished."""
        of = {account.account_id: account for account in accounts}
        return [(of[account_id], id) for account_id, id in await self._store.find_open_jobs(accounts, until)]

    async def stop(self) -> None:
        """Finish the items in flight and start no others."""
        self._is_stopping = True
        if self._resuming is not None:
            self._resuming.cancel()
        await self.wait()

    async def wait(self) -> None:
        """Wait until no job is running."""
        while self._running:
            await asyncio.wait(list(self._running.values()))

    async def follow_erasures(self) -> bool:
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
                    await self.follow_erasures()
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
