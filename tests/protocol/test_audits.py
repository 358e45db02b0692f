"""Audits: made of a change, read back as steps and comments, scrubbed."""

from typing import Any

import msgspec
import pytest

from ticketfeed.protocol.audit_views import comments_of, deletion_of
from ticketfeed.protocol.audits import (
    SYSTEM_ID,
    audit_draft,
    audit_of,
    change_events,
    comment_event,
    event_value,
    steps_of,
)
from ticketfeed.protocol.erasure import erased_record
from ticketfeed.protocol.records import parse_record
from ticketfeed.protocol.ticket_metrics import Step

NOON = 1_700_000_000
NOON_TEXT = "2023-11-14T22:13:20Z"
NAMES = ("subject", "status", "group_id", "tags")


def create(**values: Any) -> list[dict[str, Any]]:
    return [{"id": 0, "type": "Create", "field_name": name, "value": value} for name, value in values.items()]


def change(**values: Any) -> list[dict[str, Any]]:
    return [{"id": 0, "type": "Change", "field_name": name, "value": value} for name, value in values.items()]


def comment(public: bool = True) -> list[dict[str, Any]]:
    return [{"id": 0, "type": "Comment", "public": public, "body": "x"}]


def encoded(*audits: tuple[int, int | None, list[dict[str, Any]]]) -> list[bytes]:
    """Audits of (seconds after noon, author, events)."""
    return [
        msgspec.json.encode(audit_of((number + 1) * 1000, 7, NOON + at, author, events))  # type: ignore[arg-type]  # null in loaded ones
        for number, (at, author, events) in enumerate(audits)
    ]


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (None, {}, []),
        (None, {"subject": "S", "status": "new"}, [("Create", "subject", "S"), ("Create", "status", "new")]),
        (None, {"subject": None, "tags": [], "status": ""}, [("Create", "status", "")]),
        (None, {"tags": ["a"], "group_id": 30}, [("Create", "group_id", "30"), ("Create", "tags", ["a"])]),
        (None, {"priority": "high"}, []),
        ({}, {}, []),
        ({"subject": "S"}, {"subject": "S"}, []),
        ({"tags": []}, {"tags": []}, []),
        ({"tags": ["a"]}, {"tags": []}, [("Change", "tags", [], ["a"])]),
        ({"tags": []}, {"tags": ["a"]}, [("Change", "tags", ["a"], [])]),
        ({}, {"group_id": 30}, [("Change", "group_id", "30", None)]),
        ({"group_id": 30}, {"group_id": None}, [("Change", "group_id", None, "30")]),
        ({"priority": "low"}, {"priority": "high"}, []),
    ],
)
def test_change_events(before: Any, after: Any, expected: list[tuple[Any, ...]]) -> None:
    """One event a field that differs, in the order of the fields; of a new ticket none for what is empty."""
    events = change_events(before, after, NAMES)
    assert [
        (e["type"], e["field_name"], e["value"], *((e["previous_value"],) if "previous_value" in e else ()))
        for e in events
    ] == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [(7, "7"), (1.5, "1.5"), (True, "1"), (False, "0"), (None, None), ("x", "x"), (["a"], ["a"])],
)
def test_event_value(value: Any, expected: Any) -> None:
    """Numbers and checkboxes are texts in events, and nothing else is."""
    assert event_value(value) == expected


def test_audit_of() -> None:
    """Events are numbered behind the audit, in order, and a comment knows its audit."""
    events = [comment_event("a <b>\nc", None, 20, public=False), *change(status="open")]
    audit = audit_of(5000, 7, NOON, 20, events)
    assert list(audit) == ["id", "ticket_id", "created_at", "author_id", "metadata", "events", "via"]
    assert (audit["id"], audit["ticket_id"], audit["created_at"], audit["author_id"]) == (5000, 7, NOON_TEXT, 20)
    assert [event["id"] for event in audit["events"]] == [5001, 5002]
    assert audit["events"][0]["audit_id"] == 5000
    assert "audit_id" not in audit["events"][1]
    assert audit["events"][0]["plain_body"] == audit["events"][0]["body"] == "a <b>\nc"
    assert audit["events"][0]["html_body"] == '<div class="zd-comment" dir="auto">a &lt;b&gt;<br>c</div>'
    assert audit["via"]["channel"] == "api"
    assert audit_of(5000, 7, NOON, SYSTEM_ID, [])["via"]["channel"] == "system"
    assert comment_event("x", "<i>x</i>", 20, public=True)["html_body"] == "<i>x</i>"


def test_a_draft_is_what_a_load_makes_of_the_audit() -> None:
    """Byte for byte, and column for column."""
    events = [*comment(), *comment(), *change(status="open")]
    draft = audit_draft(audit_of(5000, 7, NOON, 20, events), NOON)
    assert draft == parse_record("audits", draft.body, account="acme", now=NOON)
    assert draft.comment_count == 2


AUDITS: list[tuple[str, list[tuple[int, int | None, list[dict[str, Any]]]], list[Step]]] = [
    ("none", [], []),
    ("the creation is not there", [(0, 10, change(status="open"))], []),
    ("a creation further back", [(0, 10, comment()), (1, 10, create(status="new"))], []),
    ("a creation", [(0, 10, create(status="new", group_id="30"))], [Step(NOON, "new", 30, None, 10, False, False)]),
    ("without a status it is new", [(0, 10, create(subject="S"))], [Step(NOON, "new", None, None, 10, False, False)]),
    (
        "with a comment",
        [(0, None, comment() + create(status="open"))],
        [Step(NOON, "open", None, None, None, True, True)],
    ),
    (
        "values stay until they change",
        [
            (0, 10, create(status="new", group_id="30", assignee_id="20")),
            (60, 20, comment(public=False)),
            (120, 20, change(status="solved", assignee_id=None)),
        ],
        [
            Step(NOON, "new", 30, 20, 10, False, False),
            Step(NOON + 60, "new", 30, 20, 20, True, False),
            Step(NOON + 120, "solved", 30, None, 20, False, False),
        ],
    ),
    (
        "of two comments the first says whether it is public",
        [(0, 10, create(status="new") + comment(public=False) + comment())],
        [Step(NOON, "new", None, None, 10, True, False)],
    ),
    ("an id is text", [(0, 10, create(status="new", group_id=30))], [Step(NOON, "new", None, None, 10, False, False)]),
    ("an id is a number", [(0, 10, create(group_id="x"))], [Step(NOON, "new", None, None, 10, False, False)]),
]


@pytest.mark.parametrize(("audits", "steps"), [case[1:] for case in AUDITS], ids=[case[0] for case in AUDITS])
def test_steps_of(audits: list[tuple[int, int | None, list[dict[str, Any]]]], steps: list[Step]) -> None:
    """One step an audit, with the values that the audits up to it gave; none without the audit of the creation."""
    assert steps_of(encoded(*audits)) == steps


def test_comments_of() -> None:
    """Every comment of every audit in order, each with what its audit says of it."""
    audits = encoded(
        (0, 10, comment() + create(status="new")), (5, 20, change(status="open")), (9, 20, comment() + comment(False))
    )
    rows = comments_of(audits)
    bodies = [msgspec.json.decode(row[2]) for row in rows]
    assert [row[0] for row in rows] == [row[1] for row in rows] == [1001, 3001, 3002] == [body["id"] for body in bodies]
    assert [body["audit_id"] for body in bodies] == [1000, 3000, 3000]
    assert [body["public"] for body in bodies] == [True, True, False]
    assert [body["created_at"] for body in bodies] == [NOON_TEXT, "2023-11-14T22:13:29Z", "2023-11-14T22:13:29Z"]
    assert {body["via"]["channel"] for body in bodies} == {"api"}
    assert bodies[0]["metadata"] == {"system": {}, "custom": {}}


@pytest.mark.parametrize(
    ("audits", "expected"),
    [
        ([], (None, "open")),
        ([(0, 10, create(status="new"))], (None, "new")),
        ([(0, 10, create(status="new")), (1, 20, change(status="deleted"))], (20, "new")),
        ([(1, 20, change(status="deleted"))], (20, "open")),
        ([(1, 20, change(status="deleted")), (2, 21, change(status="deleted"))], (21, "open")),
        ([(0, 10, create(status="hold")), (1, 20, comment()), (2, 21, change(status="deleted"))], (21, "hold")),
        (
            [
                (0, 9, create(status="new")),
                (1, 9, change(status="pending", priority="low")),
                (2, 9, change(status="deleted")),
            ],
            (9, "pending"),
        ),
        (
            [
                (0, 9, create(status="new")),
                (1, 20, change(status="deleted")),
                (2, 20, change(status="solved")),
                (3, 21, change(status="deleted")),
            ],
            (21, "solved"),
        ),
    ],
)
def test_deletion_of(
    audits: list[tuple[int, int | None, list[dict[str, Any]]]], expected: tuple[int | None, str]
) -> None:
    """Who deleted the ticket last, and the status before that."""
    assert deletion_of(encoded(*audits)) == expected


def test_erased_audit() -> None:
    """Nothing of what people wrote is left, and everything else."""
    events = [comment_event("secret", None, 20, public=True), *change(subject="secret", tags=["secret"], status="open")]
    events[1]["previous_value"] = "secret"
    before = msgspec.json.encode(audit_of(5000, 7, NOON, 20, events))
    after = erased_record("audits", before)
    assert b"secret" not in after
    assert steps_of([after]) == steps_of([before])
    assert [event["id"] for event in msgspec.json.decode(after)["events"]] == [5001, 5002, 5003, 5004]
