"""Stores of older releases are brought up to date with what is in them."""

import asyncio
import re
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import apsw
import msgspec
import psycopg
import pytest

from tests.postgres import PostgresServer
from tests.storage.contract import ManualClock, putting, ticket
from ticketfeed.data.integrity_check import check_store
from ticketfeed.protocol.errors import StoreError
from ticketfeed.protocol.model import Slice
from ticketfeed.protocol.records import make_lookup_key
from ticketfeed.storage import migrations, open_store
from ticketfeed.storage.contract import Store
from ticketfeed.storage.migrations import CREATE_MIGRATION_TABLE, is_additive
from ticketfeed.storage.pending import read_pending
from ticketfeed.storage.postgres.store import PostgresStore
from ticketfeed.storage.queries import POSTGRES, SQLITE, load_migrations, translate
from ticketfeed.storage.sqlite.file import APPLICATION_ID
from ticketfeed.storage.sqlite.store import SqliteStore

Execute = Callable[[str], object]
Open = Callable[[], Coroutine[Any, Any, Store]]
# The last migration before owners and lookup keys were columns.
OLD = 4


def url(kind: str, id: int) -> str:
    return f"https://acme.zendesk.com/api/v2/{kind}/{id}.json"


RECORDS: list[tuple[str, int, int, dict[str, Any]]] = [
    ("users", 1, 0, {"organization_id": 5}),
    ("users", 2, 0, {"organization_id": None, "role": "agent"}),
    ("users", 3, 1, {"organization_id": 5}),
    ("users", 4, 0, {"organization_id": 6, "role": "end-user", "user_fields": {"role": "admin"}}),
    ("organizations", 5, 0, {"name": " North "}),
    ("organizations", 6, 0, {"name": 'S"o\\uth'}),
    ("organizations", 7, 1, {"name": "North"}),
    ("organizations", 8, 0, {"name": "ÄRZTE"}),
    ("organizations", 9, 0, {"name": "with\0nul"}),
    ("organizations", 10, 0, {"name": None}),
    ("group_memberships", 11, 0, {"user_id": 2, "group_id": 12}),
    ("ticket_metrics", 13, 0, {"ticket_id": 13}),
]


def bodies() -> list[tuple[str, int, int, bytes]]:
    made = []
    for kind, id, is_deleted, values in RECORDS:
        own = 900 + id if kind == "ticket_metrics" else id
        made.append((kind, id, is_deleted, msgspec.json.encode({"url": url(kind, own), "id": own, **values})))
    escaped = b'{"url":"%s","id":14,"name":"Caf\\u00e9"}' % url("organizations", 14).encode()
    return [*made, ("organizations", 14, 0, escaped)]


def fill(dialect: str, execute: Execute) -> None:
    """The tables of the older release, with an account and records."""
    for number, name, sql in load_migrations(dialect):
        if number <= OLD:
            execute(sql)
            execute(f"INSERT INTO ticketfeed.migration (number, name) VALUES ({number}, '{name}')")
    execute("INSERT INTO ticketfeed.account (subdomain) VALUES ('acme')")
    execute("INSERT INTO ticketfeed.feed_state (account_id) SELECT account_id FROM ticketfeed.account")
    execute("INSERT INTO ticketfeed.meta (name, value) VALUES ('store_id', 'old')")
    for kind, id, is_deleted, body in bodies():
        blob = f"x'{body.hex()}'" if dialect == "sqlite" else f"decode('{body.hex()}', 'hex')"
        execute(
            "INSERT INTO ticketfeed.record (account_id, kind, id, generated_timestamp, is_deleted, body) "
            f"SELECT account_id, '{kind}', {id}, 1700000000, {is_deleted}, {blob} FROM ticketfeed.account"
        )


def old_sqlite(path: Path) -> Open:
    connection = apsw.Connection(str(path))
    connection.execute(translate(SQLITE, CREATE_MIGRATION_TABLE))
    fill("sqlite", lambda sql: connection.execute(sql.replace("ticketfeed.", "")))
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.close()

    async def open_store() -> Store:
        return SqliteStore.open(path, ManualClock())

    return open_store


def old_postgres(server: PostgresServer) -> Open:
    database = server.new_database()
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("CREATE SCHEMA ticketfeed")
        connection.execute(translate(POSTGRES, CREATE_MIGRATION_TABLE).encode())
        fill("postgres", lambda sql: connection.execute(sql.encode()))

    async def open_store() -> Store:
        return await PostgresStore.open(database, ManualClock())

    return open_store


@pytest.mark.parametrize("engine", ["sqlite", "postgres"])
def test_owners_and_keys_of_stored_records(engine: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """Users become members of their organizations; names, values and own ids find the records that had them."""
    if engine == "sqlite":
        open_store = old_sqlite(tmp_path / "t.db")
    else:
        open_store = old_postgres(request.getfixturevalue("postgres"))

    async def main() -> None:
        store = await open_store()
        (account,) = await store.list_accounts()
        rows = await store.list_records(account, "organization_memberships", Slice(9))
        shown = [msgspec.json.decode(row.body) for row in rows]
        assert [(each["id"], each["user_id"], each["organization_id"], each["default"]) for each in shown] == [
            (1, 1, 5, True),
            (4, 4, 6, True),
        ]
        assert shown[0]["created_at"] == "2023-11-14T22:13:20Z"
        assert [row.id for row in await store.read_of_users(account, "group_memberships", [2])] == [11]
        cases = {"north": [5], 'S"O\\UTH': [6], "ärzte": [8], "with\0nul": [9], "café": [14]}
        for name, ids in cases.items():
            found = await store.read_by_key(account, "organizations", [make_lookup_key(name)])
            assert [row.id for row in found] == ids, name
        assert [row.id for row in await store.read_by_key(account, "ticket_metrics", ["913"])] == [13]
        assert [row.id for row in await store.read_by_key(account, "users", ["admin", "agent"])] == [2]
        problems: list[str] = []
        await store.inspect(lambda snapshot: check_store(snapshot, problems.append))
        told = ("lookup_key", "user_id", "organization_id", "migration", "differs", "ended early")
        assert [problem for problem in problems if any(word in problem for word in told)] == []
        await store.close()

    asyncio.run(main())


# Releases by what they add to the migrations that there are. The newer one has opened a store; the older one is asked
# to use it.
MORE = "CREATE TABLE ticketfeed.more (x integer)"
LATER = [
    (9001, "9001_more.sql", f"-- Additive: nobody else knows the table.\n{MORE}"),
    (9002, "9002_less.sql", "-- Not additive: the table is gone.\nDROP TABLE ticketfeed.more"),
    (9003, "9003_again.sql", f"-- Additive: as the first.\n{MORE}"),
]
SIDE_BY_SIDE = [
    (1, 0, True),  # an additive one more
    (2, 1, False),  # one more that is not
    (2, 0, False),
    (3, 2, True),  # an additive one behind one that is known
    (3, 1, False),
    (0, 1, True),  # an older store is migrated
    (1, 3, True),
]


@pytest.mark.parametrize("engine", ["sqlite", "postgres"])
def test_releases_side_by_side(
    engine: str, tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A release serves a store of a newer one if it lacks additive migrations only; else it is refused in one line.

    A store of an older one is migrated, and what it lacks can be asked for before.
    """
    known = load_migrations(engine)
    server = request.getfixturevalue("postgres") if engine == "postgres" else None

    def release(later: int) -> None:
        added = [(number, name, translate(dialect, sql)) for number, name, sql in LATER[:later]]
        monkeypatch.setattr(migrations, "load_migrations", lambda _dialect: [*known, *added])

    async def look(url: str) -> list[str]:
        store = await open_store(url, ManualClock())
        account = await store.create_account("acme")
        await store.write(account, putting([ticket(1)]))
        problems = await store.inspect(lambda snapshot: list(snapshot.migration_problems()))
        await store.close()
        return problems

    def execute(url: str, sql: str) -> None:
        if engine == "sqlite":
            connection = apsw.Connection(url.removeprefix("sqlite:///"))
            connection.execute(translate(SQLITE, sql))
            connection.close()
        else:
            with psycopg.connect(url) as postgres:
                postgres.execute(sql.encode())

    dialect = SQLITE if engine == "sqlite" else POSTGRES
    for number, (newer, older, is_served) in enumerate(SIDE_BY_SIDE):
        url = server.new_database() if server else f"sqlite:///{tmp_path}/{number}.db"
        release(newer)
        assert read_pending(url) is None
        assert asyncio.run(look(url)) == []
        release(older)
        expected = [(name, is_additive(sql)) for _, name, sql in LATER[newer:older]]
        if is_served:
            assert read_pending(url) == expected, (newer, older)
            for _ in range(2):  # after the search index was made anew, too
                assert asyncio.run(look(url)) == [], (newer, older)
                assert read_pending(url) == []
                execute(url, "UPDATE ticketfeed.meta SET value = '0' WHERE name = 'search_index_version'")
        else:
            with pytest.raises(StoreError, match="newer ticketfeed"):
                read_pending(url)
            with pytest.raises(StoreError, match=f"schema is {9000 + newer}, this release knows up to .*; upgrade"):
                asyncio.run(look(url))
        # What the newer release may do is what it may do after the older one was there, too.
        release(max(newer, older))
        assert asyncio.run(look(url)) == []


def test_headers_of_migrations() -> None:
    """Each migration from the sixteenth on says whether it is additive, the same for both engines, and why."""
    said: dict[str, set[str]] = {}
    for dialect in ("sqlite", "postgres"):
        for number, name, sql in load_migrations(dialect):
            if number >= 16:
                match = re.match(r"-- (Additive|Not additive): .{10}", sql)
                assert match, name
                said.setdefault(name, set()).add(match[1])
    assert {name for name, kinds in said.items() if len(kinds) > 1} == set()
