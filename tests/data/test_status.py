"""What is told of all accounts while some are out of reach."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from tests.storage.contract import ManualClock
from ticketfeed.data import status
from ticketfeed.protocol.errors import StoreUnavailable
from ticketfeed.storage.memory import MemoryStore


def test_accounts_for_which_there_was_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are told of as they were before; one that cannot be reached is left out, and if none can be, nothing is."""
    moment = [0.0]
    away = {"a"}
    read_status = status.read_status

    async def read_one(store: Any, account: Any, **options: Any) -> Any:
        if account.subdomain in away:
            raise StoreUnavailable("away")
        moment[0] += 2 * status.COUNT_SECONDS
        return await read_status(store, account, now=options["now"])

    async def inspect(*_: Any, **_options: Any) -> Any:
        raise StoreUnavailable("away")

    async def main() -> None:
        store = MemoryStore(ManualClock())
        for name in ("a", "b", "c"):
            await store.create_account(name)
        statuses = status.AllStatuses()

        async def names() -> list[str]:
            return [each.account.subdomain for each in await statuses.read(store, now=0)]

        assert await names() == ["a", "b", "c"]
        with monkeypatch.context() as patch:
            patch.setattr(status, "time", SimpleNamespace(monotonic=lambda: moment[0]))
            patch.setattr(status, "read_status", lambda _store, account, **options: read_one(whole, account, **options))
            whole = MemoryStore(ManualClock())
            for name in ("a", "b", "c"):
                await whole.create_account(name)
            patch.setattr(store, "inspect", inspect)
            assert await names() == ["b", "c"]
            away.update("bc")
            with pytest.raises(StoreUnavailable):
                await names()
        assert await names() == ["a", "b", "c"]

    asyncio.run(main())
