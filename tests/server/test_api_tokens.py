"""API tokens over the wire: created, listed, asleep, reactivated, ended, each by the rule and the clock."""

import asyncio
import json
from typing import Any

from tests.server.desk import ADMIN, ALL, Desk, basic
from ticketfeed.protocol import errors
from ticketfeed.settings import Settings

DAY = 86400
SUMMER = 1_786_000_000  # 2026-08-06
WINTER = 1_798_000_000  # 2026-12-23
SPRING = 1_809_043_200  # 2027-04-30


def make_desk(now: int = SUMMER, **rules: Any) -> Desk:
    """An account whose admin got an API token now."""
    desk = Desk(Settings(**{"api_tokens": "by-date", **rules}))
    desk.now = now
    desk.revoke(1)
    desk.grant(1, "admin-token")
    return desk


def flush(desk: Desk) -> None:
    asyncio.run(desk.app.state.service.usage_tracker.flush_token_uses())


def statuses(desk: Desk, *sent: str) -> list[int]:
    return [desk.ask("/api/v2/tickets", authorization=each).status for each in sent or (ADMIN, "Bearer admin-token")]


def test_management() -> None:
    """A new token is shown whole once; all are listed with when they were used; a deleted one is refused."""
    desk = make_desk()
    made = desk.send("POST", "/api_tokens", {"api_token": {"description": "ETL"}}, expect=201)["api_token"]
    token = made.pop("token")
    assert list(made) == [
        *("id", "user_id", "assigned_user_id", "description", "active", "created_at", "updated_at", "last_used")
    ]
    assert (made["description"], made["active"], made["last_used"], made["user_id"]) == ("ETL", True, None, 1)
    desk.now += DAY
    assert statuses(desk, basic(f"admin@example.com/token:{token}"), f"Bearer {token}") == [200, 200]
    flush(desk)
    listed = desk.page("/api/v2/api_tokens.json?include_users=true")["api_tokens"]
    assert listed[-1] == {**made, "last_used": "2026-08-07T07:06:40Z"}
    assert len(listed) == 2
    desk.send("DELETE", f"/api_tokens/{made['id']}", expect=204)
    assert statuses(desk, f"Bearer {token}") == [401]
    desk.send("DELETE", f"/api_tokens/{made['id']}", expect=404)
    desk.send("PUT", f"/api_tokens/{made['id']}", {"api_token": {"active": True}}, expect=404)
    assert list(desk.send("POST", "/api_tokens", {"api_token": {"description": 5}}, expect=422)["details"])
    first = listed[0]["id"]
    desk.send("PUT", f"/api_tokens/{first}", {"api_token": {"active": False}}, expect=422)


def test_a_token_that_sleeps() -> None:
    """One that is used keeps going; one that is not is refused after thirty days, and its refused use does not wake it;
    an admin can reactivate it for sixty days."""
    desk = make_desk()
    sleeping = desk.grant(1, "sleeping-token")
    for _ in range(4):
        desk.now += 20 * DAY
        assert statuses(desk) == [200, 200]
        flush(desk)
    assert statuses(desk, "Bearer sleeping-token", basic("admin@example.com/token:sleeping-token")) == [401, 401]
    flush(desk)
    answer = desk.ask(authorization=basic("admin@example.com/token:sleeping-token"))
    assert json.loads(answer.body) == {"error": "Couldn't authenticate you"}
    states = [(each["id"], each["active"]) for each in desk.page("/api/v2/api_tokens")["api_tokens"]]
    assert states == [(sleeping - 1, True), (sleeping, False)]
    shown = desk.send("PUT", f"/api_tokens/{sleeping}", {"api_token": {"active": True}})["api_token"]
    assert shown["active"]
    assert statuses(desk, "Bearer sleeping-token") == [200]
    desk.now += 29 * DAY
    flush(desk)
    assert statuses(desk, "Bearer sleeping-token") == [200]
    other = make_desk()
    lost = other.grant(1, "lost-token")
    for _ in range(5):
        other.now += 18 * DAY
        assert statuses(other) == [200, 200]
        flush(other)
    assert [each["id"] for each in other.page("/api/v2/api_tokens")["api_tokens"]] == [lost - 1]
    other.send("PUT", f"/api_tokens/{lost}", {"api_token": {"active": True}}, expect=404)


def test_the_end() -> None:
    """After the last day of new ones none is created; after the last day of all none is accepted below /api/v2, where
    OAuth goes on; our own addresses go on taking them."""
    desk = make_desk(WINTER)
    refused = desk.send("POST", "/api_tokens", {"api_token": {}}, expect=403)
    assert refused == errors.ApiTokensEnded().body()
    desk.make_client()
    token = desk.token(expires_in=172_800)["access_token"]
    assert desk.page("/api/v2/account/settings")["settings"]["api"]["api_token_access"] == "true"
    desk.now = SPRING - 1
    desk.grant(1, "late-token")
    assert statuses(desk, "Bearer late-token") == [200]
    desk.now = SPRING
    late = basic("admin@example.com/token:late-token")
    assert statuses(desk, "Bearer late-token", late) == [401, 401]
    bodies = [json.loads(desk.ask(ALL, authorization=each).body) for each in ("Bearer late-token", late)]
    assert bodies == [errors.InvalidToken().body(), {"error": "Couldn't authenticate you"}]
    assert desk.ask("/_ticketfeed/", authorization=late).status == 200
    token = desk.token()["access_token"]
    assert statuses(desk, f"Bearer {token}") == [200]
    settings = desk.page("/api/v2/account/settings", authorization=f"Bearer {token}")["settings"]
    assert settings["api"] == {
        "accepted_api_agreement": True,
        "api_password_access_end_users": "true",
        "api_token_access": "false",
    }
    assert desk.ask("/api/v2/api_tokens", authorization=f"Bearer {token}").status == 404


def test_rules() -> None:
    """`allowed`, `no-new` and `off` know no dates; a password that has ended is that of nobody."""
    assert statuses(make_desk(SPRING, api_tokens="allowed")) == [200, 200]
    assert statuses(make_desk(SPRING, api_tokens="off")) == [401, 401]
    desk = make_desk(SUMMER - 10**8, api_tokens="no-new")
    assert statuses(desk) == [200, 200]
    desk.send("POST", "/api_tokens", {"api_token": {}}, expect=403)
    desk = make_desk()
    desk.grant(1, "a password", "password")
    password = basic("admin@example.com:a password")
    assert statuses(desk, password) == [401]
    assert desk.page("/api/v2/users/me", authorization=password)["user"]["id"] is None
    assert Settings.of_profile("zendesk").api_tokens == "by-date"


def test_last_use_of_an_access_token() -> None:
    """It is shown, within ten minutes."""
    desk = make_desk()
    desk.make_client()
    token = desk.token(expires_in=172_800)["access_token"]

    def used_at() -> Any:
        flush(desk)
        return desk.page("/api/v2/oauth/tokens")["tokens"][0]["used_at"]

    assert used_at() is None
    for seconds in (0, 599, 1):
        desk.now += seconds
        statuses(desk, f"Bearer {token}")
        seen = used_at()
        assert seen == ("2026-08-06T07:16:40Z" if seconds == 1 else "2026-08-06T07:06:40Z")
