"""A store of ours as the source of an export: the same answers as over HTTP, made in this process."""

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

from ticketfeed.client.steps import Answer, Failed, Request
from ticketfeed.clock import system_instant
from ticketfeed.inprocess import call_app
from ticketfeed.protocol.errors import NotFound
from ticketfeed.protocol.model import Account, Identity
from ticketfeed.server.app import create_app
from ticketfeed.settings import Settings
from ticketfeed.storage import Store, open_store
from ticketfeed.storage.account_names import list_account_names

__all__ = ["StoreTransport"]

T = TypeVar("T")


class StoreTransport:
    """Sends requests to the server's own application, over a store that it opens. `account`: which one was meant."""

    def __init__(self, url: str, account: str | None) -> None:
        # A loop of its own, so that it can be used from a thread, from asyncio and from a notebook alike.
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="ticketfeed-store", daemon=True)
        self._thread.start()
        self._store: Store | None = None
        try:
            self._store = self._await(open_store(url, create=False))
            self.account = self._await(_choose(self._store, account)).subdomain
        except BaseException:
            self.close()
            raise
        settings = Settings.of_profile("open", page_cache_mib=0)
        self._app = create_app(settings, self._store, authenticate=_trust)

    def send(self, request: Request) -> Answer | Failed:
        call = call_app(
            self._app,
            request.target,
            host=f"{self.account}.localhost",
            method=request.method,
            headers=tuple(request.headers.items()),
            body=request.body or b"",
        )
        answer = self._await(call)
        headers = {name.lower(): value for name, value in answer.headers.items()}
        return Answer(answer.status, headers, answer.body, system_instant())

    def close(self) -> None:
        """Close the store. Idempotent."""
        if not self._loop.is_closed():
            if self._store is not None:
                self._await(self._store.close())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    def _await(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()


async def _choose(store: Store, name: str | None) -> Account:
    if name is None and (default := await store.find_default_account()):
        return default
    account = None if name is None else await store.find_account(name)
    if account is None:
        known = await list_account_names(store)
        raise NotFound(f"the store has no account {name!r}{known}" if name else "the store has no accounts")
    return account


async def _trust(_account: Account, _authorization: str | None, _client: object) -> Identity:
    """Whoever can open the store can read all of it anyway."""
    return Identity(0, "", "admin")
