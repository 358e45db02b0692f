"""A few tests of the Store contract, for servers that the whole of it is not run against."""

from typing import Any

from tests.storage.contract import StoreContract

__all__ = ["contract_slice"]

# Positions and seconds, the order of commits, pages with filters and links, records, credentials, fences and snapshots.
TESTS = (
    "test_create_account_is_idempotent",
    "test_put_carries_the_second_of_the_transaction",
    "test_an_open_second_is_not_given_out",
    "test_a_load_of_tickets_and_records",
    "test_a_failed_write_leaves_nothing",
    "test_filters",
    "test_links",
    "test_credentials",
    "test_concurrent_writes_are_serial",
    "test_fencing_all_accounts",
    "test_a_busy_store_checks_clean",
)


def contract_slice(cls: type[Any]) -> type[Any]:
    """A class of the contract, with TESTS alone."""
    assert set(TESTS) <= set(dir(StoreContract))
    for name in dir(StoreContract):
        if name.startswith("test_") and name not in TESTS:
            setattr(cls, name, None)
    return cls
