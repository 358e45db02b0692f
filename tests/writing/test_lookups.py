"""What a change of a ticket refers to: found, created, or refused by the name of the key."""

from collections.abc import Iterator
from typing import Any

import pytest
from msgspec import UNSET

from tests.writing.office import Office
from ticketfeed.protocol.errors import RecordInvalid
from ticketfeed.protocol.model import Identity
from ticketfeed.protocol.ticket_input import TICKET_CHANGE
from ticketfeed.protocol.ticket_rules import Related
from ticketfeed.writing.lookups import Lookups

ADMIN, ANN, BOB, BEA = 1, 10, 20, 22


@pytest.fixture
def office() -> Iterator[Office]:
    office = Office()
    yield office
    office.close()


def related(office: Office, sent: dict[str, Any], *, requester_id: int | None = ANN, is_new: bool = False) -> Related:
    change = TICKET_CHANGE.convert(sent)

    def work(write: Any) -> Related:
        lookups = Lookups(write, "acme", Identity(ADMIN, "", "admin"))
        return lookups.related(change, change.new_comment(), requester_id, is_new=is_new)

    return office.write(work)


FOUND: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, {}),
    ({"requester_id": 10}, {"requester_id": 10, "requesters_organization_id": 40}),
    ({"requester_id": 11}, {"requester_id": 11}),
    ({"requester": {"email": " ANN@example.com"}}, {"requester_id": 10, "requesters_organization_id": 40}),
    (
        {"requester": {"email": "ann@example.com"}, "requester_id": 11},
        {"requester_id": 10, "requesters_organization_id": 40},
    ),
    ({"assignee_id": 20}, {"assignee_id": 20, "assignees_group_id": 30}),
    ({"assignee_id": 1}, {"assignee_id": 1}),
    ({"assignee_id": None}, {"assignee_id": None}),
    ({"assignee_email": "bob@example.com"}, {"assignee_id": 20, "assignees_group_id": 30}),
    ({"assignee_email": "bob@example.com", "assignee_id": 21}, {"assignee_id": 20, "assignees_group_id": 30}),
    ({"group_id": 31, "organization_id": 40}, {}),
    ({"group_id": None, "brand_id": None}, {}),
    ({"comment": {"body": "x", "author_id": ANN}}, {"comment_is_requesters": True}),
    ({"comment": {"body": "x", "author_id": ANN, "public": False}}, {}),
    ({"comment": {"body": "x", "author_id": BOB}}, {}),
    ({"comment": "x"}, {}),
]


@pytest.mark.parametrize(("sent", "expected"), FOUND, ids=[str(sent) for sent, _ in FOUND])
def test_found(office: Office, sent: dict[str, Any], expected: dict[str, Any]) -> None:
    """People by id or email, with the organization and the group that they bring."""
    assert related(office, sent) == Related(ADMIN, **expected)


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"requester_id": 777}, "requester_id"),
    ({"requester": {"email": "nobody"}}, "requester"),
    ({"assignee_id": 777}, "assignee_id"),
    ({"assignee_id": ANN}, "assignee_id"),
    ({"assignee_id": BEA}, "assignee_id"),
    ({"assignee_email": "bea@example.com"}, "assignee_id"),
    ({"assignee_email": "ann@example.com"}, "assignee_id"),
    ({"assignee_email": "eve@example.com"}, "assignee_id"),
    ({"group_id": 777}, "group_id"),
    ({"organization_id": 30}, "organization_id"),
    ({"brand_id": 30}, "brand_id"),
    ({"comment": {"body": "x", "author_id": 777}}, "author_id"),
]


@pytest.mark.parametrize(("sent", "key"), REFUSED, ids=[str(sent) for sent, _ in REFUSED])
def test_refused(office: Office, sent: dict[str, Any], key: str) -> None:
    """What is not there, and an assignee who is no active agent."""
    with pytest.raises(RecordInvalid) as raised:
        related(office, sent)
    assert list(raised.value.details) == [key]


def test_a_new_ticket_is_requested_by_its_actor(office: Office) -> None:
    """Unless it names another requester."""
    assert related(office, {}, requester_id=None, is_new=True).requester_id == ADMIN
    assert related(office, {"requester_id": ANN}, requester_id=None, is_new=True).requester_id == ANN
    assert related(office, {}).requester_id is UNSET


def test_an_unknown_requester_is_created(office: Office) -> None:
    """An end user with this email, and the name that is sent or the one before the @."""
    for sent, name in (({"email": "eve@example.com"}, "eve"), ({"email": "joe@example.com", "name": "Joe"}, "Joe")):
        user = office.record("users", related(office, {"requester": sent}).requester_id)
        assert user is not None
        assert (user["name"], user["email"], user["role"]) == (name, sent["email"], "end-user")


def test_options_are_tags_of_drop_downs_only(office: Office) -> None:
    """Of fields of the other types, and of those that are not there, nothing becomes a tag."""
    options = [{"id": 1, "name": "Red", "value": "red"}, {"id": 2, "name": "None", "value": None}]
    for id, type_ in ((50, "tagger"), (51, "multiselect"), (52, "text"), (53, "integer")):
        office.load("ticket_fields", {"id": id, "type": type_, "custom_field_options": options})
    office.load("ticket_fields", {"id": 54, "type": "tagger"})
    sent = {"custom_fields": [{"id": id, "value": "red"} for id in (50, 51, 52, 53, 54, 777)]}
    red = frozenset({"red"})
    assert related(office, sent).option_tags == {50: red, 51: red, 54: frozenset()}


def test_only_end_users_are_suspended(office: Office) -> None:
    """Agents and admins stay as they are, and a user who is not there is no error."""
    for id, is_suspended in ((ANN, True), (BOB, False), (ADMIN, False), (777, None), (None, None)):
        office.write(lambda write, id=id: Lookups(write, "acme", Identity(1, "", "admin")).suspend(id))  # type: ignore[misc]
        user = office.record("users", id) if id is not None else None
        assert (user["suspended"] if user else None) is is_suspended
