"""The SQL files: what a query is for, how it is translated, and that all of it is used."""

import re
from pathlib import Path

import pytest

from ticketfeed.protocol.model import Owner, Slice, TicketList
from ticketfeed.protocol.rows import ChangeRow, LinkedTicketRow, RecordRow
from ticketfeed.storage.list_query import count_tickets_sql, list_records_sql, list_tickets_sql
from ticketfeed.storage.queries import POSTGRES, SQLITE, Dialect, Queries, insert_rows, load_migrations, translate

STORAGE = Path(__file__).parents[2] / "src" / "ticketfeed" / "storage"
FILES = sorted((STORAGE / "sql").glob("*.sql"))
# Of all accounts, on purpose.
OF_ALL = {"fence_states", "list_full", "list_states", "read_all_consumers"}
# Written or read only while accounts are created or fenced, or the schema is migrated.
WITHOUT_ACCOUNT = {"account", "meta", "migration"}


@pytest.mark.parametrize(
    ("sql", "sqlite", "postgres"),
    [
        (
            "SELECT id FROM ticketfeed.ticket WHERE account_id = :account_id AND id = ANY (:ids)",
            "SELECT id FROM ticket WHERE account_id = :account_id AND id IN (SELECT value FROM json_each(:ids))",
            "SELECT id FROM ticketfeed.ticket WHERE account_id = %(account_id)s AND id = ANY (%(ids)s)",
        ),
        ("SELECT 7 % 4, value::bigint", "SELECT 7 % 4, value::bigint", "SELECT 7 %% 4, value::bigint"),
        ("SELECT ticketfeed.job.id", "SELECT job.id", "SELECT ticketfeed.job.id"),
    ],
)
def test_translation(sql: str, sqlite: str, postgres: str) -> None:
    """Parameters, lists and tables take each engine's form; types and percent signs stay what they are."""
    assert (translate(SQLITE, sql), translate(POSTGRES, sql)) == (sqlite, postgres)


def test_columns_of_a_query() -> None:
    """One query is read into several classes, each with its own columns, behind an alias where there is one."""
    queries = Queries(POSTGRES)
    plain, linked = (queries.select("read_changes", row_type) for row_type in (ChangeRow, LinkedTicketRow))
    assert plain.startswith("SELECT change.generated_timestamp, change.id, change.body, state.last_generated_timestamp")
    assert "SELECT generated_timestamp, id, body, sum(" in plain
    assert linked.startswith("SELECT change.generated_timestamp, change.id, change.body, change.user_ids, ")
    assert "{" not in plain + linked


def test_insert() -> None:
    """An INSERT has a parameter for each column of each row, and updates all columns but those of the key."""
    sql = insert_rows(SQLITE, "record", RecordRow, key=("kind", "id"), count=2)
    assert sql.startswith("INSERT INTO record (account_id, kind, id, generated_timestamp, ")
    assert sql.count("?") == 2 * (1 + len(RecordRow._fields))
    assert "ON CONFLICT (account_id, kind, id) DO UPDATE SET generated_timestamp = excluded.generated_timestamp" in sql
    assert " kind = excluded" not in sql
    assert "ON CONFLICT" not in insert_rows(POSTGRES, "record", RecordRow)


@pytest.mark.parametrize("descending", [False, True])
def test_lists_go_both_ways(descending: bool) -> None:
    """The order of a list and what follows its last row turn round together."""
    part = Slice(10, "updated_at", descending)
    order, follows = ("DESC", "<") if descending else ("ASC", ">")
    sql = list_tickets_sql(POSTGRES, TicketList(), part)
    assert f"ORDER BY generated_timestamp {order}, id {order}" in sql
    assert f"(generated_timestamp, id) {follows} (:after_key, :after_id)" in sql
    assert f"id {follows} :after_id" in list_records_sql(part, Owner("ticket_id", 5), deleted=False)


def test_every_query_says_what_it_is_for() -> None:
    """A query begins with its name and a sentence."""
    for path in FILES:
        for name, comment in re.findall(r"^-- name: (\w+)\n(.*)$", path.read_text("utf-8"), re.MULTILINE):
            assert re.match(r"-- [A-Z].*", comment), f"{path.name}: {name}"


@pytest.mark.parametrize("dialect", [SQLITE, POSTGRES], ids=lambda dialect: dialect.name)
def test_every_query_is_used(dialect: Dialect) -> None:
    """No query is left over: each name occurs in the code, and neither engine repeats one of the shared file."""
    code = "".join(path.read_text("utf-8") for path in STORAGE.rglob("*.py"))
    for name in Queries(dialect)._texts:
        assert f'"{name}"' in code, name


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_query_names_its_account(path: Path) -> None:
    """Each is of one account, or of some, so that tables can be distributed by it, but for tables that are the same
    everywhere."""
    (_, _, first_schema), *_ = load_migrations("postgres")
    tables = set(re.findall(r"CREATE (?:UNLOGGED )?TABLE ticketfeed\.(\w+)", first_schema)) - WITHOUT_ACCOUNT
    for part in re.split(r"^-- name: ", path.read_text("utf-8"), flags=re.MULTILINE)[1:]:
        name, _, sql = part.partition("\n")
        used = set(re.findall(r"(?:FROM|JOIN|INTO|UPDATE)\s+(?:ticketfeed\.)?(\w+)", sql)) & tables
        assert not used or name in OF_ALL or re.search(r"account_id = (?:[:?]|ANY \(:ids)|\(:account_id", sql), name


def test_lists_name_their_account() -> None:
    """So do the queries that are made."""
    part, tickets = Slice(10), TicketList(external_id="x", start_time=5, archived_at=9)
    for sql in (
        list_tickets_sql(POSTGRES, tickets, part),
        count_tickets_sql(POSTGRES, tickets),
        list_records_sql(part, None, deleted=False),
    ):
        assert "account_id = :account_id" in sql
