"""Saving, rewinding and forking an account: its rows in one transaction, then what is known of its consumers."""

from ticketfeed.protocol.account_names import check_account_name
from ticketfeed.protocol.model import Account
from ticketfeed.protocol.saved_accounts import SavedAccount, find_saved
from ticketfeed.storage.contract import Store

__all__ = ["delete_saved_account", "fork_account", "rewind_account", "save_account"]


async def save_account(store: Store, account: Account, name: str) -> SavedAccount:
    """Save an account under a name. Raises BadInput, StoreUnavailable."""
    saved = await store.write(account, lambda write: write.save_account(name), exclusive=True)
    await store.replace_consumers(saved.account, await store.read_consumers(account))
    return saved


async def rewind_account(store: Store, account: Account, name: str, *, with_consumers: bool) -> SavedAccount:
    """Rewind an account to what was saved. `with_consumers`: its readers are rewound, too; then their positions are
    what they were, and no fence is set. Raises NotFound, StoreUnavailable.
    """
    saved = find_saved(name, await store.list_saved(account))
    fences = not with_consumers
    await store.write(account, lambda write: write.rewind_account(name, fences=fences), exclusive=True)
    if with_consumers:
        await store.replace_consumers(account, await store.read_consumers(saved.account))
    return saved


async def fork_account(store: Store, account: Account, name: str, subdomain: str) -> None:
    """Make another account of what was saved. Raises NotFound, BadInput, StoreUnavailable."""
    check_account_name(subdomain)
    await store.write(account, lambda write: write.fork_account(name, subdomain), exclusive=True)


async def delete_saved_account(store: Store, account: Account, name: str) -> None:
    """Delete what was saved. Raises NotFound, StoreUnavailable."""
    saved = await store.write(account, lambda write: write.delete_saved(name), exclusive=True)
    await store.replace_consumers(saved.account, [])
