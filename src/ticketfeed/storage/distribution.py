"""Distribution of a store by its URL, whose scheme names the engine as in `open_store`."""

from ticketfeed.protocol.errors import StoreError
from ticketfeed.protocol.model import Account
from ticketfeed.storage import needs_driver

__all__ = ["distribute_store", "isolate_account"]


def distribute_store(url: str, *, undo: bool = False, shards: int | None = None) -> list[str]:
    """Distribute the tables of a PostgreSQL store over the nodes of Citus, or take them back with `undo`.

    Returns the tables that were distributed or taken back; none if all were before. Raises StoreError.
    """
    if not url.startswith(("postgresql://", "postgres://")):
        raise StoreError("only a PostgreSQL store on Citus can be distributed")
    with needs_driver():
        from ticketfeed.storage.postgres.distribution import distribute_postgres

    return distribute_postgres(url, undo=undo, shards=shards)


def isolate_account(url: str, account: Account) -> int:
    """Move the rows of an account to a shard of their own; returns its id. Raises StoreError."""
    if not url.startswith(("postgresql://", "postgres://")):
        raise StoreError("only a PostgreSQL store on Citus has shards")
    with needs_driver():
        from ticketfeed.storage.postgres.distribution import isolate_postgres

    return isolate_postgres(url, account)
