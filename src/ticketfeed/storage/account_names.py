"""The accounts that a message about a missing one names."""

from ticketfeed.storage.contract import Store

__all__ = ["list_account_names"]

# Of thousands, a line can name a few.
NAMED_MAX = 20


async def list_account_names(store: Store) -> str:
    """`; there are: acme, other`, the first accounts by their ids; empty if the store has none."""
    names = [account.subdomain for account in await store.list_accounts(limit=NAMED_MAX + 1)]
    more = " and others" if len(names) > NAMED_MAX else ""
    return f"; there are: {', '.join(names[:NAMED_MAX])}{more}" if names else ""
