"""What happened to the generated tickets: it ends as they are, and its metrics are counted from it."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest

from tests.world.test_world import UNTIL, Record, World, by_id, collect, make_world, scrubbed
from ticketfeed.world import generate_world

MINUTE = 60


@pytest.fixture(scope="module", params=[1, 2])
def world(request: pytest.FixtureRequest) -> World:
    return make_world(1500, seed=request.param)


def moment(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp())


def of_ticket(world: World, kind: str) -> dict[int, list[Record]]:
    found: dict[int, list[Record]] = {}
    for record in world[kind]:
        found.setdefault(record["ticket_id"], []).append(record)
    return found


def histories(world: World) -> Iterator[tuple[Record, list[Record]]]:
    """Every ticket that has a history, with its audits."""
    audits = of_ticket(world, "audits")
    return ((ticket, audits[ticket["id"]]) for ticket in world["tickets"] if not scrubbed(ticket))


def test_a_world_without_histories() -> None:
    """Without histories the tickets are the same, and nothing belongs to them."""
    with_them = make_world(100)
    without = collect(generate_world(100, seed=7, until=UNTIL, account="acme", histories=False))
    assert without["tickets"] == with_them["tickets"]
    assert not {"audits", "ticket_metrics", "ticket_metric_events", "satisfaction_ratings"} & set(without)


def test_scrubbed_tickets_have_no_history(world: World) -> None:
    """Nothing is told of a ticket whose content is gone; every other ticket has its audits and one metric set."""
    told = {ticket["id"] for ticket in world["tickets"] if not scrubbed(ticket)}
    assert told == set(of_ticket(world, "audits")) == set(of_ticket(world, "ticket_metrics"))
    assert len(world["ticket_metrics"]) == len(told) < len(world["tickets"])


def test_a_history_ends_as_the_ticket_is(world: World) -> None:
    """Values created, then changed, come to the ticket's own; each change tells the value that was there before."""
    for ticket, audits in histories(world):
        values: Record = {}
        for audit in audits:
            for event in audit["events"]:
                if event["type"] == "Create":
                    assert event["field_name"] not in values
                    values[event["field_name"]] = event["value"]
                elif event["type"] == "Change":
                    assert event["previous_value"] == values.get(event["field_name"]) != event["value"]
                    values[event["field_name"]] = event["value"]
        for name in ("status", "priority", "assignee_id", "group_id", "requester_id", "type", "subject"):
            value = ticket[name]
            assert values.get(name) == (str(value) if isinstance(value, int) else value), name


def test_times_and_ids_of_audits(world: World) -> None:
    """Audits lie between a ticket's creation and its last update, and reach both; their ids ascend with time."""
    for ticket, audits in histories(world):
        times = [audit["created_at"] for audit in audits]
        assert times == sorted(times)
        assert (times[0], times[-1]) == (ticket["created_at"], ticket["updated_at"])
        ids = [id for audit in audits for id in (audit["id"], *(event["id"] for event in audit["events"]))]
        assert ids == sorted(set(ids))


def test_comments(world: World) -> None:
    """The first comment is the description; is_public agrees with the comments; authors are people of the desk."""
    users = by_id(world["users"])
    count = 0
    for ticket, audits in histories(world):
        comments = [event for audit in audits for event in audit["events"] if event["type"] == "Comment"]
        count += len(comments)
        assert (comments[0]["body"], comments[0]["author_id"]) == (ticket["description"], ticket["submitter_id"])
        assert ticket["is_public"] == any(comment["public"] for comment in comments)
        assert all(comment["author_id"] in users for comment in comments)
        assert all(comment["audit_id"] in {audit["id"] for audit in audits} for comment in comments)
    assert 1.8 < count / len(world["tickets"]) < 4


def test_metric_sets_are_counted_from_audits(world: World) -> None:
    """Replies, reopens, solutions and times of a metric set are those that the audits tell."""
    metrics = {metric["ticket_id"]: metric for metric in world["ticket_metrics"]}
    for ticket, audits in histories(world):
        metric = metrics[ticket["id"]]
        replies, solved, changes = [], [], []
        for place, audit in enumerate(audits):
            for event in audit["events"]:
                is_answer = event["type"] == "Comment" and event["public"] and place
                if is_answer and event["author_id"] != ticket["requester_id"]:
                    replies.append(moment(audit["created_at"]))
                if event.get("field_name") == "status" and event["type"] == "Change":
                    changes.append((event["previous_value"], event["value"]))
                    if event["value"] == "solved":
                        solved.append(moment(audit["created_at"]))
        created = moment(ticket["created_at"])
        assert metric["replies"] == len(replies)
        assert metric["reopens"] == changes.count(("solved", "open"))
        assert (metric["solved_at"] is None) == (not solved)
        expected = (replies[0] - created) // MINUTE if replies else None
        assert metric["reply_time_in_minutes"]["calendar"] == expected
        expected = (solved[-1] - created) // MINUTE if solved else None
        assert metric["full_resolution_time_in_minutes"]["calendar"] == expected
        assert metric["updated_at"] == audits[-1]["created_at"]
        assert (metric["assignee_stations"] > 0) == (ticket["assignee_id"] is not None)


def test_metric_events(world: World) -> None:
    """Events begin with an activation at the ticket's creation, and end with a fulfilment where there was an answer;
    a policy applies by priority; what took longer is breached."""
    events, audits = of_ticket(world, "ticket_metric_events"), dict(_by_ticket_id(world))
    policies = by_id(world["sla_policies"])
    types = {event["type"] for event in world["ticket_metric_events"]}
    assert types == {"activate", "apply_sla", "fulfill", "update_status", "breach"}
    for id, found in events.items():
        ticket = audits[id]
        reply = {event["type"]: event for event in found if event["metric"] == "reply_time"}
        assert reply["activate"]["time"] == ticket["created_at"]
        assert ("apply_sla" in reply) == (ticket["priority"] in ("urgent", "high", "normal"))
        if "apply_sla" in reply:
            assert reply["apply_sla"]["sla"]["policy"]["id"] in policies
        if "breach" in reply:
            late = moment(reply["fulfill"]["time"]) - moment(ticket["created_at"])
            assert late > reply["apply_sla"]["sla"]["target_in_seconds"]


def _by_ticket_id(world: World) -> Iterator[tuple[int, Record]]:
    return ((ticket["id"], ticket) for ticket in world["tickets"])


def test_ratings_are_those_of_the_tickets(world: World) -> None:
    """Every answered survey is a record with the id, score and comment that stand in its ticket."""
    answered = [ticket for ticket in world["tickets"] if "id" in (ticket["satisfaction_rating"] or {})]
    ratings = by_id(world["satisfaction_ratings"])
    assert len(ratings) == len(answered) > 0
    for ticket in answered:
        inside: Any = ticket["satisfaction_rating"]
        rating = ratings[inside["id"]]
        assert rating["ticket_id"] == ticket["id"]
        assert {name: rating[name] for name in inside} == inside


def test_the_rest_of_the_setup(world: World) -> None:
    """Memberships tie staff to groups, one default each; fields name the keys that records carry."""
    users, groups = by_id(world["users"]), by_id(world["groups"])
    defaults = {}
    for membership in world["group_memberships"]:
        assert membership["group_id"] in groups
        assert users[membership["user_id"]]["role"] in ("agent", "admin")
        if membership["default"]:
            defaults[membership["user_id"]] = membership["group_id"]
    staff = {id: user["default_group_id"] for id, user in users.items() if user["default_group_id"]}
    assert defaults == staff
    assert {one["key"] for one in world["user_fields"]} == set(world["users"][0]["user_fields"])
    keys = {one["key"] for one in world["organization_fields"]}
    assert keys == set(world["organizations"][0]["organization_fields"])
    assert len(world["macros"]) == 6
