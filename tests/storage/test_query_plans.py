"""SQLite reads single records with an index, whatever the size of the account."""

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from tests.storage.contract import ManualClock
from ticketfeed.protocol.model import Owner, Slice, TicketList
from ticketfeed.storage.list_query import count_records_sql, count_tickets_sql, list_records_sql, list_tickets_sql
from ticketfeed.storage.queries import SQLITE, Queries, translate
from ticketfeed.storage.sqlite.file import connect
from ticketfeed.storage.sqlite.store import SqliteStore

# Plans that read all tickets, or all records of a kind: of an account, without a further condition.
WHOLE = re.compile(
    r"(?:SEARCH|SCAN) (?:ticket|record|membership|derived|person|job_item)\b.*"
    r"(?:\(account_id=\?\)|PRIMARY KEY \(account_id=\? AND kind=\?\))"
)
# Queries that are for that.
READS_ALL = {
    "find_all",
    "find_repeated_memberships",
    "read_all_results",
    "scan_tickets",
    "scan_records",
    "find_tickets_containing",
    "find_records_containing",
    "scan_positions_by_id",
    "count_by_time",
    "count_rows",
    "list_kind_ids",
    "list_some_rows",
    "measure_records",
    "measure_tickets",
}


@pytest.fixture(scope="module")
def connection(tmp_path_factory: pytest.TempPathFactory) -> Iterator[apsw.Connection]:
    path: Path = tmp_path_factory.mktemp("plans") / "t.db"
    asyncio.run(SqliteStore.open(path, ManualClock()).close())
    opened = connect(path, 1, 2000)
    yield opened
    opened.close()


def plan_of(connection: apsw.Connection, sql: str) -> list[str]:
    sql = re.sub(r"\{(?:(\w+)\.)?\w+\}", lambda match: f"{match[1]}.*" if match[1] else "*", sql)
    names = dict.fromkeys(re.findall(r"(?<!:):(\w+)", sql))
    return [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}", names)]


def test_no_query_reads_everything(connection: apsw.Connection) -> None:
    """No named query reads a whole table or kind but those that are for it."""
    texts = Queries(SQLITE)._texts
    for name, sql in texts.items():
        is_of_records = re.search(r"^(?:SELECT|UPDATE|DELETE).*\b(?:ticket|record|job_item)\b", sql, re.DOTALL)
        if is_of_records and name not in READS_ALL and ":" in sql:
            assert not [step for step in plan_of(connection, sql) if WHOLE.match(step)], name


LISTS = {
    "list of external id": list_tickets_sql(SQLITE, TicketList(external_id="x"), Slice(9)),
    "count of external id": count_tickets_sql(SQLITE, TicketList(external_id="x")),
    "list of incidents": list_tickets_sql(SQLITE, TicketList(problem_id=1), Slice(9)),
    "count of incidents": count_tickets_sql(SQLITE, TicketList(problem_id=1)),
    "list since": list_tickets_sql(SQLITE, TicketList(start_time=1), Slice(9)),
    "list since, newest first": list_tickets_sql(SQLITE, TicketList(start_time=1), Slice(9, descending=True)),
    "list by time": list_tickets_sql(SQLITE, TicketList(), Slice(9, "updated_at")),
    "list by id": list_tickets_sql(SQLITE, TicketList(), Slice(9)),
    "deleted": list_tickets_sql(SQLITE, TicketList(deleted=True), Slice(9)),
    "records": list_records_sql(Slice(9), None, deleted=False),
    **{
        f"{verb} of {column}": sql
        for column in ("ticket_id", "user_id", "organization_id")
        for verb, sql in {
            "list": list_records_sql(Slice(9), Owner(column, 1), deleted=False),
            "count": count_records_sql(Owner(column, 1), deleted=False),
        }.items()
    },
}


@pytest.mark.parametrize("name", LISTS)
def test_no_list_reads_everything(connection: apsw.Connection, name: str) -> None:
    """A list with a condition that an index serves is read with it; all of them are read in order, unsorted."""
    plan = plan_of(connection, translate(SQLITE, LISTS[name]))
    assert not [step for step in plan if WHOLE.match(step)], plan
    if name in ("list by time", "list by id", "records"):
        assert not any("TEMP B-TREE" in step for step in plan), plan


def test_all_tickets_are_read_in_the_order_of_the_table(connection: apsw.Connection) -> None:
    """Not in that of an index, which would look up each."""
    for tickets in (TicketList(), TicketList(support_type_scope="agent")):
        (step,) = plan_of(connection, translate(SQLITE, count_tickets_sql(SQLITE, tickets)))
        assert step == "SEARCH ticket USING PRIMARY KEY (account_id=?)"
