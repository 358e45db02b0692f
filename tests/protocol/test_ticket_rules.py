"""What a change makes of a ticket, rule by rule."""

from typing import Any

import pytest

from ticketfeed.protocol.errors import RecordInvalid
from ticketfeed.protocol.ticket_input import TICKET_CHANGE
from ticketfeed.protocol.ticket_rules import Related, changed_values, split_tags

ADMIN, ANN, BOB = 1, 10, 20
SUPPORT, SALES, ACME = 30, 31, 40
OPEN: dict[str, Any] = {"status": "open", "tags": ["a"], "assignee_id": BOB, "group_id": SUPPORT, "requester_id": ANN}
UNASSIGNED: dict[str, Any] = {"status": "open", "tags": []}
FIELDS: dict[str, Any] = {
    "status": "open",
    "custom_fields": [{"id": 50, "value": "red"}, {"id": 51, "value": 5}],
    "tags": ["own", "red"],
}
SOLVED_BY_ADMIN = {"status": "solved", "assignee_id": ADMIN}
DROP_DOWN = {"option_tags": {50: frozenset({"red", "blue"})}}

# before, what a client sends, what was looked up -> the keys that differ after
CASES: list[tuple[str, dict[str, Any], dict[str, Any], dict[str, Any], dict[str, Any]]] = [
    ("nothing is sent", OPEN, {}, {}, {}),
    ("a plain field", OPEN, {"priority": "high"}, {}, {"priority": "high"}),
    ("a field is emptied", {**OPEN, "priority": "low"}, {"priority": None}, {}, {"priority": None}),
    ("a subject", OPEN, {"subject": "S"}, {}, {"subject": "S", "raw_subject": "S"}),
    ("a raw subject is one", OPEN, {"raw_subject": "S"}, {}, {"subject": "S", "raw_subject": "S"}),
    (
        "of both the subject counts",
        OPEN,
        {"subject": "S", "raw_subject": "R"},
        {},
        {"subject": "S", "raw_subject": "S"},
    ),
    ("a time in UTC", OPEN, {"due_at": "2026-01-01T01:30:00.5+01:00"}, {}, {"due_at": "2026-01-01T00:30:00Z"}),
    ("no time", {**OPEN, "due_at": "2026-01-01T00:00:00Z"}, {"due_at": None}, {}, {"due_at": None}),
    # tags
    ("tags are set", OPEN, {"tags": ["c", "b"]}, {}, {"tags": ["b", "c"]}),
    ("tags are added", OPEN, {"additional_tags": ["b"]}, {}, {"tags": ["a", "b"]}),
    ("tags are removed", OPEN, {"remove_tags": "a x"}, {}, {"tags": []}),
    ("set, added, removed", OPEN, {"tags": "b", "additional_tags": "c", "remove_tags": "b"}, {}, {"tags": ["c"]}),
    # people
    (
        "a requester brings an organization",
        OPEN,
        {},
        {"requester_id": 11, "requesters_organization_id": ACME},
        {"requester_id": 11, "organization_id": ACME},
    ),
    (
        "unless one is sent",
        OPEN,
        {"organization_id": 41},
        {"requester_id": 11, "requesters_organization_id": ACME},
        {"requester_id": 11, "organization_id": 41},
    ),
    (
        "an assignee brings a group",
        OPEN,
        {},
        {"assignee_id": 21, "assignees_group_id": SALES},
        {"assignee_id": 21, "group_id": SALES},
    ),
    (
        "unless one is sent",
        OPEN,
        {"group_id": 32},
        {"assignee_id": 21, "assignees_group_id": SALES},
        {"assignee_id": 21, "group_id": 32},
    ),
    ("an assignee without a group", OPEN, {}, {"assignee_id": 21}, {"assignee_id": 21}),
    ("nobody is assigned", OPEN, {}, {"assignee_id": None}, {"assignee_id": None}),
    # status
    (
        "assigning opens a new ticket",
        {"status": "new", "tags": []},
        {},
        {"assignee_id": BOB},
        {"assignee_id": BOB, "status": "open"},
    ),
    ("not a pending one", {**OPEN, "status": "pending"}, {}, {"assignee_id": 21}, {"assignee_id": 21}),
    (
        "unless a status is sent",
        {"status": "new", "tags": []},
        {"status": "hold"},
        {"assignee_id": BOB},
        {"assignee_id": BOB, "status": "hold"},
    ),
    (
        "a reply opens a pending one",
        {**OPEN, "status": "pending"},
        {},
        {"comment_is_requesters": True},
        {"status": "open"},
    ),
    ("and a solved one", {**OPEN, "status": "solved"}, {}, {"comment_is_requesters": True}, {"status": "open"}),
    ("but not one on hold", {**OPEN, "status": "hold"}, {}, {"comment_is_requesters": True}, {}),
    ("nobody else's reply does", {**OPEN, "status": "solved"}, {}, {}, {}),
    ("who solves an unassigned ticket is its assignee", UNASSIGNED, {"status": "solved"}, {}, SOLVED_BY_ADMIN),
    ("and who closes one", UNASSIGNED, {"status": "closed"}, {}, {**SOLVED_BY_ADMIN, "status": "closed"}),
    ("an assignee stays", OPEN, {"status": "solved"}, {}, {"status": "solved"}),
    ("opening assigns nobody", {**UNASSIGNED, "status": "new"}, {"status": "open"}, {}, {"status": "open"}),
    # custom fields
    (
        "one is set, the other stays",
        FIELDS,
        {"custom_fields": [{"id": 51, "value": 6}]},
        {},
        {"custom_fields": [{"id": 50, "value": "red"}, {"id": 51, "value": "6"}]},
    ),
    (
        "an option is a tag in place of the one before",
        FIELDS,
        {"custom_fields": [{"id": 50, "value": "blue"}]},
        DROP_DOWN,
        {"custom_fields": [{"id": 50, "value": "blue"}, {"id": 51, "value": 5}], "tags": ["blue", "own"]},
    ),
    (
        "several options are several tags",
        FIELDS,
        {"custom_fields": [{"id": 50, "value": ["blue", "red"]}]},
        DROP_DOWN,
        {
            "custom_fields": [{"id": 50, "value": ["blue", "red"]}, {"id": 51, "value": 5}],
            "tags": ["blue", "own", "red"],
        },
    ),
    (
        "a value that is no option is no tag",
        FIELDS,
        {"custom_fields": [{"id": 50, "value": "green"}]},
        DROP_DOWN,
        {"custom_fields": [{"id": 50, "value": "green"}, {"id": 51, "value": 5}], "tags": ["own"]},
    ),
]


@pytest.mark.parametrize(
    ("before", "sent", "found", "differs"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_changed_values(
    before: dict[str, Any], sent: dict[str, Any], found: dict[str, Any], differs: dict[str, Any]
) -> None:
    """Each rule changes what it is about, and nothing else."""
    after = changed_values(before, TICKET_CHANGE.convert(sent), Related(ADMIN, **found), is_new=False)
    if "custom_fields" in sent:
        assert after.pop("fields") == after["custom_fields"]
    assert after == {**before, **differs}


def test_new_ticket() -> None:
    """Who sends it is its submitter, unless it names one."""
    for sent, submitter_id in (({}, ADMIN), ({"submitter_id": ANN}, ANN)):
        after = changed_values({"status": "new"}, TICKET_CHANGE.convert(sent), Related(ADMIN), is_new=True)
        assert after == {"status": "new", "tags": [], "submitter_id": submitter_id}


def test_closed_tickets_are_read_only() -> None:
    """Also for a change that changes nothing."""
    with pytest.raises(RecordInvalid) as raised:
        changed_values({"status": "closed"}, TICKET_CHANGE.convert({}), Related(ADMIN), is_new=False)
    assert list(raised.value.details) == ["status"]


def test_the_ticket_before_stays_as_it_was() -> None:
    """A change makes new values."""
    before = {"status": "open", "tags": ["a"], "custom_fields": [{"id": 50, "value": 1}]}
    change = TICKET_CHANGE.convert({"tags": ["b"], "custom_fields": [{"id": 50, "value": 2}]})
    changed_values(before, change, Related(ADMIN), is_new=False)
    assert before == {"status": "open", "tags": ["a"], "custom_fields": [{"id": 50, "value": 1}]}


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ([], []),
        ("", []),
        ("b a", ["a", "b"]),
        ("b,a, c ,", ["a", "b", "c"]),
        (["b", "a", "b"], ["a", "b"]),
        (["VIP", "vip"], ["vip"]),
        (["two words", " "], ["two_words"]),
        (["a,b"], ["a,b"]),
        ("ÄRGER", ["ärger"]),
    ],
)
def test_split_tags(tags: list[str] | str, expected: list[str]) -> None:
    """Lower case, each once, in order; a text has spaces or commas between them, a list has blanks inside replaced."""
    assert split_tags(tags) == expected
