"""What the records of a file are follows from the file, and what is not understood is an error that names it."""

import gzip
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest

from ticketfeed.data.find_records import InputRecord
from ticketfeed.data.import_files import open_input, read_input
from ticketfeed.data.whole_floats import without_whole_floats
from ticketfeed.protocol.errors import BadInput

BOM = "\ufeff"
URL = "https://acme.zendesk.com/api/v2"
TICKET = {"id": 1, "subject": "s", "requester_id": 3}
USER = {"id": 7, "name": "n", "email": "a@example.com", "role": "agent"}
USER_WITH_URL = {**USER, "url": f"{URL}/users/7.json"}
COMMENT = {
    "id": 5,
    "type": "Comment",
    "author_id": 3,
    "body": "b",
    "public": True,
    "created_at": "2024-01-01T00:00:00Z",
}
EVENT: dict[str, Any] = {"id": 9, "ticket_id": 1, "updater_id": 3, "via": "Mail", "created_at": "2024-01-01T00:00:00Z"}


def read(data: str | bytes, kind: str | None = None) -> list[InputRecord]:
    return list(read_input("f", io.BytesIO(data.encode() if isinstance(data, str) else data), kind))


def found(value: Any, kind: str | None = None) -> list[tuple[str, dict[str, Any]]]:
    """The records of a value, which must all be good; the same whether it stands on one line or on several."""
    forms = [json.dumps(value), json.dumps(value, indent=1), f"\n[{json.dumps(value)}]"]
    outcomes = []
    for form in forms:
        records = read(form, kind)
        assert [record.error for record in records] == [None] * len(records), records
        outcomes.append([(record.kind, json.loads(record.data)) for record in records])
    assert outcomes[0] == outcomes[1] == outcomes[2]
    return outcomes[0]


def problems(value: Any, kind: str | None = None) -> list[str]:
    """The messages of the bad records of a value."""
    texts = [
        [str(record.error) for record in read(form, kind) if record.error]
        for form in (json.dumps(value), json.dumps(value, indent=1))
    ]
    assert texts[0] == texts[1]
    return texts[0]


ENVELOPES: list[tuple[str, Any, list[str]]] = [
    ("single record", {"ticket": TICKET}, ["tickets"]),
    ("single record of another kind", {"custom_status": {"id": 2}}, ["custom_statuses"]),
    (
        "record with sideloads",
        {"ticket": TICKET, "users": [USER], "groups": [{"id": 2}]},
        ["users", "groups", "tickets"],
    ),
    ("answer to a write", {"ticket": TICKET, "audit": {"id": 9, "ticket_id": 1, "events": []}}, ["tickets", "audits"]),
    ("page with all paging keys", {"users": [USER], "count": 1, "next_page": None, "meta": {}, "links": {}}, ["users"]),
    (
        "search results",
        {"results": [{**TICKET, "result_type": "ticket"}, {**USER, "result_type": "user"}], "facets": None},
        ["tickets", "users"],
    ),
    ("search results with urls alone", {"results": [USER_WITH_URL]}, ["users"]),
    ("list of pages", [{"tickets": [TICKET]}, {"users": [USER]}], ["tickets", "users"]),
    ("ticket audits", {"ticket_audits": [{"id": 9, "ticket_id": 1}]}, ["audits"]),
    ("null where a list may be", {"tickets": [TICKET], "users": None}, ["tickets"]),
    ("ticket with audits", {**TICKET, "audits": [{"id": 9, "events": []}]}, ["tickets", "audits"]),
    (
        "ticket with metric events",
        {**TICKET, "metric_events": {"reply_time": [{"id": 9}], "agent_work_time": [{"id": 8}]}},
        ["tickets", "ticket_metric_events", "ticket_metric_events"],
    ),
    ("user with identities", {"users": [{**USER, "identities": [{"id": 9}]}]}, ["users", "identities"]),
]


@pytest.mark.parametrize(("value", "kinds"), [case[1:] for case in ENVELOPES], ids=[case[0] for case in ENVELOPES])
def test_envelopes(value: Any, kinds: list[str]) -> None:
    """Each shape in which people have records gives them with their kinds."""
    assert [kind for kind, _ in found(value)] == kinds


def test_records_inside_records() -> None:
    """They belong to the record that they are in, which is stored without them; another form stays as it is."""
    (_, user), (_, identity) = found({**USER_WITH_URL, "identities": [{"id": 9, "type": "email", "value": "x"}]})
    assert "identities" not in user
    assert (identity["user_id"], identity["id"]) == (user["id"], 9)
    (_, ticket), (_, audit) = found({**TICKET, "audits": [{"id": 9, "ticket_id": 5}]})
    assert ("audits" in ticket, audit["ticket_id"]) == (False, 5)
    for other in ("text", None, [5], {"reply_time": 5}):
        ((_, whole),) = found({**TICKET, "audits": other})
        assert whole["audits"] == other


UNKNOWN: list[tuple[Any, str]] = [
    ({"tickets": [TICKET], "views": [{"id": 1}]}, "views"),
    ({"ticket": TICKET, "side_conversations": []}, "side_conversations"),
    ({"tickets": [TICKET], "users": {"7": USER}}, "users"),
    ({"results": [{"id": 1, "result_type": "article"}]}, "article"),
    ({"deleted_tickets": [{"id": 1}], "count": 1}, "deleted_tickets"),
    ({"id": 1, "url": f"{URL}/views/1.json"}, "views"),
]


@pytest.mark.parametrize(("value", "named"), UNKNOWN)
def test_what_is_not_understood_is_named(value: Any, named: str) -> None:
    """A key, a kind or a stream that cannot be loaded is one error, which names it, and is never left out."""
    (problem,) = problems(value)
    assert named in problem


MESSAGES: list[tuple[Any, str]] = [
    ({"type": "RECORD", "stream": "users", "record": USER, "time_extracted": "x"}, "a Singer message"),
    ({"type": "SCHEMA", "stream": "users", "schema": {}, "key_properties": ["id"]}, "a Singer message"),
    ({"type": "STATE", "value": {"bookmarks": {}}}, "a Singer message"),
    ({"type": "RECORD", "record": {"stream": "tickets", "data": TICKET, "emitted_at": 1}}, "an Airbyte message"),
    ({"type": "STATE", "state": {"type": "STREAM"}}, "an Airbyte message"),
    ({"type": "LOG", "log": {"level": "INFO", "message": "m"}}, "an Airbyte message"),
    ({"_airbyte_ab_id": "x", "_airbyte_data": USER_WITH_URL, "_airbyte_emitted_at": 1}, "a raw table of Airbyte"),
    ({"_airbyte_raw_id": "x", "_airbyte_data": json.dumps(TICKET)}, "a raw table of Airbyte"),
]


@pytest.mark.parametrize(("value", "named"), MESSAGES)
def test_messages_of_connectors_are_named(value: Any, named: str) -> None:
    """A message of a Singer tap or an Airbyte source is no record, and the error says what it is."""
    (problem,) = problems(value)
    assert re.match(rf"this is .*{named}", problem)
    assert "load what" in problem


def test_a_key_that_is_not_understood_leaves_the_other_records() -> None:
    """With --on-error skip the rest of the page can be loaded."""
    records = read(json.dumps({"tickets": [TICKET], "views": [{"id": 1}]}))
    assert [(record.kind, record.error is None) for record in records] == [("tickets", True), ("tickets", False)]


KINDS_BY_URL = [
    ("tickets/1.json", "tickets"),
    ("users/1.json", "users"),
    ("end_users/1", "users"),
    ("groups/1.json", "groups"),
    ("slas/policies/1.json", "sla_policies"),
    ("ticket_metrics/1.json", "ticket_metrics"),
    ("group_memberships/1.json?include=x", "group_memberships"),
]


@pytest.mark.parametrize(("path", "kind"), KINDS_BY_URL)
def test_url_says_the_kind(path: str, kind: str) -> None:
    """A record without a page is what its url says."""
    assert found({"id": 1, "url": f"{URL}/{path}"})[0][0] == kind


@pytest.mark.parametrize(
    ("value", "kind", "message"),
    [
        (USER_WITH_URL, "tickets", "users"),
        ({**TICKET, "url": f"{URL}/tickets/1.json"}, "users", "tickets"),
        ({"tickets": [USER_WITH_URL]}, None, "users"),
        (USER, None, "--kind users"),
        ({**TICKET, "status": "open"}, "users", "--kind tickets"),
        ({"id": 9, "ticket_id": 1, "events": [], "metadata": {}}, None, "--kind audits"),
    ],
)
def test_a_kind_that_contradicts(value: Any, kind: str | None, message: str) -> None:
    """A record is never stored as what it is not: its url, its page, what was asked for and its keys must agree."""
    (problem,) = problems(value, kind)
    assert message in problem


@pytest.mark.parametrize("value", [{"id": 1}, TICKET, {**TICKET, "name": "unknown key"}, {"id": 1, "x": {}}])
def test_without_any_sign_it_is_a_ticket(value: Any) -> None:
    """A record that could be a ticket, and does not say what it is, is one."""
    assert found(value) == [("tickets", value)]


@pytest.mark.parametrize(
    "between", ["", " ", "\n", "\r\n", "\t", ",", ",\n", "\x1e", "\n\x1e", BOM, f"\r\n{BOM}", "\n\n"]
)
@pytest.mark.parametrize("indent", [None, 1])
def test_values_one_after_the_other(between: str, indent: int | None) -> None:
    """Whatever stands between two values, both are read: records and pages, pretty-printed or not."""
    values = [json.dumps(value, indent=indent) for value in ({"id": 1}, {"tickets": [{"id": 2}]}, [{"id": 3}])]
    for data in (between.join(values), BOM + between.join(values) + between, between.join(reversed(values))):
        ids = [json.loads(record.data)["id"] for record in read(data)]
        assert sorted(ids) == [1, 2, 3]


def test_gzip_members_with_byte_order_marks(tmp_path: Path) -> None:
    """Files with byte order marks that were compressed one by one and put together are read as one."""
    parts = [f"{BOM}{json.dumps({'id': id})}\r\n".encode() for id in (1, 2, 3)]
    path = tmp_path / "f"
    path.write_bytes(b"".join(map(gzip.compress, parts)))
    with open_input(str(path)) as stream:
        assert [json.loads(record.data)["id"] for record in read_input("f", stream, None)] == [1, 2, 3]


def test_a_bad_value_on_a_line_of_several() -> None:
    """The values before it are read, and the error has its line."""
    records = read('{"id":1}\n{"id":2}{"id":3}{"id"\n{"id":4}')
    assert [(record.where[1], record.error is None) for record in records] == [
        (1, True),
        (2, True),
        (2, True),
        (2, False),
        (3, True),
    ]


FORMATS: list[tuple[bytes, str]] = [
    (b"PK\x03\x04\x14\x00", "zip file"),
    ('{"id":1}'.encode("utf-16"), "UTF-16"),
    ('{"id":1}'.encode("utf-16-le"), "UTF-16"),
    ('{"id":1}'.encode("utf-16-be"), "UTF-16"),
    ('{"id":1}'.encode("utf-32"), "UTF-32"),
    (b'<?xml version="1.0"?><tickets/>', "XML"),
    (b"\xef\xbb\xbf<tickets>", "XML"),
    (b"id,subject,status\n1,a,open\n", "CSV"),
    (b'"Id";"Subject"\n1;a\n', "CSV"),
    (b"id\tsubject\n1\ta\n", "CSV"),
    (b"\x28\xb5\x2f\xfd\x00", "zstd"),
    (b"BZh91AY", "bzip2"),
    (b"\xfd7zXZ\x00", "xz"),
    (b"SQLite format 3\x00", "SQLite"),
    (b"PAR1", "Parquet"),
    (b"tickets.json" + bytes(245) + b"ustar\x0000" + bytes(248), "tar archive"),
]


@pytest.mark.parametrize(("data", "name"), FORMATS)
def test_other_formats_are_named(data: bytes, name: str) -> None:
    """A file that is not JSON is refused in one line that says what it is."""
    with pytest.raises(BadInput, match=rf"^f, line 1: this is .*{name}"):
        read(data)


NUL: list[tuple[bytes, int]] = [
    (b'{"id":1}\n{"id":2,"subject":"a\0"}\n', 2),
    (b'{"id":1}\n\0\0\0\0', 2),
    (b"\0\0\0\0\0\0", 1),
    (b'{\n"id":1,\n"subject":"a\0"}', 3),
    (b'[{"id":1},\n\0{"id":2}]', 2),
]


@pytest.mark.parametrize(("data", "line"), NUL)
def test_nul_bytes_are_named(data: bytes, line: int) -> None:
    """A NUL byte, as a file has that was not written to its end, is an error that names it and its line."""
    try:
        problems = [(record.where[1], str(record.error)) for record in read(data) if record.error]
    except BadInput as error:
        problems = [(int(re.findall(r"line (\d+)", str(error))[0]), str(error))]
    ((found_line, problem),) = problems
    assert (found_line, "NUL byte" in problem) == (line, True)


def test_ticket_events_become_audits() -> None:
    """A page of ticket events gives the audits that it was made of."""
    children = [
        {
            "id": 10,
            "via": "Mail",
            "via_reference_id": None,
            "event_type": "Comment",
            "type": "Comment",
            "body": "b",
            "public": True,
            "author_id": 3,
        },
        {"id": 11, "via": "Rule", "status": "open", "previous_value": "new", "event_type": "Change"},
        {"id": 12, "tags": ["a"], "added_tags": ["a"], "removed_tags": [], "event_type": "Create"},
        {"id": 13, "comment_present": True, "comment_public": False, "event_type": "Comment"},
    ]
    ((kind, audit),) = found(
        {"ticket_events": [{**EVENT, "child_events": children, "system": {"ip": "x"}}], "count": 1}
    )
    assert kind == "audits"
    assert {key: audit[key] for key in ("id", "ticket_id", "author_id", "created_at")} == {
        "id": 9,
        "ticket_id": 1,
        "author_id": 3,
        "created_at": "2024-01-01T00:00:00Z",
    }
    assert (audit["via"]["channel"], audit["metadata"]) == ("email", {"system": {"ip": "x"}, "custom": {}})
    comment, change, create, hidden = audit["events"]
    assert (comment["type"], comment["body"], comment["via"]["channel"]) == ("Comment", "b", "email")
    assert (change["type"], change["field_name"], change["value"], change["previous_value"]) == (
        "Change",
        "status",
        "open",
        "new",
    )
    assert (create["type"], create["field_name"], create["value"]) == ("Create", "tags", ["a"])
    assert (hidden["type"], hidden["public"], hidden["body"]) == ("Comment", False, "")


COMMENT_PAGES: list[Any] = [
    {"comments": [{**COMMENT, "ticket_id": 1}], "next_page": None},
    {"comments": [COMMENT], "next_page": f"{URL}/tickets/1/comments.json?page=2", "count": 2},
    {"comments": [COMMENT], "meta": {}, "links": {"next": f"{URL}/tickets/1/comments?page%5Bafter%5D=x"}},
    {"comments": [COMMENT], "ticket": {"id": 1}},
    {**COMMENT, "ticket_id": 1},
]


@pytest.mark.parametrize("value", COMMENT_PAGES)
def test_comments_become_audits(value: Any) -> None:
    """A comment gives the audit that it belongs to; its ticket is named by itself or by its page."""
    audit = next(record for kind, record in found(value) if kind == "audits")
    assert (audit["id"], audit["ticket_id"], audit["created_at"]) == (5, 1, COMMENT["created_at"])
    assert audit["events"] == [{key: COMMENT[key] for key in ("id", "type", "author_id", "body", "public")}]


@pytest.mark.parametrize("value", [{"comments": [COMMENT], "next_page": None}, COMMENT])
def test_a_comment_of_no_ticket(value: Any) -> None:
    """A comment whose ticket nobody knows is an error that says what is missing."""
    (problem,) = problems(value)
    assert "ticket_id" in problem


def test_comments_inside_a_ticket() -> None:
    """The comments of an exported ticket become its audits, and it is stored without them."""
    ticket = {**TICKET, "created_at": "2023-01-01T00:00:00Z"}
    inside = [COMMENT, {key: value for key, value in COMMENT.items() if key != "created_at"} | {"id": 6, "audit_id": 8}]
    (_, stored), (_, first), (_, second) = found({**ticket, "comments": inside})
    assert stored == ticket
    assert (first["id"], first["created_at"]) == (5, COMMENT["created_at"])
    assert (second["id"], second["created_at"]) == (8, ticket["created_at"])


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b'{"id": 32.0, "requester_id":397013466912.0}', b'{"id": 32, "requester_id":397013466912}'),
        (b'{"id":1e3,"x_id":3.6e11}', b'{"id":1000,"x_id":360000000000}'),
        (b'{"collaborator_ids": [1.0, 2, 3.00]}', b'{"collaborator_ids": [1, 2, 3]}'),
        (b'{"id":1.5,"score":2.0,"group_id":null}', b'{"id":1.5,"score":2.0,"group_id":null}'),
        (b'{"id":1,"subject":"\\"id\\": 5.0, \\"x_id\\":6.0"}', b'{"id":1,"subject":"\\"id\\": 5.0, \\"x_id\\":6.0"}'),
        (b'{"id":9007199254740993.0}', b'{"id":9007199254740993.0}'),
    ],
)
def test_whole_floats(data: bytes, expected: bytes) -> None:
    """An id that is a whole float becomes an integer; texts, other keys and inexact floats stay."""
    assert without_whole_floats(data) == expected
