"""Tickets as clients send them: parsed by one decode, or refused by the name of the field."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.protocol.strategies import json_values
from ticketfeed.protocol.errors import MalformedRequest, RecordInvalid, WireError
from ticketfeed.protocol.request_body import InputParser, take_envelope
from ticketfeed.protocol.ticket_input import IMPORTED_TICKET, NEW_TICKET, TICKET_CHANGE, Comment

FAR = "0001-01-01T00:00:00+10:00"

REFUSED: list[tuple[InputParser[Any], Any, list[str]]] = [
    (NEW_TICKET, {}, ["base", "description"]),
    (NEW_TICKET, {"comment": {"body": " \n"}}, ["base", "description"]),
    (NEW_TICKET, {"comment": {"html_body": "<br> <p></p>"}}, ["base", "description"]),
    (NEW_TICKET, {"comment": "x", "priority": "soon"}, ["priority"]),
    (NEW_TICKET, {"comment": "x", "status": "deleted"}, ["status"]),
    (NEW_TICKET, {"comment": "x", "requester_id": "7"}, ["requester_id"]),
    (NEW_TICKET, {"comment": "x", "requester_id": 2**63}, ["requester_id"]),
    (NEW_TICKET, {"comment": "x", "subject": "x" * 65_536}, ["subject"]),
    (NEW_TICKET, {"comment": "x", "external_id": "\0"}, ["external_id"]),
    (NEW_TICKET, {"comment": "x", "due_at": FAR}, ["due_at"]),
    (NEW_TICKET, {"comment": "x", "due_at": "2026-01-01"}, ["due_at"]),
    (NEW_TICKET, [], ["base"]),
    (TICKET_CHANGE, {"tags": [""]}, ["tags"]),
    (TICKET_CHANGE, {"tags": ["x" * 256]}, ["tags"]),
    (TICKET_CHANGE, {"comment": {"public": "yes"}}, ["comment"]),
    (TICKET_CHANGE, {"updated_stamp": FAR}, ["updated_stamp"]),
    (TICKET_CHANGE, {"custom_fields": [{"value": 1}]}, ["custom_fields"]),
    (IMPORTED_TICKET, {}, ["base", "description"]),
    (IMPORTED_TICKET, {"comments": [{"body": "x"}], "created_at": FAR}, ["created_at"]),
    (IMPORTED_TICKET, {"comments": [{"body": "x"}], "updated_at": FAR}, ["updated_at"]),
    (IMPORTED_TICKET, {"comments": [{"body": "x", "created_at": FAR}]}, ["created_at"]),
    (IMPORTED_TICKET, {"comments": "x"}, ["comments"]),
]


@pytest.mark.parametrize(("parser", "sent", "fields"), REFUSED)
def test_refused(parser: InputParser[Any], sent: Any, fields: list[str]) -> None:
    """By the field, whether the values come alone, in a body or decoded."""
    data = json.dumps(sent).encode()
    for parse in (
        lambda: parser.parse(data),
        lambda: parser.parse_body(b'{"ticket":%s}' % data),
        lambda: parser.convert(sent),
    ):
        with pytest.raises(RecordInvalid) as raised:
            parse()
        assert list(raised.value.details) == fields


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"ticket":{}',
        b'{"other":{}}',
        b'"ticket"',
        b'{"ticket":{"subject":"\xff"}}',
        b"[" * 100_000,
    ],
)
def test_bad_bodies(body: bytes) -> None:
    """What is no JSON object, or lacks the record, is malformed."""
    with pytest.raises(MalformedRequest):
        TICKET_CHANGE.parse_body(body)


def test_a_bad_body_is_malformed_before_its_record_is_invalid() -> None:
    """Whatever comes first in the body."""
    with pytest.raises(MalformedRequest):
        TICKET_CHANGE.parse_body(b'{"ticket":{"priority":"soon"}')


@given(st.dictionaries(st.sampled_from(["comment", "tags", "priority", "due_at", "custom_fields"]), json_values))
def test_one_decode_or_two(sent: dict[str, Any]) -> None:
    """A body decoded at once gives what its record gives by itself: the same values or the same error."""
    body = json.dumps({"ignored": [1], "ticket": sent}).encode()

    def outcome(parse: Any) -> Any:
        try:
            return parse()
        except WireError as error:
            return type(error), str(error), getattr(error, "details", None)

    assert outcome(lambda: TICKET_CHANGE.parse_body(body)) == outcome(
        lambda: TICKET_CHANGE.parse(take_envelope(body, "ticket"))
    )


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ({}, None),
        ({"comment": "x"}, Comment(body="x")),
        ({"description": "d"}, Comment(body="d")),
        ({"comment": {"body": "x"}, "description": "d"}, Comment(body="x")),
    ],
)
def test_new_comment(sent: dict[str, Any], expected: Comment | None) -> None:
    """A text is a comment; so is a description, unless there is another."""
    assert TICKET_CHANGE.convert(sent).new_comment() == expected


@pytest.mark.parametrize(
    ("comment", "text"),
    [
        (Comment(), ""),
        (Comment(body="b", value="v", html_body="h"), "b"),
        (Comment(value="v", html_body="h"), "v"),
        (Comment(html_body="<b>h</b> i"), "h i"),
    ],
)
def test_text_of_a_comment(comment: Comment, text: str) -> None:
    """The body, else the value, else the HTML without its tags."""
    assert comment.text == text
