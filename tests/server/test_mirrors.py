"""What an account that is a mirror refuses over HTTP, and what it still does."""

import msgspec
import pytest

from tests.server.desk import ALL, NOON, Desk, basic, ids, tickets
from ticketfeed.protocol.mirrors import Mirror
from ticketfeed.server.api.routes import API_ROUTES
from ticketfeed.settings import Settings

SOURCE = "https://acme.zendesk.com"
WRITES = [route for route in API_ROUTES if route.writes_records]
FORBIDDEN = {"error": "Forbidden", "description": f"This account mirrors {SOURCE} and is read-only"}


def test_every_write_is_refused() -> None:
    """Whatever the route, and whatever else is wrong with the request: the answer is the same, and nothing changes."""
    desk = Desk(mirror=Mirror(SOURCE))
    desk.put("tickets", *tickets(1))
    assert len(WRITES) > 50
    for route in WRITES:
        path = "/api/v2" + route.template.replace("{id}", "1").replace("{user_id}", "1").replace(
            "{organization_id}", "x"
        )
        for body in (b"{", b'{"ticket":{"subject":"x"}}'):
            answer = desk.ask(path, method=route.method, headers=[("Content-Type", "application/json")], body=body)
            assert (answer.status, msgspec.json.decode(answer.body)) == (403, FORBIDDEN), path
    assert ids(desk.page()) == [1]
    assert desk.ask("/api/v2/tickets", method="POST", authorization=None).status == 401


def test_an_archive_says_when_it_was_closed() -> None:
    """Writes to it are refused with the date."""
    desk = Desk(mirror=Mirror(SOURCE, closed_at=NOON))
    answer = desk.send("DELETE", "/tickets/1", {}, expect=403)
    assert answer["description"] == f"This account is an archive of {SOURCE}, closed on 2023-11-14, and is read-only"


def test_credentials_are_the_mirrors_own() -> None:
    """API tokens and OAuth clients and tokens are made and ended as in any account."""
    desk = Desk(mirror=Mirror(SOURCE))
    made = desk.send("POST", "/api_tokens", {"api_token": {"description": "x"}}, expect=201)["api_token"]
    assert desk.ask(authorization=basic(f"admin@example.com/token:{made['token']}")).status == 200
    desk.make_client()
    assert desk.ask(authorization=f"Bearer {desk.token()['access_token']}").status == 200
    desk.send("DELETE", f"/api_tokens/{made['id']}", {}, expect=204)


@pytest.mark.parametrize("settings", [Settings(), Settings(settle_seconds=60)])
def test_pages_go_as_far_as_the_source_was_walked(settings: Settings) -> None:
    """Neither the clock of this machine nor what the profile holds back counts: the source has settled already."""
    desk = Desk(settings, mirror=Mirror(SOURCE))
    desk.put("tickets", *tickets(1, second=NOON - 5), *tickets(2, second=NOON))
    assert ids(desk.page(ALL)) == [1, 2]
    desk.now -= 3600
    assert ids(desk.page(ALL)) == [1, 2]
