"""Scenarios switched on and off over HTTP, by admins of the account, where the server has them."""

import json
from typing import Any

from tests.server.browser import Browser
from tests.server.desk import ADMIN, Desk, basic
from ticketfeed.faults import shipped_scenarios
from ticketfeed.inprocess import Answer
from ticketfeed.protocol.oauth import EXPIRY_BEGINS
from ticketfeed.settings import Settings

FAULTS = "/_ticketfeed/faults"
OWN = {"name": "mine", "description": "Mine.", "expect": "stops", "times": 3, "what": {"status": 503, "body": ""}}


def make_desk(**rules: Any) -> Desk:
    desk = Desk(Settings(faults=True, **rules), accounts=("acme", "other"))
    desk.now = EXPIRY_BEGINS + 86400
    return desk


def ask(desk: Desk, method: str = "GET", body: object = None, query: str = "", **request: Any) -> Answer:
    sent = body if isinstance(body, bytes) else json.dumps(body).encode() if body is not None else b""
    headers = request.pop("headers", [("content-type", "application/json")])
    return desk.ask(FAULTS + query, method=method, body=sent, headers=headers, **request)


def shown(answer: Answer) -> list[Any]:
    assert answer.status == 200, answer
    return list(json.loads(answer.body)["scenarios"])


def test_on_and_off() -> None:
    """Each answer has what is switched on for the account of the host, with counts; and the names that there are."""
    desk = make_desk()
    answer = json.loads(ask(desk).body)
    assert (answer["account"], answer["scenarios"], answer["available"]) == ("acme", [], list(shipped_scenarios()))
    (stuck,) = shown(ask(desk, "POST", {"scenario": "stuck-cursor", "seed": 5, "times": 2, "token": "secret"}))
    assert stuck.items() >= {
        "name": "stuck-cursor", "expect": ["stops"], "seed": 5, "times": 2, "for_token": True, "counted": 0,
        "fired": 0, "firings": [],
    }.items()  # fmt: skip
    assert "secret" not in ask(desk).body.decode()
    assert [each["name"] for each in shown(ask(desk, "POST", {"scenario": OWN}))] == ["stuck-cursor", "mine"]
    assert shown(ask(desk, host="other.localhost")) == []
    assert [each["name"] for each in shown(ask(desk, "DELETE", query="?scenario=stuck-cursor"))] == ["mine"]
    missing = ask(desk, "DELETE", query="?scenario=min")
    assert (missing.status, b"did you mean mine?" in missing.body) == (400, True)
    unknown = ask(desk, "DELETE", query="?name=mine")
    assert (unknown.status, b"there is no parameter name; there is: scenario" in unknown.body) == (400, True)
    assert [each["name"] for each in shown(ask(desk))] == ["mine"]
    assert shown(ask(desk, "DELETE")) == []
    assert shown(ask(desk, "DELETE")) == []


def test_bad_bodies() -> None:
    """Each is a 400 that names the key, and switches nothing on."""
    desk = make_desk()
    for body, text in (
        (b"{", "the body must be JSON"),
        (b'{"scenario":' * 100_000, "the body must be"),
        ({"scenario": {**OWN, "what": {"world": {"values": {"id": 5}}}}}, "what.world.values: "),
        ({"scenario": {**OWN, "what": {"world": {"values": {"status": 5}}}}}, "what.world.values: "),
        (b"[]", "the body must be an object"),
        ({}, "scenario"),
        ({"scenario": 5}, "scenario"),
        ({"scenario": "stuk-cursor"}, "did you mean stuck-cursor"),
        ({"scenario": "x", "speed": 1}, "speed"),
        ({"scenario": "stuck-cursor", "times": 0}, "times must be"),
        ({"scenario": "stuck-cursor", "seed": "x"}, "$.seed"),
        ({"scenario": {**OWN, "what": {}}}, "what: must have one effect"),
        (
            {"scenario": {**OWN, "what": {"world": {"create": 11, "description_bytes": 20_000_000}}}},
            "description_bytes: ",
        ),
        ({"scenario": {**OWN, "what": {"satus": 503}}}, "what.satus: there is no such key"),
    ):
        answer = ask(desk, "POST", body)
        assert answer.status == 400, body
        assert text in answer.body.decode(), body
    assert shown(ask(desk)) == []
    for number in range(100):
        assert ask(desk, "POST", {"scenario": {**OWN, "name": f"mine-{number}"}}).status == 200
    assert ask(desk, "POST", {"scenario": OWN}).status == 400


def test_who_may() -> None:
    """Admins of the account, with a token that may write; and nobody of another origin."""
    desk = make_desk()
    desk.put("users", {"id": 7, "email": "agent@example.com", "role": "agent"})
    desk.grant(7, "agent-token")
    desk.make_client()
    reading, writing = (f"Bearer {desk.token(scope=scope)['access_token']}" for scope in ("read", "write"))
    body = {"scenario": "stuck-cursor"}
    for authorization, seen, switched in (
        (ADMIN, 200, 200),
        (writing, 403, 200),
        (reading, 200, 403),
        (basic("agent@example.com/token:agent-token"), 403, 403),
        (basic("admin@example.com/token:wrong"), 401, 401),
        (None, 401, 401),
    ):
        assert ask(desk, authorization=authorization).status == seen
        assert ask(desk, "POST", body, authorization=authorization).status == switched
        assert ask(desk, "DELETE", authorization=authorization).status == switched
    forged = [("content-type", "text/plain"), ("origin", "https://evil.example")]
    assert ask(desk, "POST", body, headers=forged).status == 403


def test_servers_without() -> None:
    """Without `faults` each method is refused, to admins, in words that say what to do."""
    desk = Desk(Settings(test_clock=True))
    for method in ("GET", "POST", "DELETE"):
        answer = ask(desk, method, {"scenario": "stuck-cursor"} if method == "POST" else None)
        assert (answer.status, b"started without --faults" in answer.body) == (403, True)


def test_switches_of_the_dashboard() -> None:
    """Buttons switch scenarios on and off, for sessions of admins with the form's own token; counts are shown."""
    desk = make_desk()
    browser = Browser(desk)
    assert browser.go("scenarios", {"add": "stuck-cursor"}).headers["location"].endswith("login")
    browser.sign_in()
    assert b">Faults</a>" in browser.go().body
    body = browser.go("scenarios").body
    assert all(f"Switch {name} on".encode() in body for name in shipped_scenarios())
    csrf = browser.field("csrf")
    for form, status, active in (
        ({"add": "stuck-cursor"}, 403, []),
        ({"add": "stuck-cursor", "csrf": "guessed"}, 403, []),
        ({"add": "nothing", "csrf": csrf}, 400, []),
        ({"add": "stuck-cursor", "csrf": csrf}, 303, ["stuck-cursor"]),
        ({"add": "slow-drip", "csrf": csrf}, 303, ["stuck-cursor", "slow-drip"]),
        ({"clear": "stuck-cursor", "csrf": csrf}, 303, ["slow-drip"]),
        ({"clear": "", "csrf": csrf}, 303, []),
    ):
        assert browser.go("scenarios", form).status == status, form
        assert [each["name"] for each in shown(ask(desk))] == active, form
    ask(desk, "POST", {"scenario": {**OWN, "name": "own-one", "description": "<b>"}, "token": "x"})
    body = browser.go("scenarios").body
    assert b"Switch own-one off" in body
    assert b"for one token" in body
    fixed = Browser(Desk(Settings()))
    fixed.sign_in()
    assert b">Faults</a>" not in fixed.go().body
    assert b"started without" in fixed.go("scenarios").body
    assert fixed.go("scenarios", {"add": "slow-drip", "csrf": fixed.field("csrf")}).status == 403
