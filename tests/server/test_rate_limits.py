"""Rate limits over the wire: the figures, the headers and the refusals that clients read."""

import json
from typing import Any

import pytest

from tests.server.desk import ADMIN, ALL, NOON, PATH, Desk, basic, tickets
from ticketfeed.inprocess import Answer
from ticketfeed.settings import Settings

EXPORTS = "zendesk-ratelimit-incremental-exports"
START = "start_time=0"


def limited(**rules: int) -> Desk:
    desk = Desk(Settings.of_profile("zendesk", **rules))
    desk.put("tickets", *tickets(1, 2, 3))
    return desk


def refused(answer: Answer) -> dict[str, Any]:
    assert answer.status == 429
    body: dict[str, Any] = json.loads(answer.body)
    return body


def test_7_1_ten_exports_a_minute_for_all_of_an_account() -> None:
    """All incremental exports of an account share ten requests a minute, whoever asks and whichever export."""
    desk = limited()
    desk.put("users", {"id": 9, "email": "other@example.com", "role": "admin"})
    desk.grant(9, "other-token")
    other = basic("other@example.com/token:other-token")
    paths = ["tickets/cursor", "tickets", "users.json", "organizations", "ticket_events", "ticket_metric_events.json"]
    for number in range(10):
        path = f"/api/v2/incremental/{paths[number % len(paths)]}?{START}"
        answer = desk.ask(path, authorization=other if number % 2 else ADMIN)
        assert answer.status == 200
        assert answer.headers[EXPORTS] == f"total=10; remaining={9 - number}; resets=60"
    assert refused(desk.ask()) == {
        "error": "APIRateLimitExceeded",
        "description": "Number of allowed incremental export API requests per minute exceeded",
    }
    desk.now += 60
    assert desk.ask().status == 200


def test_7_1_users_by_cursor_have_twenty_of_their_own() -> None:
    """The export of users by cursor has a budget of twenty, and its own header."""
    desk = limited(incremental_exports=1)
    assert desk.ask().status == 200
    for number in range(20):
        answer = desk.ask(f"/api/v2/incremental/users/cursor?{START}")
        told = answer.headers["zendesk-ratelimit-incremental-exports-cursor"]
        assert (answer.status, told) == (200, f"total=20; remaining={19 - number}; resets=60")
        assert EXPORTS not in answer.headers
    assert desk.ask(f"/api/v2/incremental/users/cursor.json?{START}").status == 429


def test_7_1_samples_have_ten_in_twenty_minutes() -> None:
    """The samples have a budget of ten that comes back after twenty minutes."""
    desk = limited()
    path = f"/api/v2/incremental/tickets/sample.json?{START}"
    assert [desk.ask(path).status for _ in range(11)] == [200] * 10 + [429]
    desk.now += 1199
    assert desk.ask(path).headers["retry-after"] == "1"
    desk.now += 1
    assert desk.ask(path).status == 200


def test_7_1_the_whole_account() -> None:
    """Every request to an account counts against its own budget, 700 a minute, with its own words when it ends."""
    desk = limited(account_requests=3)
    assert [desk.ask("/api/v2/groups").headers["x-rate-limit-remaining"] for _ in range(3)] == ["2", "1", "0"]
    answer = desk.ask("/api/v2/users/me")
    assert refused(answer)["description"] == "Number of allowed API requests per minute exceeded"
    assert limited().ask("/api/v2/groups").headers["x-rate-limit"] == "700"


def test_7_1_deleted_tickets_and_deep_pages() -> None:
    """The list of deleted tickets has ten a minute; the list of tickets fifty, but only beyond page 500."""
    desk = limited()
    assert [desk.ask("/api/v2/deleted_tickets").status for _ in range(11)] == [200] * 10 + [429]
    deep = "/api/v2/tickets?page=501&per_page=10"
    assert [desk.ask(deep).status for _ in range(51)] == [200] * 50 + [429]
    shallow = desk.ask("/api/v2/tickets?page=500&per_page=10")
    assert shallow.status == 200
    assert "zendesk-ratelimit-tickets-index" not in shallow.headers


@pytest.mark.parametrize("profile", ["open", "zendesk"])
@pytest.mark.parametrize("path", [ALL, "/api/v2/groups", "/api/v2/nothing", "/api/v2/tickets/999", PATH])
def test_7_2_headers_on_every_answer(profile: Any, path: str) -> None:
    """Every answer, errors too, tells the account's budget; the export's ten never stand in its place."""
    desk = Desk(Settings.of_profile(profile))
    for authorization in (ADMIN, None, "Bearer wrong"):
        headers = desk.ask(path, authorization=authorization).headers
        total = {"open": 100_000, "zendesk": 700}[profile]
        assert headers["x-rate-limit"] == headers["ratelimit-limit"] == str(total)
        assert headers["x-rate-limit-remaining"] == headers["ratelimit-remaining"]
        assert total - 1 <= int(headers["x-rate-limit-remaining"]) <= total
        assert 1 <= int(headers["ratelimit-reset"]) <= 60


def test_7_2_open_figures_never_run_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the open profile the figures are large and stay so, and the store is never asked to count."""
    desk = Desk()
    monkeypatch.setattr(desk.store, "count_request", None)
    for _ in range(30):
        headers = desk.ask().headers
        assert headers[EXPORTS] == "total=100000; remaining=100000; resets=60"
        assert headers["x-rate-limit-remaining"] == "100000"


def test_7_3_retry_after() -> None:
    """A refusal says in whole seconds, at least one, when the window ends; no other answer carries Retry-After."""
    desk = limited()
    for _ in range(10):
        assert "retry-after" not in desk.ask().headers
    for passed, expected in ((0, "60"), (41, "19"), (18, "1")):
        desk.now += passed
        answer = desk.ask()
        assert (answer.status, answer.headers["retry-after"]) == (429, expected)
    desk.now = NOON + 60
    assert "retry-after" not in desk.ask().headers


def test_7_3_refused_requests_cost_nothing() -> None:
    """Asking again and again while refused uses up nothing of the account's budget."""
    desk = limited(account_requests=12)
    for _ in range(10):
        desk.ask()
    told = [desk.ask().headers["x-rate-limit-remaining"] for _ in range(5)]
    assert told == ["2"] * 5
    assert desk.ask("/api/v2/groups").status == 200


def test_order_of_checks() -> None:
    """Path, credentials and role come before the budget, and cost nothing; refused parameters come behind, and do."""
    desk = limited()
    desk.put("users", {"id": 9, "email": "agent@example.com", "role": "agent"})
    desk.grant(9, "agent-token")
    agent = basic("agent@example.com/token:agent-token")
    for _ in range(15):
        assert desk.ask("/api/v2/incremental/nothing").status == 404
        assert desk.ask(authorization=None).status == 401
        assert desk.ask(authorization=agent).status == 403
        assert desk.ask("/api/v2/users/me", authorization=None).status == 200
    assert [desk.ask(PATH).status for _ in range(11)] == [400] * 10 + [429]
