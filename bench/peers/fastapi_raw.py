"""The same endpoint as it is written by hand for speed with FastAPI: no ORM and no models, SQL and orjson.

A table with a column for every field, JSON text in the columns for lists and objects; one SELECT of the standard
library's sqlite3 over an index, rows made dicts, orjson to parse and to dump, an answer that FastAPI neither checks nor
serializes. Where there was a choice the quicker one was taken: times stay the text they are on the wire, `fields` is
not stored twice, one connection for good, sqlite3 converts the values as it reads them, the credentials are known from
the environment, and requests are not logged; a page is made on the event loop, as all of it is computing, and threads
would only take turns at it. But lists and objects are parsed, so that a ticket is whole: orjson.Fragment would hand
their text on unread, in about half the time for a page.
"""

import os
import secrets
import sqlite3
from base64 import b64decode, b64encode
from collections.abc import Iterable
from typing import Annotated, Any, Literal

import orjson
from fastapi import Depends, FastAPI, HTTPException, Request, Response
from fastapi.security import HTTPBasic, HTTPBasicCredentials

__all__ = ["create_app", "fill"]

# What sqlite3 converts by, too: JSON and BOOLEAN; the others are as they come.
_COLUMNS = {
    "url": "TEXT NOT NULL",
    "id": "INTEGER PRIMARY KEY",
    "external_id": "TEXT",
    "via": "JSON NOT NULL",
    "created_at": "TEXT NOT NULL",
    "updated_at": "TEXT NOT NULL",
    "generated_timestamp": "INTEGER NOT NULL",
    "type": "TEXT",
    "subject": "TEXT",
    "raw_subject": "TEXT",
    "description": "TEXT",
    "priority": "TEXT",
    "status": "TEXT NOT NULL",
    "recipient": "TEXT",
    "requester_id": "INTEGER",
    "submitter_id": "INTEGER",
    "assignee_id": "INTEGER",
    "organization_id": "INTEGER",
    "group_id": "INTEGER",
    "collaborator_ids": "JSON NOT NULL",
    "follower_ids": "JSON NOT NULL",
    "email_cc_ids": "JSON NOT NULL",
    "forum_topic_id": "INTEGER",
    "problem_id": "INTEGER",
    "has_incidents": "BOOLEAN NOT NULL",
    "is_public": "BOOLEAN NOT NULL",
    "due_at": "TEXT",
    "tags": "JSON NOT NULL",
    "custom_fields": "JSON NOT NULL",
    "satisfaction_rating": "JSON",
    "sharing_agreement_ids": "JSON NOT NULL",
    "custom_status_id": "INTEGER",
    "encoded_id": "TEXT NOT NULL",
    "followup_ids": "JSON NOT NULL",
    "ticket_form_id": "INTEGER",
    "brand_id": "INTEGER",
    "allow_channelback": "BOOLEAN NOT NULL",
    "allow_attachments": "BOOLEAN NOT NULL",
    "from_messaging_channel": "BOOLEAN NOT NULL",
    "support_type": "TEXT",
}
_JSON_COLUMNS = frozenset(name for name, declared in _COLUMNS.items() if declared.startswith("JSON"))
_SCOPES = {
    "all": "",
    "agent": "AND (support_type IS NULL OR support_type <> 'ai_agent')",
    "ai_agent": "AND support_type = 'ai_agent'",
}
_SELECT = f"""\
SELECT {", ".join(_COLUMNS)} FROM ticket WHERE (generated_timestamp, id) > (?, ?) {{scope}}
ORDER BY generated_timestamp, id LIMIT ?
"""
_QUERIES = {name: _SELECT.format(scope=scope) for name, scope in _SCOPES.items()}


def create_app() -> FastAPI:
    """The application; BENCH_DATABASE, BENCH_USERNAME and BENCH_PASSWORD say what it serves and to whom."""
    sqlite3.register_converter("JSON", orjson.loads)
    sqlite3.register_converter("BOOLEAN", b"1".__eq__)
    options = {"detect_types": sqlite3.PARSE_DECLTYPES, "check_same_thread": False}
    connection = sqlite3.connect(os.environ["BENCH_DATABASE"], **options)
    username, password = os.environ["BENCH_USERNAME"].encode(), os.environ["BENCH_PASSWORD"].encode()
    app, basic = FastAPI(), HTTPBasic()

    async def check(given: Annotated[HTTPBasicCredentials, Depends(basic)]) -> None:
        same_name = secrets.compare_digest(given.username.encode(), username)
        if not (secrets.compare_digest(given.password.encode(), password) and same_name):
            raise HTTPException(401, "Couldn't authenticate you", {"WWW-Authenticate": "Basic"})

    @app.get("/api/v2/incremental/tickets/cursor", dependencies=[Depends(check)])
    async def export_tickets(
        request: Request,
        cursor: str | None = None,
        start_time: int = 0,
        per_page: int = 1000,
        support_type_scope: Literal["all", "agent", "ai_agent"] = "agent",
    ) -> Response:
        after = _decode_cursor(cursor) if cursor else (start_time, -1)
        rows = connection.execute(_QUERIES[support_type_scope], (*after, per_page + 1)).fetchall()
        tickets = [dict(zip(_COLUMNS, row, strict=True)) for row in rows[:per_page]]
        for ticket in tickets:
            ticket["fields"] = ticket["custom_fields"]
        after_cursor = _encode_cursor(tickets[-1]) if tickets else None
        page = {
            "tickets": tickets,
            "after_url": str(request.url.include_query_params(cursor=after_cursor)) if after_cursor else None,
            "before_url": None,
            "after_cursor": after_cursor,
            "before_cursor": None,
            "end_of_stream": len(rows) <= per_page,
        }
        return Response(orjson.dumps(page), media_type="application/json")

    return app


def fill(database: str, pages: Iterable[list[dict[str, Any]]]) -> None:
    """Make the database and store the tickets, a page at a time."""
    connection = sqlite3.connect(database)
    columns = ", ".join(f"{name} {declared}" for name, declared in _COLUMNS.items())
    insert = f"INSERT INTO ticket VALUES ({', '.join('?' * len(_COLUMNS))})"
    with connection:
        connection.execute(f"CREATE TABLE ticket ({columns})")
        connection.execute("CREATE INDEX ticket_feed ON ticket (generated_timestamp, id)")
        for tickets in pages:
            connection.executemany(insert, map(_row, tickets))
    connection.close()


def _row(ticket: dict[str, Any]) -> list[Any]:
    return [_dump(ticket[name]) if name in _JSON_COLUMNS else ticket[name] for name in _COLUMNS]


def _dump(value: Any) -> str | None:
    return None if value is None else orjson.dumps(value).decode()


def _decode_cursor(cursor: str) -> tuple[int, int]:
    seconds, _, ticket_id = b64decode(cursor).decode().strip("|").partition("||")
    return int(float(seconds)), int(ticket_id)


def _encode_cursor(ticket: dict[str, Any]) -> str:
    return b64encode(f"{ticket['generated_timestamp']}.0||{ticket['id']}|".encode()).decode()
