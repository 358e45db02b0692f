"""The query of a search: which types and conditions it has, and which records meet them."""

import json

import pytest

from ticketfeed.protocol.errors import InvalidValue
from ticketfeed.protocol.search import parse_search

TYPES = ("ticket", "user", "organization", "group")
BODY = json.dumps({"id": 1, "created_at": "2026-01-30T23:59:59Z", "updated_at": "2026-01-31T12:00:00Z"}).encode()


@pytest.mark.parametrize(
    ("text", "types"),
    [("", TYPES), ("  ", TYPES), ("updated>2026-01-01", TYPES), *((f"type:{name}", (name,)) for name in TYPES)],
)
def test_types(text: str, types: tuple[str, ...]) -> None:
    """A search is of all types, or of the one that it names."""
    assert parse_search(text).types == types


@pytest.mark.parametrize(
    ("text", "matches"),
    [
        ("", True),
        ("created:2026-01-30", True),
        ("created:2026-01-31", False),
        ("created:2026-01-30T23:59:59Z", True),
        ("created:2026-01-30T23:59:59+00:00", True),
        ("created:2026-01-30T23:59:58Z", False),
        ("updated>2026-01-31", True),
        ("updated>=2026-01-31T12:00:00Z", True),
        ("updated>2026-01-31T12:00:00Z", False),
        ("updated<2026-01-31T12:00:00Z", False),
        ("updated<=2026-01-31T12:00:00Z", True),
        ("updated<=2026-01-31", False),
        ("updated_at<2026-02-01 created_at>2026-01-30", True),
        ("updated_at<2026-02-01 created_at>2026-01-31", False),
        ("type:user created<2026-01-31", True),
    ],
)
def test_conditions(text: str, matches: bool) -> None:
    """Times are compared to the second, days from their beginning; a colon means any time of that day."""
    assert parse_search(text).matches(BODY) == matches


@pytest.mark.parametrize(("operator", "matches"), [(":", True), (">", False), (">=", True), ("<", False), ("<=", True)])
def test_a_day_begins_at_midnight(operator: str, matches: bool) -> None:
    """Compared with a day, its first second is neither before nor after it."""
    body = b'{"created_at":"2026-01-31T00:00:00Z","updated_at":"2026-01-31T00:00:00Z"}'
    assert parse_search(f"created{operator}2026-01-31").matches(body) == matches


@pytest.mark.parametrize(
    "text",
    [
        "printer",
        '"a phrase"',
        "-type:user",
        "type:entry",
        "type>user",
        "status:open",
        "updated>soon",
        "updated>2026-1-1",
        "updated:2026-01-31T12:00:00",
        "updated>2026-01-31T12:00:00+01:00",
        "updated",
        "type:user status:open",
    ],
)
def test_refused(text: str) -> None:
    """A term that is not understood is refused by name."""
    with pytest.raises(InvalidValue, match=r"type|time"):
        parse_search(text)
