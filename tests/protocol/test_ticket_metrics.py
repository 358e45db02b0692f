"""The figures of a metric set and the metric events, case by case."""

from typing import Any

import msgspec
import pytest

from ticketfeed.protocol.ticket_metrics import MetricState, Step, count_steps, metric_events, metric_set

NOON = 1_700_000_000
NOON_TEXT, HOUR_LATER, TWO_HOURS_LATER = "2023-11-14T22:13:20Z", "2023-11-14T23:13:20Z", "2023-11-15T00:13:20Z"
ANN, BOB, BEN = 10, 20, 21  # the requester, and two agents
NO_MINUTES = {"calendar": None, "business": None}


def step(at: int = 0, status: str = "new", by: int | None = ANN, **values: Any) -> Step:
    said = values.pop("said", None)
    group_id, assignee_id = values.get("group_id"), values.get("assignee_id")
    return Step(NOON + at, status, group_id, assignee_id, by, said is not None, said == "public")


# steps -> what is not as in the metric set of a new ticket
CASES: list[tuple[str, list[Step], dict[str, Any]]] = [
    ("created", [step()], {}),
    ("created with a comment", [step(said="public")], {"latest_comment_added_at": NOON_TEXT}),
    ("created by somebody else", [step(by=BOB)], {}),
    (
        "created assigned",
        [step(assignee_id=BOB, group_id=30)],
        {"assignee_stations": 1, "group_stations": 1, "assigned_at": NOON_TEXT, "initially_assigned_at": NOON_TEXT},
    ),
    (
        "a public reply",
        [step(), step(3600, by=BOB, said="public")],
        {
            "updated_at": HOUR_LATER,
            "replies": 1,
            "latest_comment_added_at": HOUR_LATER,
            "reply_time_in_minutes": {"calendar": 60, "business": 20},
            "reply_time_in_seconds": {"calendar": 3600},
            "requester_wait_time_in_minutes": {"calendar": 60, "business": 20},
        },
    ),
    (
        "the first of two replies counts",
        [step(), step(90, by=BOB, said="public"), step(3600, by=BEN, said="public")],
        {
            "updated_at": HOUR_LATER,
            "replies": 2,
            "latest_comment_added_at": HOUR_LATER,
            "reply_time_in_minutes": {"calendar": 1, "business": 0},
            "reply_time_in_seconds": {"calendar": 90},
            "requester_wait_time_in_minutes": {"calendar": 60, "business": 20},
        },
    ),
    (
        "a private reply is none",
        [step(), step(3600, by=BOB, said="in private")],
        {
            "updated_at": HOUR_LATER,
            "latest_comment_added_at": HOUR_LATER,
            "requester_wait_time_in_minutes": {"calendar": 60, "business": 20},
        },
    ),
    (
        "nor is one of the requester",
        [step(), step(3600, said="public")],
        {
            "updated_at": HOUR_LATER,
            "latest_comment_added_at": HOUR_LATER,
            "requester_updated_at": HOUR_LATER,
            "requester_wait_time_in_minutes": {"calendar": 60, "business": 20},
        },
    ),
    (
        "pending is the agents' time",
        [step(status="pending"), step(3600, "pending", by=BOB)],
        {"updated_at": HOUR_LATER, "agent_wait_time_in_minutes": {"calendar": 60, "business": 20}},
    ),
    (
        "hold is the requester's time, too",
        [step(status="hold"), step(3600, "hold", by=BOB)],
        {
            "updated_at": HOUR_LATER,
            "on_hold_time_in_minutes": {"calendar": 60, "business": 20},
            "requester_wait_time_in_minutes": {"calendar": 60, "business": 20},
        },
    ),
    ("solved is nobody's", [step(status="solved"), step(3600, "solved", by=BOB)], {"updated_at": HOUR_LATER}),
    (
        "seconds add up before they are minutes",
        [step(status="pending"), step(59, "open", by=BOB), step(60, "pending", by=BOB), step(61, "open", by=BOB)],
        {
            "updated_at": "2023-11-14T22:14:21Z",
            "status_updated_at": "2023-11-14T22:14:21Z",
            "agent_wait_time_in_minutes": {"calendar": 1, "business": 0},
        },
    ),
    (
        "solved, reopened, solved",
        [step(status="open"), step(3600, "solved", by=BOB), step(3700, "open"), step(7200, "solved", by=BOB)],
        {
            "updated_at": TWO_HOURS_LATER,
            "status_updated_at": TWO_HOURS_LATER,
            "requester_updated_at": "2023-11-14T23:15:00Z",
            "reopens": 1,
            "solved_at": TWO_HOURS_LATER,
            "first_resolution_time_in_minutes": {"calendar": 60, "business": 20},
            "full_resolution_time_in_minutes": {"calendar": 120, "business": 40},
            "requester_wait_time_in_minutes": {"calendar": 118, "business": 39},
        },
    ),
    (
        "a ticket that was created solved was never resolved",
        [step(status="solved"), step(3600, "closed", by=-1)],
        {"updated_at": HOUR_LATER, "status_updated_at": HOUR_LATER},
    ),
    (
        "back to pending is no reopening",
        [step(status="open"), step(60, "solved"), step(3600, "pending")],
        {
            "updated_at": HOUR_LATER,
            "status_updated_at": HOUR_LATER,
            "requester_updated_at": HOUR_LATER,
            "solved_at": "2023-11-14T22:14:20Z",
            "first_resolution_time_in_minutes": {"calendar": 1, "business": 0},
            "full_resolution_time_in_minutes": {"calendar": 1, "business": 0},
            "requester_wait_time_in_minutes": {"calendar": 1, "business": 0},
        },
    ),
    (
        "stations",
        [
            step(status="solved", group_id=30, assignee_id=BOB),
            step(60, "solved", by=BOB, group_id=30, assignee_id=BOB),
            step(120, "solved", by=BOB),
            step(3600, "solved", by=BOB, group_id=31, assignee_id=BOB),
        ],
        {
            "updated_at": HOUR_LATER,
            "group_stations": 2,
            "assignee_stations": 2,
            "initially_assigned_at": NOON_TEXT,
            "assigned_at": HOUR_LATER,
            "assignee_updated_at": HOUR_LATER,
        },
    ),
    (
        "a ticket without an assignee has no update of one",
        [
            step(status="solved", assignee_id=BOB),
            step(60, "solved", by=BOB, assignee_id=BOB),
            step(3600, "solved", by=BOB),
        ],
        {
            "updated_at": HOUR_LATER,
            "assignee_stations": 1,
            "initially_assigned_at": NOON_TEXT,
            "assigned_at": NOON_TEXT,
            "assignee_updated_at": "2023-11-14T22:14:20Z",
        },
    ),
]


@pytest.mark.parametrize(("steps", "differs"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_metric_set(steps: list[Step], differs: dict[str, Any]) -> None:
    """Each figure by its definition; a state that was stored in between gives the same."""
    blank = {
        "created_at": NOON_TEXT,
        "updated_at": NOON_TEXT,
        "group_stations": 0,
        "assignee_stations": 0,
        "reopens": 0,
        "replies": 0,
        "assignee_updated_at": None,
        "requester_updated_at": NOON_TEXT,
        "status_updated_at": NOON_TEXT,
        "initially_assigned_at": None,
        "assigned_at": None,
        "solved_at": None,
        "latest_comment_added_at": None,
        "reply_time_in_minutes": NO_MINUTES,
        "first_resolution_time_in_minutes": NO_MINUTES,
        "full_resolution_time_in_minutes": NO_MINUTES,
        "agent_wait_time_in_minutes": {"calendar": 0, "business": 0},
        "requester_wait_time_in_minutes": {"calendar": 0, "business": 0},
        "on_hold_time_in_minutes": {"calendar": 0, "business": 0},
        "reply_time_in_seconds": {"calendar": None},
    }
    expected = {**blank, **differs}
    expected["custom_status_updated_at"] = expected["status_updated_at"]
    assert metric_set(count_steps(steps), ANN) == expected
    stored = MetricState()
    for each in steps:
        stored = msgspec.msgpack.decode(msgspec.msgpack.encode(stored), type=MetricState)
        stored.add(each)
    assert metric_set(stored, ANN) == expected


def test_another_requester() -> None:
    """The same steps, seen from another requester: what was a reply is none, and the other way round."""
    state = count_steps([step(), step(60, by=BOB, said="public"), step(120, said="public")])
    for requester_id, replies, first in ((ANN, 1, 60), (BOB, 1, 120), (BEN, 2, 60), (None, 2, 60)):
        figures = metric_set(state, requester_id)
        assert (figures["replies"], figures["reply_time_in_seconds"]["calendar"]) == (replies, first)


POLICY = {"id": 5, "title": "T", "description": "D", "target": 60}
REPLY = [step(), step(3600, "open", by=BOB, said="public")]
LATE = [step(), step(3601, "open", by=BOB, said="public")]
SOLVED = [step(), step(60, "solved", by=BOB)]


@pytest.mark.parametrize(
    ("steps", "policy", "expected"),
    [
        ([step()], None, ["reply_time activate"]),
        (REPLY, None, ["reply_time activate", "reply_time fulfill", "reply_time update_status"]),
        ([step()], POLICY, ["reply_time activate", "reply_time apply_sla", "requester_wait_time activate"]),
        (
            LATE,
            POLICY,
            [
                "reply_time activate",
                "reply_time apply_sla",
                "reply_time breach",
                "reply_time fulfill",
                "reply_time update_status",
                "requester_wait_time activate",
            ],
        ),
        (
            SOLVED,
            POLICY,
            [
                "reply_time activate",
                "reply_time apply_sla",
                "requester_wait_time activate",
                "requester_wait_time fulfill",
            ],
        ),
    ],
)
def test_metric_events(steps: list[Step], policy: dict[str, Any] | None, expected: list[str]) -> None:
    """From the creation to the first reply; with a policy also its target, a breach, and the wait for a solution."""
    events = list(metric_events(count_steps(steps), ANN, policy))
    assert [f"{event['metric']} {event['type']}" for event in events] == expected
    assert {event["instance_id"] for event in events} == {1}
    times = {f"{event['metric']} {event['type']}": event["time"] for event in events}
    assert times["reply_time activate"] == NOON_TEXT
    assert times.get("reply_time breach") in (None, HOUR_LATER)


def test_a_reply_on_time_is_no_breach() -> None:
    """The target itself is still met."""
    assert "breach" not in [event["type"] for event in metric_events(count_steps(REPLY), ANN, POLICY)]
