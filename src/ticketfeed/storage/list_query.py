"""Queries of lists. Their order, direction and conditions vary, so functions write them, in the forms of
`queries.py`."""

from typing import Any

from ticketfeed.protocol.model import INT64_MAX, ListOrder, Owner, Position, Slice, TicketList
from ticketfeed.storage.queries import SQLITE, Dialect

__all__ = [
    "count_records_sql",
    "count_tickets_sql",
    "list_records_sql",
    "list_tickets_sql",
    "range_bindings",
    "slice_bindings",
    "ticket_bindings",
]

_KEY_COLUMN: dict[ListOrder, str] = {
    "id": "id",
    "updated_at": "generated_timestamp",
    "deleted_at": "generated_timestamp",
    "status": "status",
}
# Before and after every status: no status is empty, and none begins with these letters.
_STATUS_BEFORE, _STATUS_AFTER = "", "zzzz"

# The tickets that have a term. As an array they are found first, whatever PostgreSQL expects.
_HAS_TERM = {
    "sqlite": """id IN (
        SELECT entry.id
        FROM ticketfeed.search_text AS words CROSS JOIN ticketfeed.search_entry AS entry ON entry.entry_id = words.rowid
        WHERE words.search_text MATCH :term AND entry.account_id = :account_id AND entry.kind = 'tickets')""",
    "postgres": """id = ANY (ARRAY(
        SELECT entry.id FROM ticketfeed.search_entry AS entry
        WHERE entry.account_id = :account_id AND entry.kind = 'tickets' AND entry.words @@ :term::tsquery))""",
}

_EMPTY = {"sqlite": "x''", "postgres": "''::bytea"}

_SCOPES = {
    "all": "TRUE",
    "agent": "support_type IS DISTINCT FROM 'ai_agent'",
    "ai_agent": "support_type = 'ai_agent'",
}


def list_tickets_sql(dialect: Dialect, tickets: TicketList, part: Slice, *, bodies: bool = True) -> str:
    """The tickets of a list in the order and direction of `part`: its key, the id, the body, which is empty if not
    `bodies`."""
    body = "body" if bodies else f"{_EMPTY[dialect.name]} AS body"
    key, (direction, follows) = _KEY_COLUMN[part.order], _direction(part)
    if tickets.start_time is not None and part.order == "id":
        # By the range of the feed, in which a sign keeps the order of ids from deciding; bodies are read at the end.
        return f"""
            SELECT id AS key, id, {body} FROM ticketfeed.ticket
            WHERE account_id = :account_id AND id IN (
                SELECT id FROM ticketfeed.ticket
                WHERE account_id = :account_id AND {_conditions(dialect, tickets)} AND +id {follows} :after_id
                ORDER BY +id {direction} LIMIT :limit OFFSET :offset
            )
            ORDER BY id {direction}"""
    return f"""
        SELECT {key} AS key, id, {body} {_tickets(dialect, tickets)} AND ({key}, id) {follows} (:after_key, :after_id)
        ORDER BY {key} {direction}, id {direction} LIMIT :limit OFFSET :offset"""


def count_tickets_sql(dialect: Dialect, tickets: TicketList) -> str:
    """How many tickets a list has."""
    return f"SELECT count(*) {_tickets(dialect, tickets)}"


def list_records_sql(part: Slice, owner: Owner | None, *, deleted: bool | None) -> str:
    """The records of one kind in the direction of `part`, by id: all listed ones, or those of an owner."""
    direction, follows = _direction(part)
    return f"""
        SELECT id AS key, id, body FROM ticketfeed.record
        WHERE {_which(owner, deleted)} AND id {follows} :after_id
        ORDER BY id {direction} LIMIT :limit OFFSET :offset"""


def count_records_sql(owner: Owner | None, *, deleted: bool | None) -> str:
    """How many records that list has."""
    return f"SELECT count(*) FROM ticketfeed.record WHERE {_which(owner, deleted)}"


def slice_bindings(part: Slice) -> dict[str, Any]:
    """The parameters of a slice: where it begins, and how much it holds."""
    if part.after is not None:
        key, id = part.after
    elif part.order == "status":
        key, id = (_STATUS_AFTER, INT64_MAX) if part.descending else (_STATUS_BEFORE, -1)
    else:
        key = id = INT64_MAX if part.descending else -1
    return {"after_key": key, "after_id": id, "limit": part.limit, "offset": part.offset}


def ticket_bindings(dialect: Dialect, tickets: TicketList) -> dict[str, Any]:
    """The parameters of a list's conditions."""
    return {
        "external_id": tickets.external_id,
        "start_time": tickets.start_time,
        "archived_at": tickets.archived_at,
        "problem_id": tickets.problem_id,
        "term": f'"{tickets.term}"' if dialect is SQLITE else f"'{tickets.term}'",
        **{f"missing_{number}": text for number, text in enumerate(tickets.missing_texts())},
    }


def range_bindings(after: Position, until: Position) -> dict[str, Any]:
    """The parameters of a range of a feed, (after, until]."""
    return {
        "after_timestamp": after.generated_timestamp,
        "after_id": after.id,
        "until_timestamp": until.generated_timestamp,
        "until_id": until.id,
    }


def _which(owner: Owner | None, deleted: bool | None) -> str:
    conditions = ["account_id = :account_id", "kind = :kind"]
    if owner is not None:
        conditions.append(f"{owner.column} = :owner_id")
    # What belongs to a ticket is never deleted by itself, and an index alone tells how much that is.
    if deleted is not None and (owner is None or owner.column != "ticket_id"):
        conditions.append(f"is_deleted = {int(deleted)}")
    return " AND ".join(conditions)


def _direction(part: Slice) -> tuple[str, str]:
    return ("DESC", "<") if part.descending else ("ASC", ">")


def _tickets(dialect: Dialect, tickets: TicketList) -> str:
    """Where the tickets are. SQLite has no statistics, and would read all in the order of the list to find a few."""
    index = "ticket_by_id" if tickets.term is not None else "ticket_by_problem" if tickets.problem_id else None
    table = f"ticketfeed.ticket INDEXED BY {index}" if index and dialect is SQLITE else "ticketfeed.ticket"
    return f"FROM {table} WHERE account_id = :account_id AND {_conditions(dialect, tickets)}"


def _conditions(dialect: Dialect, tickets: TicketList) -> str:
    conditions = ["status = 'deleted'" if tickets.deleted else "status <> 'deleted'"]
    conditions.append(_SCOPES[tickets.support_type_scope])
    if tickets.external_id is not None:
        conditions.append("external_id = :external_id")
    if tickets.start_time is not None:
        conditions.append("generated_timestamp >= :start_time")
    if tickets.archived_at is not None:
        conditions.append("(status <> 'closed' OR generated_timestamp > :archived_at)")
    if tickets.problem_id is not None:
        conditions.append("problem_id = :problem_id")
    if tickets.term is not None:
        conditions.append(_HAS_TERM[dialect.name])
    conditions += [f"position(:missing_{number} IN body) = 0" for number in range(len(tickets.without_values))]
    return " AND ".join(conditions)
