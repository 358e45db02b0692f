"""An account's clock over the wire: shown and moved by admins, and gone by in everything that reads a time."""

import asyncio
import json
import logging
from typing import Any

import pytest

from tests.server.browser import Browser
from tests.server.desk import ADMIN, PATH, Desk, basic
from tests.waiting import until
from ticketfeed.inprocess import Answer
from ticketfeed.protocol.moved_clock import MovedClock
from ticketfeed.protocol.oauth import EXPIRY_BEGINS
from ticketfeed.settings import Settings

CLOCK = "/_ticketfeed/clock"
DAY = 86400
NOW = EXPIRY_BEGINS + DAY


def make_desk(**rules: Any) -> Desk:
    desk = Desk(Settings(test_clock=True, **rules), accounts=("acme", "other"))
    desk.now = NOW
    return desk


def ask(desk: Desk, body: object | None = None, **request: Any) -> Answer:
    """POST a body, as JSON unless it is bytes, or GET the clock."""
    if body is None:
        return desk.ask(CLOCK, **request)
    sent = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = request.pop("headers", [("content-type", "application/json")])
    return desk.ask(CLOCK, method="POST", body=sent, headers=headers, **request)


def move(desk: Desk, body: object) -> Any:
    answer = ask(desk, body)
    assert answer.status == 200, answer
    return json.loads(answer.body)


def test_moves_are_answered_with_the_clock() -> None:
    """Each move holds at once, for this account alone; the answer says how the clock differs from the machine's."""
    desk = make_desk()
    machine = json.loads(ask(desk).body)["machine_now"]
    shown = {"account": "acme", "now": machine, "machine_now": machine, "offset_seconds": 0, "is_frozen": False}
    assert json.loads(ask(desk).body) == {**shown, "test_clock": True}
    for body, offset, is_frozen in (
        ({"advance": "30d"}, 30 * DAY, False),
        ({"advance": 60}, 30 * DAY + 60, False),
        ({"set": NOW - 5}, -5, False),
        ({"freeze": True}, -5, True),
        ({"advance": "1m"}, 55, True),
        ({"resume": True}, 55, False),
        ({"reset": True}, 0, False),
    ):
        answered = move(desk, body)
        assert (answered["offset_seconds"], answered["is_frozen"]) == (offset, is_frozen), body
        assert json.loads(ask(desk).body) == answered
        assert json.loads(ask(desk, host="other.localhost").body)["offset_seconds"] == 0


def test_who_may_move_it() -> None:
    """Admins of the account that the host names, with a token that may write; and nobody of another origin."""
    desk = make_desk()
    desk.put("users", {"id": 7, "email": "agent@example.com", "role": "agent"})
    desk.grant(7, "agent-token")
    desk.make_client()
    reading, writing = (f"Bearer {desk.token(scope=scope)['access_token']}" for scope in ("read", "write"))
    body = {"advance": 60}
    forged = [("content-type", "text/plain"), ("origin", "https://evil.example")]
    for authorization, shown, moved in (
        (ADMIN, 200, 200),
        (writing, 403, 200),
        (reading, 200, 403),
        (basic("agent@example.com/token:agent-token"), 403, 403),
        (basic("admin@example.com/token:wrong"), 401, 401),
        (None, 401, 401),
    ):
        found = [ask(desk, each, authorization=authorization).status for each in (None, body)]
        assert found == [shown, moved], authorization
    assert ask(desk, body, headers=forged).status == 403
    assert ask(desk, body, host="nobody.localhost").status == 404
    assert json.loads(ask(desk).body)["offset_seconds"] == 120


def test_bad_input() -> None:
    """Anything but one move that can be made is 400, and moves nothing."""
    desk = make_desk()
    invalid: list[object] = [b"", b"{", b"\xff", b"[" * 100_000, [], {"set": "soon"}, {"advance": -1}, {"freeze": 1}]
    for body in (*invalid, {"set": 10**11}, {"set": "9" * 5000}, {"advance": "99999999999d"}):
        answer = ask(desk, body)
        assert (answer.status, json.loads(answer.body)["error"]) == (400, "InvalidValue"), body
    assert json.loads(ask(desk).body)["offset_seconds"] == 0


def test_without_the_option_the_machine_rules(caplog: pytest.LogCaptureFixture) -> None:
    """A server without --test-clock moves nothing, follows nothing, and says so once."""
    desk = Desk(Settings())
    answer = ask(desk, {"advance": 60})
    assert (answer.status, b"--test-clock" in answer.body) == (403, True)
    account = desk._account("acme")
    asyncio.run(desk.store.write(account, lambda write: write.put_clock(MovedClock(500))))
    shown = json.loads(ask(desk).body)
    assert (shown["offset_seconds"], shown["test_clock"]) == (0, False)

    async def serve_for_a_while() -> None:
        maintenance = desk.app.state.service.maintenance
        maintenance.start()
        await until(lambda: caplog.records)
        for _ in range(3):
            await asyncio.sleep(0.05)
            maintenance.wake()
        await maintenance.stop()

    with caplog.at_level(logging.WARNING, "ticketfeed.maintenance"):
        asyncio.run(serve_for_a_while())
    (record,) = caplog.records
    assert record.getMessage().startswith("the clock of account acme was moved, and is not followed")


def test_everything_that_ages_goes_by_it() -> None:
    """Thirty days in one request: tokens lapse, windows open, tickets are closed and scrubbed, writes carry it."""
    desk = make_desk(
        account_requests=4,
        close_solved_days=4,
        scrub_deleted_days=30,
        start_time_margin_seconds=60,
        settle_seconds=60,
        archive_days=100,
    )
    desk.make_client()
    old = NOW - 3 * DAY
    desk.put(
        "tickets",
        {"id": 1, "subject": "solved", "status": "solved", "generated_timestamp": old},
        {"id": 2, "subject": "secret", "status": "deleted", "generated_timestamp": old},
    )
    move(desk, {"freeze": True})
    token = f"Bearer {desk.token()['access_token']}"
    assert [desk.ask("/api/v2/users/me", authorization=token).status for _ in range(5)] == [200] * 4 + [429]
    assert desk.ask("/api/v2/users/me", authorization=token).headers["retry-after"] == "60"
    move(desk, {"advance": "29m"})
    assert desk.ask("/api/v2/users/me", authorization=token).status == 200
    move(desk, {"advance": "1m"})
    assert desk.ask("/api/v2/users/me", authorization=token).status == 401
    assert desk.ask(f"{PATH}?start_time={NOW + 1800 - 59}").status == 400
    assert desk.ask(f"{PATH}?start_time={NOW + 1800 - 61}").status == 200
    move(desk, {"advance": "30d"})
    service = desk.app.state.service
    asyncio.run(service.maintenance.run_round())
    page = json.loads(desk.ask(f"{PATH}?start_time=0").body)
    assert page["tickets"] == []  # changed now, and the last minute is withheld
    assert desk.ask("/api/v2/tickets", method="POST", body=b'{"ticket":{"comment":{"body":"x"}}}').status == 201
    move(desk, {"advance": "61s"})
    page = json.loads(desk.ask(f"{PATH}?start_time=0").body)
    later = NOW + 1800 + 30 * DAY
    assert [(each["id"], each["status"], each["generated_timestamp"]) for each in page["tickets"]] == [
        (1, "closed", later),
        (2, "deleted", later),
        (3, "new", later),
    ]
    assert b"secret" not in desk.ask(f"{PATH}?start_time=0").body
    # Set back by a month: what was given out stays behind the reader, and nothing that follows is missed.
    move(desk, {"set": NOW})
    assert json.loads(desk.ask(f"{PATH}?cursor={page['after_cursor']}").body)["tickets"] == []
    assert desk.ask("/api/v2/tickets", method="POST", body=b'{"ticket":{"comment":{"body":"y"}}}').status == 201
    move(desk, {"set": later + 3600})
    found = json.loads(desk.ask(f"{PATH}?cursor={page['after_cursor']}").body)["tickets"]
    assert [(each["id"], each["generated_timestamp"]) for each in found] == [(4, later + 1)]


def test_the_dashboard_moves_it() -> None:
    """The start page shows the account's time, and its form moves it; no other site's form does, and no stranger's."""
    desk = make_desk()
    browser = Browser(desk)
    assert browser.go("move_clock", {"move": "advance", "value": "30d"}).headers["location"].endswith("login")
    browser.sign_in()
    assert b"the machine's" not in browser.go().body
    csrf = browser.field("csrf")
    for form, status in (
        ({"move": "advance", "value": "30d"}, 403),
        ({"move": "advance", "value": "30d", "csrf": "guessed"}, 403),
        ({"move": "advance", "value": "soon", "csrf": csrf}, 400),
        ({"move": "", "value": "", "csrf": csrf}, 400),
        ({"move": "advance", "value": "30d", "csrf": csrf}, 303),
        ({"move": "freeze", "value": "", "csrf": csrf}, 303),
    ):
        assert browser.go("move_clock", form).status == status, form
    body = browser.go().body
    assert b"30 days ahead of" in body or b"30 d ahead of" in body, body
    assert b", frozen" in body
    fixed = Browser(Desk(Settings()))
    fixed.sign_in()
    assert b"Duration or time" not in fixed.go().body
    assert fixed.go("move_clock", {"move": "freeze", "csrf": fixed.field("csrf")}).status == 403


def test_moved_back_over_an_expiry() -> None:
    """What was used up or ended stays so, whatever the clock says then; a code is exchanged once at most."""
    desk = make_desk()
    desk.make_client(redirect_uri=["https://example.com/"])
    desk.add_code()
    code = {"grant_type": "authorization_code", "code": "code", "redirect_uri": "https://example.com/"}
    pair = desk.token(**code)
    move(desk, {"advance": "29d"})
    renewing = {"grant_type": "refresh_token", "refresh_token": pair["refresh_token"]}
    following = desk.token(**renewing)
    for body in ({"set": NOW - DAY}, {"reset": True}, {"advance": "60d"}, {"set": NOW}):
        move(desk, body)
        assert [desk.ask_token(**values).status for values in (code, renewing)] == [400, 400], body
        assert desk.ask("/api/v2/users/me", authorization=f"Bearer {pair['access_token']}").status == 401, body
    assert desk.ask("/api/v2/users/me", authorization=f"Bearer {following['access_token']}").status == 200
    assert desk.token(grant_type="refresh_token", refresh_token=following["refresh_token"])
    assert desk.ask_token(grant_type="refresh_token", refresh_token=following["refresh_token"]).status == 400


def test_tokens_are_used_by_it() -> None:
    """When a token was last used is told by the account's clock."""
    desk = make_desk()
    move(desk, {"set": "2026-06-01T00:00:00Z"})
    desk.make_client()
    header = f"Bearer {desk.token()['access_token']}"
    assert desk.ask("/api/v2/users/me", authorization=header).status == 200
    asyncio.run(desk.app.state.service.usage_tracker.flush_token_uses())
    shown = json.loads(desk.ask("/api/v2/oauth/tokens/current", authorization=header).body)["token"]
    assert shown["used_at"] == "2026-06-01T00:00:00Z"
