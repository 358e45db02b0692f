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
from ticketfeed.protocol.errors import BadInput, SourceChanged, SourceError, StoreError, StoreUnavailable
from ticketfeed.protocol.mirrors import Mirror
from ticketfeed.storage.contract import Store

__all__ = ["ServedMirror", "check_mirror_source"]

# How often a process that does not walk looks whether it should.
TAKE_OVER_SECONDS = 5.0
# After an end that may pass, as when the source refuses the credentials.
AGAIN_SECONDS = 60.0
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
        self._task: asyncio.Task[None] | None = None
        self._run: Any = None

    def start(self) -> None:
        """Walk until `stop`, if there is a source."""
        if self._source is not None:
            self._task = asyncio.get_running_loop().create_task(self._keep(check_mirror_source(self._source)))

    async def stop(self) -> None:
        """End behind the page that is in progress. Idempotent."""
        if self._run is not None:
            self._run.stop()
        if self._task is not None:
            await asyncio.wait({self._task}, timeout=TAKE_OVER_SECONDS)
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _keep(self, source: Source) -> None:
        from ticketfeed.mirror.run import MirrorOptions, MirrorRun

        credentials = find_credentials(source.url) if source.kind == "http" else None
        while True:
            name = await self._find_name(source)
            wait, mirror = TAKE_OVER_SECONDS, await self._find_mirror(name)
            if mirror is None or mirror.lease is None or not is_alive(mirror.lease, system_instant()):
                self._run = MirrorRun(self._store, name, source, credentials, MirrorOptions(), note=_LOG.warning)
                try:
                    await self._run.run()
                    return  # stopped
                except SourceChanged as error:
                    _LOG.error("the mirror has ended: %s", error)
                    return
                except (SourceError, BadInput, StoreError, StoreUnavailable) as error:
                    _LOG.error("the mirror has ended, and is tried again in a minute: %s", error)
                    wait = AGAIN_SECONDS
            await asyncio.sleep(wait)

    async def _find_name(self, source: Source) -> str:
        """Of the account that mirrors the source already, whatever it is called, else as `mirror` names it."""
        with contextlib.suppress(StoreError, StoreUnavailable):
            mirrors = await self._store.read_mirrors()
            for account in await self._store.list_accounts():
                if account.account_id in mirrors and mirrors[account.account_id].source == source.name:
                    return account.subdomain
        return mirror_name(source)

    async def _find_mirror(self, name: str) -> Mirror | None:
        with contextlib.suppress(StoreError, StoreUnavailable):
            for account in await self._store.list_accounts():
                if account.subdomain == name:
                    return await self._store.read_mirror(account)
        return None
