"""The Store contract for budgets: counted once for all who serve an account, and never beyond the limit."""

from tests.storage.contract import NOON, ManualClock, StoreCase
from ticketfeed.protocol.model import Account
from ticketfeed.protocol.rate_limits import RateLimit
from ticketfeed.storage.contract import Store

TWO = RateLimit("incremental_exports", 2, 60)
MANY = RateLimit("account_requests", 100, 60)


class RateLimitsContract(StoreCase):
    """What every Store does with budgets."""

    def test_a_budget_runs_out_and_comes_back(self) -> None:
        """As many requests pass as the budget holds; then none until its window is over; a refused one is free."""

        async def scenario(store: Store, account: Account, _clock: ManualClock) -> None:
            told = [await store.count_request(account, [MANY, TWO], NOON + second) for second in (0, 10, 20, 59, 60)]
            assert [result.refused for result in told] == [None, None, TWO.name, TWO.name, None]
            assert [result.left[TWO.name] for result in told] == [
                (2, 1, 60),
                (2, 0, 50),
                (2, 0, 40),
                (2, 0, 1),
                (2, 1, 60),
            ]
            assert [result.left[MANY.name][1] for result in told] == [99, 98, 98, 98, 99]

        self.run(scenario)

    def test_budgets_are_each_accounts_own(self) -> None:
        """What one account spends, another still has; a budget that is not named is not touched."""

        async def scenario(store: Store, account: Account, _clock: ManualClock) -> None:
            other = await store.create_account("other")
            for _ in range(2):
                assert (await store.count_request(account, [TWO], NOON)).refused is None
            assert (await store.count_request(other, [TWO], NOON)).refused is None
            assert (await store.count_request(account, [MANY], NOON)).left == {MANY.name: (100, 99, 60)}
            assert (await store.count_request(account, [TWO], NOON)).refused == TWO.name

        self.run(scenario)
