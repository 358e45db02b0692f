"""What is seen of all accounts while some are out of reach."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from tests.storage.contract import ManualClock
from ticketfeed.data import all_accounts
from ticketfeed.data.all_accounts import AllAccounts, Seen
from ticketfeed.data.status import AllStatuses
from ticketfeed.protocol.errors import StoreError, StoreUnavailable
from ticketfeed.protocol.model import Account
from ticketfeed.storage.memory import MemoryStore
from ticketfeed.storage.snapshot_contract import SHORT_STATEMENT_SECONDS, Snapshot

NAMES = ("a", "b", "c", "d", "e", "f")


class Shards(MemoryStore):
    """Accounts on two shards. Those of `bad` cannot be read, as if their pages were damaged; nothing that reads one of
    `hanging` is answered in time. `asked`: how many were asked for, each time; 0 for all."""

    bad: frozenset[str] = frozenset()
    hanging: frozenset[str] = frozenset()

    def __init__(self) -> None:
        super().__init__(ManualClock())
        self.asked: list[int] = []

    async def list_shards(self) -> list[list[Account]]:
        accounts = await self.list_accounts()
        return [accounts[:4], accounts[4:]]

    async def inspect(
        self,
        work: Callable[[Snapshot], Any],
        *,
        accounts: Sequence[Account] | None = None,
        is_probe: bool = False,
        statement_seconds: float = 0,
    ) -> Any:
        assert statement_seconds <= SHORT_STATEMENT_SECONDS
        self.asked.append(0 if accounts is None else len(accounts))
        names = {each.subdomain for each in (await self.list_accounts() if accounts is None else accounts)}
        if names & self.hanging:
            await asyncio.sleep(statement_seconds)
            raise StoreUnavailable("no answer in time")
        if names & self.bad:
            raise StoreError("damaged")
        return await super().inspect(work, accounts=accounts, is_probe=is_probe)


async def make_store() -> Shards:
    store = Shards()
    for name in NAMES:
        await store.create_account(name)
    return store


def names_of(snapshot: Snapshot, of: Sequence[Account] | None) -> list[str]:
    return [account.subdomain for account, _ in snapshot.accounts(of)]


def test_what_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """All at once; a shard that hangs leaves out its accounts, and one that cannot be read only that account. All are
    tried at once again after a while."""
    monkeypatch.setattr(all_accounts, "SHORT_STATEMENT_SECONDS", 0.2)

    async def main() -> None:
        store, watch = await make_store(), AllAccounts()

        async def look() -> tuple[list[list[str]], str]:
            store.asked.clear()
            seen: Seen[list[str]] = await watch.inspect(store, names_of)
            assert not seen.left
            return sorted(seen.found), "".join(sorted(account.subdomain for account in seen.away))

        assert await look() == ([list(NAMES)], "")
        assert store.asked == [0]
        store.hanging = frozenset("b")
        assert await look() == ([["e", "f"]], "abcd")
        assert await look() == ([["e", "f"]], "abcd")
        assert store.asked == [4, 2]
        store.hanging, store.bad = frozenset(), frozenset("c")
        assert await look() == ([["a", "b"], ["d"], ["e", "f"]], "c")
        assert store.asked == [4, 2, 2, 2, 1, 1]
        store.bad = frozenset()
        assert await look() == ([["a", "b", "c", "d"], ["e", "f"]], "")
        monkeypatch.setattr(all_accounts, "APART_SECONDS", 0.0)
        watch._apart_until = 0.0
        assert await look() == ([list(NAMES)], "")
        store.hanging = frozenset(NAMES)
        with pytest.raises(StoreUnavailable, match="no answer in time"):
            await look()
        assert (await AllAccounts().inspect(Shards(), names_of)).found == [[]]

    asyncio.run(main())


def test_accounts_for_which_there_was_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are told of as they were before; one that cannot be reached is left out, and if none can be, nothing is."""

    async def main() -> None:
        store, statuses = await make_store(), AllStatuses()
        accounts = {account.subdomain: account for account in await store.list_accounts()}

        async def names() -> str:
            return "".join(each.account.subdomain for each in await statuses.read(store, now=0))

        async def inspect_some(_watch: Any, store: Any, work: Any) -> Seen[Any]:
            part = [accounts["e"], accounts["f"]]
            found = await store.inspect(lambda snapshot: work(snapshot, part), accounts=part)
            return Seen([found], {accounts["a"]}, {accounts[name] for name in "bcd"})

        assert await names() == "abcdef"
        with monkeypatch.context() as patch:
            patch.setattr(AllAccounts, "inspect", inspect_some)
            assert await names() == "bcdef"
        store.hanging = frozenset(NAMES)
        with pytest.raises(StoreUnavailable):
            await names()
        store.hanging = frozenset()
        assert await names() == "abcdef"

    asyncio.run(main())
