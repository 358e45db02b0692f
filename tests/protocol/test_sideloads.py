"""Sideloads: which records a page needs, and what stands inside its tickets."""

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from ticketfeed.protocol.embedded_sideloads import slas_of
from ticketfeed.protocol.rows import LinkedTicketRow
from ticketfeed.protocol.sideloads import pack_ids, plan_sideloads

NOON = 1_700_000_000


def row(*user_ids: int, agreement_ids: tuple[int, ...] = (), **links: int | None) -> LinkedTicketRow:
    blank: dict[str, Any] = dict.fromkeys(LinkedTicketRow._fields)
    agreements = pack_ids(agreement_ids) or None
    return LinkedTicketRow(**{**blank, "user_ids": pack_ids(user_ids), "agreement_ids": agreements, **links})


ROWS = [
    row(9, 5, group_id=31, agreement_ids=(82, 81)),
    row(5, 7, group_id=30, organization_id=40, ticket_form_id=50, brand_id=60, custom_status_id=70),
    row(group_id=31, agreement_ids=(81,)),
]


@pytest.mark.parametrize(
    ("include", "expected"),
    [
        ((), {}),
        (("users",), {"users": [5, 7, 9]}),
        (("groups", "users"), {"groups": [30, 31], "users": [5, 7, 9]}),
        (("organizations", "ticket_forms"), {"organizations": [40], "ticket_forms": [50]}),
        (("brands", "custom_statuses"), {"brands": [60], "custom_statuses": [70]}),
        (("sharing_agreements",), {"sharing_agreements": [81, 82]}),
        (("nonsense", "comment_count", "tickets", "users"), {"users": [5, 7, 9]}),
    ],
)
def test_plan_sideloads(include: tuple[str, ...], expected: dict[str, list[int]]) -> None:
    """Each kind that is named has the ids that the page's tickets point to, each once, ascending; other names none."""
    plan = plan_sideloads(include, ROWS)
    assert (plan, list(plan)) == (expected, list(expected))
    assert plan_sideloads(include, []) == {kind: [] for kind in expected}


def event(type_: str, minutes: int, instance: int = 1, target: int | None = None) -> dict[str, Any]:
    at = datetime.fromtimestamp(NOON + minutes * 60, UTC)
    sla = {} if target is None else {"sla": {"target": target}}
    return {"metric": "reply_time", "type": type_, "instance_id": instance, "time": at, **sla}


TARGET = event("apply_sla", 0, target=60)
BEGUN = [event("activate", 0), TARGET]


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([event("activate", 0)], None),
        (BEGUN, ("active", "2023-11-14T23:13:20Z", {"minutes": 50})),
        ([*BEGUN, event("fulfill", 5)], ("achieved", None, {})),
        ([*BEGUN, event("pause", 5)], ("paused", None, {})),
        (
            [*BEGUN, event("pause", 5), event("activate", 8)],
            ("active", "2023-11-14T23:16:20Z", {"minutes": 53}),
        ),
        (
            [*BEGUN, event("fulfill", 5), event("activate", 9, 2), event("apply_sla", 9, 2, target=1500)],
            ("active", "2023-11-15T23:22:20Z", {"days": 1}),
        ),
        ([event("activate", -150), TARGET], ("active", "2023-11-14T20:43:20Z", {"hours": -1})),
        ([event("activate", -75), TARGET], ("active", "2023-11-14T21:58:20Z", {"minutes": -25})),
    ],
)
def test_slas(events: list[dict[str, Any]], expected: tuple[str, str | None, dict[str, int]] | None) -> None:
    """Ten minutes after noon: the newest instance counts, a pause does not, and the time left is in whole units."""
    encoded = [msgspec.json.encode({"id": number, "ticket_id": 1, **each}) for number, each in enumerate(events, 1)]
    found = msgspec.json.decode(slas_of(encoded, datetime.fromtimestamp(NOON + 600, UTC)))["policy_metrics"]
    if expected is None:
        assert found == []
    else:
        stage, breach_at, left = expected
        assert found == [{"metric": "reply_time", "stage": stage, "breach_at": breach_at, **left}]
