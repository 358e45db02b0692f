"""The mirror beside a server: `serve --mirror SOURCE` walks it.

Each worker process tries to take the lease; one gets it, and when that one ends another goes on.
"""

import asyncio
import contextlib
import logging
from typing import Any

from ticketfeed.client.auth import find_credentials
from ticketfeed.client.extra import require_export_extra
from ticketfeed.client.sources import Source, mirror_name, parse_source
from ticketfeed.clock import system_instant
from ticketfeed.mirror.lease import is_alive
from ticketfeed.protocol.errors import SourceChanged, TicketfeedError
from ticketfeed.protocol.mirrors import Mirror
from ticketfeed.storage.contract import Store

__all__ = ["ServedMirror", "check_mirror_source"]

# How often a process that does not walk looks whether it should.
TAKE_OVER_SECONDS = 5.0
# After an end that may pass, as when the source refuses the credentials.
AGAIN_SECONDS = 60.0
# For how long a page may go on when the server ends.
STOP_SECONDS = 5.0
_LOG = logging.getLogger("ticketfeed.mirror")


def check_mirror_source(text: str) -> Source:
    """The source of `--mirror`, for which there are credentials. Raises BadInput."""
    require_export_extra("--mirror")
    source = parse_source(text)
    if source.kind == "http":
        find_credentials(source.url)
    return source


class ServedMirror:
    """Keeps a mirror running in this process, or in another one of the store. `source`: None for no mirror."""

    def __init__(self, store: Store, source: str | None) -> None:
        self._store, self._source = store, source
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._run: Any = None

    def start(self) -> None:
        """Walk until `stop`, if there is a source."""
        if self._source is not None:
            self._task = asyncio.get_running_loop().create_task(self._keep(check_mirror_source(self._source)))

    async def stop(self) -> None:
        """End behind the page that is in progress. Idempotent."""
        self._stopping.set()
        if self._run is not None:
            self._run.stop()
        if self._task is not None:
            await asyncio.wait({self._task}, timeout=STOP_SECONDS)
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _keep(self, source: Source) -> None:
        while not self._stopping.is_set():
            wait = TAKE_OVER_SECONDS
            try:
                if await self._walk(source):
                    return
            except SourceChanged as error:
                _LOG.error("the mirror has ended: %s", error)
                return
            except TicketfeedError as error:
                _LOG.error("the mirror has ended, and is tried again in a minute: %s", error)
                wait = AGAIN_SECONDS
            except Exception:
                _LOG.exception("the mirror has ended unexpectedly, and is tried again in a minute")
                wait = AGAIN_SECONDS
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._stopping.wait()

    async def _walk(self, source: Source) -> bool:
        """Whether there was no other process that does; until stopped. Raises SourceError, BadInput, StoreError."""
        from ticketfeed.mirror.run import MirrorOptions, MirrorRun

        name, mirror = await self._find(source)
        if mirror is not None and mirror.lease is not None and is_alive(mirror.lease, system_instant()):
            return False
        credentials = find_credentials(source.url) if source.kind == "http" else None
        self._run = await asyncio.to_thread(  # which may open the source's store
            MirrorRun, self._store, name, source, credentials, MirrorOptions(), note=_LOG.warning
        )
        await self._run.run()
        return True

    async def _find(self, source: Source) -> tuple[str, Mirror | None]:
        """The account that mirrors the source already, whatever it is called, else the one that `mirror` takes."""
        mirrors = await self._store.read_mirrors()
        accounts = {each.subdomain: mirrors.get(each.account_id) for each in await self._store.list_accounts()}
        for name, mirror in accounts.items():
            if mirror is not None and mirror.source == source.name:
                return name, mirror
        return mirror_name(source), accounts.get(mirror_name(source))
