"""Files as people have them: each is loaded, or refused in one line that says why, and then nothing is stored."""

import asyncio
import gzip
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.server.desk import Desk
from ticketfeed.data.import_files import open_input, read_input
from ticketfeed.data.load import load_records
from ticketfeed.protocol.errors import BadInput

TIME = "2023-03-01T10:00:00Z"
URL = "https://acme.zendesk.com/api/v2"
LATER = {"created_at": TIME, "updated_at": "2023-03-02T11:00:00Z", "generated_timestamp": 1_677_841_201}


def ticket(id: int, **values: Any) -> dict[str, Any]:
    return {"id": id, "subject": f"Case {id}", "status": "open", "requester_id": 7001, **values}


def user(id: int, **values: Any) -> dict[str, Any]:
    return {"url": f"{URL}/users/{id}.json", "id": id, "name": "P. One", "role": "end-user", **values}


def audit(id: int, *events: dict[str, Any], **values: Any) -> dict[str, Any]:
    head = {"id": id, "ticket_id": 1, "created_at": TIME, "author_id": 7001, "metadata": {}, "via": {"channel": "web"}}
    return {**head, "events": list(events), **values}


def text(*values: Any, between: str = "\n", indent: int | None = None) -> bytes:
    return between.join(json.dumps(value, indent=indent) for value in values).encode()


def zipped() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("tickets.json", "{}")
    return file.getvalue()


COMMENT = {"id": 5, "type": "Comment", "author_id": 7001, "body": "b", "public": True}
VOICE = {**COMMENT, "type": "VoiceComment", "data": {"from": "+1", "transcription_text": "words"}}
CHILD = {"id": 5002, "via": "Web form", "type": "Comment", "body": "hi", "public": True, "event_type": "Comment"}
EVENT = {"id": 5001, "ticket_id": 1, "timestamp": 1_677_841_221, "updater_id": 7001, "child_events": [CHILD]}
METRIC_EVENT = {"id": 1, "ticket_id": 1, "metric": "reply_time", "instance_id": 1, "type": "apply_sla", "time": TIME}
PAGES = [{"tickets": [ticket(1)], "end_of_stream": False}, {"tickets": [ticket(2)], "end_of_stream": True}]

# name, file -> the summary of the load, or a part of the message after "f, line N: ".
CASES: list[tuple[str, bytes, str]] = [
    ("two pages on a line", text(*PAGES, between=""), "2 tickets"),
    ("two records on a line", text(ticket(1), ticket(2), between=""), "2 tickets"),
    ("two pretty pages joined", text(*PAGES, between="", indent=2), "2 tickets"),
    ("pages with a comma between", text(*PAGES, between=",\n"), "2 tickets"),
    ("a page, then lines", text({"tickets": [ticket(1)], "users": [user(1)]}, ticket(2)), "2 tickets, 1 users"),
    ("a list of pages", text(PAGES), "2 tickets"),
    ("gzip members", b"".join(gzip.compress(b"\xef\xbb\xbf" + text(page)) for page in PAGES), "2 tickets"),
    ("byte order mark and CRLF", b"\xef\xbb\xbf" + text(ticket(1), ticket(2), between="\r\n"), "2 tickets"),
    ("a single record", text({"ticket": ticket(1)}, indent=2), "1 tickets"),
    ("search results", text({"results": [ticket(1, result_type="ticket")], "facets": None}), "1 tickets"),
    (
        "a record with sideloads",
        text({"ticket": ticket(1), "users": [user(1)], "organizations": [{"id": 3, "name": "O"}]}, indent=2),
        "1 users, 1 organizations, 1 tickets",
    ),
    ("users by url", text(user(1, email="a@example.com"), user(2, email="b@example.com")), "2 users"),
    ("array of users", text([user(1)], indent=1), "1 users"),
    ("users without email", text(user(1, email=None), user(2, email=""), user(3)), "3 users"),
    ("ticket events", text({"ticket_events": [EVENT], "count": 1, "end_of_stream": True}), "1 audits"),
    ("account export", text(ticket(1, **LATER, comments=[COMMENT, {**COMMENT, "id": 6}])), "1 tickets, 2 audits"),
    ("ids as floats", text(ticket(32.0, organization_id=360001234567.0)), "1 tickets"),  # type: ignore[arg-type]
    ("escaped NUL", text(ticket(1, subject="a\0b", tags=["a\0b"])), "1 tickets"),
    ("offset", text(ticket(1, created_at="2023-03-01T10:00:00+02:00")), "1 tickets"),
    ("space in a time", text(ticket(1, created_at="2023-03-01 10:00:00+00:00")), "1 tickets"),
    ("event without via", text({"audits": [audit(9, {**COMMENT, "via": None})]}), "1 audits"),
    ("audit without metadata", text({"audits": [audit(9, COMMENT, metadata=None)]}), "1 audits"),
    ("audit of the system", text({"audits": [audit(9, COMMENT, author_id=-1)]}), "1 audits"),
    ("voice comment", text({"audits": [audit(9, VOICE)]}), "1 audits"),
    (
        "policy without a target",
        text({"ticket_metric_events": [{**METRIC_EVENT, "sla": {"target": None, "policy": None}}]}),
        "1 ticket_metric_events",
    ),
    ("foreign values", text(ticket(1, type="request", priority="P1")), "1 tickets"),
    ("author as text", text({"audits": [audit(9, COMMENT, author_id="7001")]}), "$.author_id"),
    ("body of an import", text({"tickets": [{"subject": "s"}]}), "missing required field `id`"),
    ("key that is not understood", text({"tickets": [ticket(1)], "problems": [ticket(2)]}), "the key problems"),
    ("users without a sign", text([{"id": 1, "name": "n", "email": "a", "role": "agent"}]), "use --kind users"),
    ("id near the end of 64 bits", text(ticket(2**63 - 1)), "no room for the ids of new tickets - at `$.id`"),
    ("audit near the end", text({"audits": [audit(2**62 + 1)]}), "no room for the ids of new audits - at `$.id`"),
    ("Singer", text({"type": "SCHEMA", "stream": "tickets", "schema": {}}), "this is a Singer message"),
    ("Airbyte", text({"type": "RECORD", "record": {"stream": "users", "data": user(1)}}), "this is an Airbyte message"),
    ("zip", zipped(), "this is a zip file"),
    ("UTF-16", text(ticket(1)).decode().encode("utf-16"), "this is UTF-16"),
    ("XML", b"<?xml version='1.0'?>\n<tickets/>", "this is XML"),
    ("CSV", b"id,subject\n1,s\n", "this is CSV"),
    ("NUL bytes at the end", text(ticket(1)) + b"\n\0\0\0", "NUL byte"),
    (
        "error of the API",
        text({"error": "InvalidEndpoint", "description": "Not found"}),
        "keys are: error, description",
    ),
]


@pytest.mark.parametrize(("data", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_files(tmp_path: Path, data: bytes, expected: str) -> None:
    """A file of each kind that people load."""
    path, desk = tmp_path / "f", Desk()
    path.write_bytes(data)
    try:
        with open_input(str(path)) as stream:
            work = load_records(desk.store, desk._account("acme"), read_input(str(path), stream, None), now=desk.now)
            found = str(asyncio.run(work))
    except BadInput as error:
        message = str(error)
        assert message.startswith(f"{path}, line ")
        assert expected in message
        assert "\n" not in message
        assert desk.changes() == {}
    else:
        assert found == expected


@pytest.mark.parametrize(("expected", "is_loaded"), [(2, True), (1, False), (3, False), (0, False)])
def test_expected_number(expected: int, is_loaded: bool) -> None:
    """A load of another number of records than expected stores nothing and says both numbers; a skipped one counts."""
    desk = Desk()
    data = io.BytesIO(text(ticket(1), {"id": "x"}))
    records = read_input("f", data, None)
    work = load_records(desk.store, desk._account("acme"), records, now=desk.now, on_error="skip", expected=expected)
    if is_loaded:
        assert str(asyncio.run(work)) == "1 tickets; 1 skipped"
    else:
        with pytest.raises(BadInput, match=f"expected {expected} records, and read 2"):
            asyncio.run(work)
    desk.now += 5
    assert (1 in desk.changes()) == is_loaded
