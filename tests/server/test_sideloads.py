"""Sideloads: what `include` puts beside the tickets and inside them."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.server.desk import ALL, NOON, PATH, Desk, ids, tickets
from ticketfeed.protocol.embedded_sideloads import EMBEDDED, join_embedded, slas_of
from ticketfeed.protocol.envelope import embed
from ticketfeed.protocol.sideloads import SIDELOADED_KINDS

HOUR_AGO = "2023-11-14T21:13:20Z"


@pytest.fixture(scope="module")
def desk() -> Desk:
    """Ticket 1 points to one of everything, 2 to nothing, 3 is deleted, 4 is an incident of 1."""
    desk = Desk()
    links = {"group_id": 31, "organization_id": 41, "ticket_form_id": 51, "brand_id": 61, "custom_status_id": 71}
    people = {"requester_id": 21, "submitter_id": 22, "assignee_id": 23, "collaborator_ids": [24, 21]}
    desk.put("users", *({"id": id, "active": id != 22} for id in (21, 22, 23, 24, 25)))
    for kind, id in (
        ("groups", 31),
        ("organizations", 41),
        ("ticket_forms", 51),
        ("brands", 61),
        ("custom_statuses", 71),
        ("sharing_agreements", 81),
    ):
        desk.put(kind, {"id": id}, {"id": id + 1})
    desk.put("ticket_metrics", *({"id": 900 + id, "ticket_id": id, "replies": id} for id in (1, 3)))
    desk.put("ticket_metrics", {"id": 904, "ticket_id": 4, "solved_at": HOUR_AGO})
    event = {"metric": "reply_time", "instance_id": 1, "time": HOUR_AGO}
    sla = {"target": 90, "policy": {"id": 5, "title": "Fast", "description": None}}
    desk.put(
        "ticket_metric_events",
        {"id": 801, "ticket_id": 1, "type": "activate", **event},
        {"id": 802, "ticket_id": 1, "type": "apply_sla", "sla": sla, **event},
    )
    comment = {"type": "Comment", "public": True, "body": "x"}
    desk.put("audits", {"id": 701, "ticket_id": 1, "events": [{"id": 702, **comment}, {"id": 703, **comment}]})
    desk.put("audits", {"id": 711, "ticket_id": 3, "events": [{"id": 712, **comment}]})
    desk.put(
        "tickets",
        *tickets(1, type="problem", sharing_agreement_ids=[81], **links, **people),
        *tickets(2),
        *tickets(3, status="deleted", requester_id=25),
        *tickets(4, type="incident", problem_id=1),
    )
    return desk


@pytest.mark.parametrize("kind", SIDELOADED_KINDS)
def test_5_records_beside_the_tickets(desk: Desk, kind: str) -> None:
    """Each name gives an array of what the page's tickets point to, each record once, by id, inactive ones too."""
    page = desk.page(f"{ALL}&include={kind}")
    expected = {"users": [21, 22, 23, 24, 25], "groups": [31], "organizations": [41], "ticket_forms": [51]}
    others = {"brands": [61], "custom_statuses": [71], "sharing_agreements": [81]}
    assert ids(page, kind) == {**expected, **others}[kind]
    assert list(page) == ["tickets", kind, "after_url", "before_url", "after_cursor", "before_cursor", "end_of_stream"]


def test_5_an_array_asked_for_is_there(desk: Desk) -> None:
    """A requested array is present when empty; one that was not requested is absent."""
    page = desk.page(f"{PATH}?cursor=OTk5OTk5OTk5OS4wfHwxfA==&include=users,brands")
    assert (page["tickets"], page["users"], page["brands"]) == ([], [], [])
    assert "groups" not in page


@pytest.mark.parametrize("include", ["last_audits", "comment_events,comments", "nonsense", "tde_workspace", ",,%20,"])
def test_5_other_names_are_ignored(desk: Desk, include: str) -> None:
    """Names that are unknown, or not for this endpoint, change nothing but the next address, which repeats them."""
    plain, asked = desk.page(ALL), desk.page(f"{ALL}&include={include}")
    assert {**asked, "after_url": None} == {**plain, "after_url": None}


def test_5_spaces_and_repeats(desk: Desk) -> None:
    """Spaces around names are no part of them, and a name counts once."""
    page = desk.page(f"{ALL}&include=%20users%20,users,%20groups")
    assert [name for name in page if name in SIDELOADED_KINDS] == ["users", "groups"]


def by_id(page: dict[str, Any]) -> dict[int, dict[str, Any]]:
    return {ticket["id"]: ticket for ticket in page["tickets"]}


def test_5_metric_sets_stand_in_both_places(desk: Desk) -> None:
    """A metric set stands inside its ticket, and in an array beside them; a deleted ticket has null, and so has one
    without a set."""
    page = desk.page(f"{ALL}&include=metric_sets")
    inside = {id: ticket["metric_set"] and ticket["metric_set"]["id"] for id, ticket in by_id(page).items()}
    assert inside == {1: 901, 2: None, 3: None, 4: 904}
    assert ids(page, "metric_sets") == [901, 904]


def test_5_dates(desk: Desk) -> None:
    """The dates of a ticket are those of its metric set."""
    found = by_id(desk.page(f"{ALL}&include=dates"))
    assert found[4]["dates"]["solved_at"] == HOUR_AGO
    assert list(found[1]["dates"]) == [
        "assignee_updated_at",
        "requester_updated_at",
        "status_updated_at",
        "initially_assigned_at",
        "assigned_at",
        "solved_at",
        "latest_comment_added_at",
    ]
    assert (found[2]["dates"], found[3]["dates"]) == (None, None)


def test_5_counts(desk: Desk) -> None:
    """Comments are counted, private ones too, and incidents of a problem."""
    found = by_id(desk.page(f"{ALL}&include=comment_count,incident_counts"))
    assert {id: ticket["comment_count"] for id, ticket in found.items()} == {1: 2, 2: 0, 3: 1, 4: 0}
    assert {id: ticket["incident_count"] for id, ticket in found.items()} == {1: 1, 2: 0, 3: 0, 4: 0}


def test_5_slas_and_metric_events(desk: Desk) -> None:
    """An SLA says how it stands and how long is left; metric events come by metric; null where there are none."""
    found = by_id(desk.page(f"{ALL}&include=slas,metric_events"))
    active = {"metric": "reply_time", "stage": "active", "breach_at": "2023-11-14T22:43:20Z", "minutes": 30}
    assert found[1]["slas"] == {"policy_metrics": [active]}
    assert [event["id"] for event in found[1]["metric_events"]["reply_time"]] == [801, 802]
    assert (found[2]["slas"], found[2]["metric_events"]) == (None, None)


def test_5_embedded_keys_stand_on_every_ticket(desk: Desk) -> None:
    """All embedded names at once: every ticket has every key, behind its own, and is unchanged otherwise."""
    plain = by_id(desk.page(ALL))
    asked = by_id(desk.page(f"{ALL}&include={','.join(EMBEDDED)}"))
    for id, ticket in asked.items():
        assert list(ticket) == [*plain[id], *EMBEDDED.values()]
        assert {key: ticket[key] for key in plain[id]} == plain[id]


def test_5_neither_order_nor_cursor_changes(desk: Desk) -> None:
    """Sideloads count towards nothing: same tickets, same cursor, page by page."""
    every = ",".join((*SIDELOADED_KINDS, *EMBEDDED))
    plain, asked = (desk.page(f"{ALL}&per_page=2{more}") for more in ("", f"&include={every}"))
    assert ids(plain) == ids(asked) == [1, 2]
    assert plain["after_cursor"] == asked["after_cursor"]
    assert f"include={every.replace(',', '%2C')}" in asked["after_url"]


def test_the_tag_follows_what_is_embedded() -> None:
    """When only a sideloaded value changes, the ETag does too."""
    fresh = Desk()
    fresh.put("tickets", *tickets(1))
    tags = []
    for replies in (1, 2):
        fresh.put("ticket_metrics", {"id": 9, "ticket_id": 1, "replies": replies})
        tags.append(fresh.ask(f"{ALL}&include=metric_sets").headers["etag"])
    assert tags[0] != tags[1]


@given(
    st.lists(st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=8)).filter(bool), max_size=6),
    st.lists(st.sampled_from(["metric_set", "dates", "slas"]), unique=True, min_size=1),
)
def test_splicing_is_adding(records: list[dict[str, Any]], keys: list[str]) -> None:
    """Putting values in before the closing brace is the same as parsing, adding and writing again."""
    values = {key: [json.dumps({"of": key, "n": n}).encode() for n in range(len(records))] for key in keys}
    bodies = [json.dumps(record).encode() for record in records]
    spliced = [json.loads(body) for body in embed(bodies, join_embedded(values))]
    assert spliced == [{**r, **{key: {"of": key, "n": n} for key in keys}} for n, r in enumerate(records)]


@settings(deadline=None)
@given(st.lists(st.sampled_from(["activate", "pause", "fulfill"]), max_size=6), st.integers(0, 200_000))
def test_slas_at_any_time(types: list[str], passed: int) -> None:
    """However an SLA was activated, paused and fulfilled, its stage is that of the last event, and only an active one
    has a time left, in one unit."""
    from datetime import UTC, datetime

    start = datetime.fromtimestamp(NOON, UTC)
    base = {"ticket_id": 1, "metric": "reply_time", "instance_id": 1, "time": start.isoformat()}
    events = [{"id": 1, "type": "apply_sla", "sla": {"target": 60}, **base}]
    events += [{"id": n, "type": type_, **base} for n, type_ in enumerate(types, 2)]
    found = json.loads(
        slas_of([json.dumps(event).encode() for event in events], datetime.fromtimestamp(NOON + passed, UTC))
    )
    (sla,) = found["policy_metrics"]
    assert sla["stage"] in ("active", "paused", "achieved")
    assert (sla["stage"] == "active") == (bool(types) and types[-1] == "activate")
    assert (sla["breach_at"] is None) == (sla["stage"] != "active")
    assert len({"days", "hours", "minutes"} & set(sla)) == (sla["stage"] == "active")
