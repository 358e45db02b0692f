"""The storage contract on a real Citus, whose coordinator TICKETFEED_TEST_CITUS_DSN names; skipped without.

The database must have the extension and its nodes, and nothing that is to be kept: its schema `ticketfeed` is dropped.
"""

import os

import psycopg
import pytest

from tests.storage.contract import ManualClock, StoreContract
from tests.storage.mirror_contract import MirrorContract
from tests.storage.oauth_contract import OauthContract
from tests.storage.rate_limits_contract import RateLimitsContract
from tests.storage.records_contract import RecordsContract
from tests.storage.search_contract import SearchContract
from tests.storage.usage_contract import UsageContract
from tests.storage.writing_contract import WritingContract
from ticketfeed.storage.contract import Store
from ticketfeed.storage.distribution import distribute_store
from ticketfeed.storage.postgres.store import PostgresStore
from ticketfeed.storage.queries import ACCOUNT_TABLES

URL = os.environ.get("TICKETFEED_TEST_CITUS_DSN", "")
if not URL:
    pytest.skip("TICKETFEED_TEST_CITUS_DSN names no Citus", allow_module_level=True)

SIDECAR_TABLES = ("request_window", "consumer", "request", "anonymous_request", "login")
# Rows of meta that belong to the store, not to what a test has done.
KEPT = ("store_id", "search_index_version", "wal_timeline", "fenced_at", "additive_migrations")


@pytest.fixture(scope="module")
def _distributed() -> None:
    """A new store, distributed: once, since it takes seconds."""
    with psycopg.connect(URL, autocommit=True) as connection:
        connection.execute("DROP SCHEMA IF EXISTS ticketfeed CASCADE")
    assert distribute_store(URL, shards=4) == ["account", *ACCOUNT_TABLES]


@pytest.mark.usefixtures("_distributed")
class TestCitus(
    StoreContract,
    RecordsContract,
    WritingContract,
    OauthContract,
    SearchContract,
    RateLimitsContract,
    UsageContract,
    MirrorContract,
):
    async def open_store(self, clock: ManualClock) -> Store:
        with psycopg.connect(URL, autocommit=True) as connection:
            for table in (*ACCOUNT_TABLES, *SIDECAR_TABLES):
                connection.execute(f"TRUNCATE ticketfeed.{table}".encode())
            connection.execute("TRUNCATE ticketfeed.account RESTART IDENTITY")
            connection.execute("DELETE FROM ticketfeed.meta WHERE name <> ALL (%s)", (list(KEPT),))
            connection.execute("UPDATE ticketfeed.meta SET value = '0' WHERE name = 'fenced_at'")
            connection.execute("UPDATE ticketfeed.meta SET value = gen_random_uuid() WHERE name = 'store_id'")
        return await PostgresStore.open(URL, clock)
