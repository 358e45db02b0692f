"""Jobs in the background of a serving process, which may end at any moment: what is left then is done by the next.

Several processes may do one job: each takes the first item that is left, while it holds the account's row.
"""

import asyncio
import logging
import uuid

from ticketfeed.clock import Clock
from ticketfeed.data.maintenance import maintain
from ticketfeed.protocol.errors import InternalServerError, StoreError, StoreUnavailable, WireError
from ticketfeed.protocol.model import Account
from ticketfeed.settings import Settings
from ticketfeed.storage.contract import Store, WriteTransaction
from ticketfeed.writing.jobs import do_item, put_failure

__all__ = ["Jobs", "new_job_id"]

# Before a job is tried again whose store could not answer.
_RETRY_SECONDS = 1.0
UPKEEP_SECONDS = 60.0

_log = logging.getLogger("ticketfeed.jobs")


def new_job_id() -> str:
    """As on the wire."""
    return f"V3-{uuid.uuid4().hex}"


class Jobs:
    """The jobs of one process."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._running: dict[str, asyncio.Task[None]] = {}
        self._is_ending = False
        self._upkeep: asyncio.Task[None] | None = None

    def start(self, account: Account, job_id: str) -> None:
        """Do this job from now on."""
        if job_id not in self._running:
            task = self._running[job_id] = asyncio.get_running_loop().create_task(self._run(account, job_id))
            task.add_done_callback(lambda _: self._running.pop(job_id, None))

    def keep_up(self, settings: Settings, clock: Clock) -> None:
        """From now on, every now and then do to tickets what time alone does."""
        if settings.close_solved_days or settings.scrub_deleted_days:
            self._upkeep = asyncio.get_running_loop().create_task(self._keep_up(settings, clock))

    async def pick_up(self) -> None:
        """Go on with all that was left by a process that has ended."""
        for account in await self._store.list_accounts():
            for job_id in await self._store.list_open_jobs(account):
                self.start(account, job_id)

    async def end(self) -> None:
        """Finish the items under way, and begin no others."""
        self._is_ending = True
        if self._upkeep is not None:
            self._upkeep.cancel()
        await self.wait()

    async def wait(self) -> None:
        """Until no job is running."""
        while self._running:
            await asyncio.wait(list(self._running.values()))

    async def _keep_up(self, settings: Settings, clock: Clock) -> None:
        while True:
            try:
                for account in await self._store.list_accounts():
                    done = await maintain(
                        self._store,
                        account,
                        close_solved_days=settings.close_solved_days,
                        scrub_deleted_days=settings.scrub_deleted_days,
                        now=clock(),
                    )
                    if any(done.values()):
                        _log.info("tickets of %s: %s", account.subdomain, done)
            except StoreUnavailable as error:
                _log.warning("upkeep waits: %s", error)
            await asyncio.sleep(UPKEEP_SECONDS)

    async def _run(self, account: Account, job_id: str) -> None:
        more = True
        while more and not self._is_ending:
            try:
                more = await self._do_next(account, job_id)
            except StoreUnavailable as error:
                _log.warning("job %s waits: %s", job_id, error)
                await asyncio.sleep(_RETRY_SECONDS)
            except Exception:
                _log.exception("job %s is left", job_id)
                return

    async def _do_next(self, account: Account, job_id: str) -> bool:
        """Do one item, or tell why it could not be done; of that its own write has stored nothing."""
        number = 0

        def work(write: WriteTransaction) -> bool:
            nonlocal number
            found = write.next_item(job_id)
            if found is None:
                write.finish_job(job_id)
                return False
            number = found[1]
            do_item(write, account.subdomain, *found)
            return True

        try:
            return await self._store.write(account, work)
        except (StoreUnavailable, StoreError):
            raise
        except WireError as error:
            failed = error
        except Exception:  # ours; the other items must not wait for it to be mended
            _log.exception("item %d of job %s", number, job_id)
            failed = InternalServerError()
        await self._store.write(account, lambda write: put_failure(write, job_id, number, failed))
        return True
