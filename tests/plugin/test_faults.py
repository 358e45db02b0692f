"""Fault scenarios over a socket: each of the package fires, and does on the wire what it says."""

import http.client
import json
import time
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
import requests
from msgspec.structs import replace

from ticketfeed.faults import find_scenario, read_scenario_file, shipped_scenarios
from ticketfeed.protocol.errors import BadInput, InvalidValue
from ticketfeed.testing import FeedServer, serve_desk

EXPORT = "/api/v2/incremental/tickets/cursor.json"
CALLBACK = "http://localhost:8000/callback"
CLIENT = {"client_id": "demo-client", "client_secret": "demo-secret"}
TICKETS, PAGE = 120, 40
REQUESTS_MAX = 9

# Scenario -> what a walk with an API token meets that asks again at once after a failure. A page: how many tickets it
# has, and what is odd about it; an answer that is none: its status, and Retry-After. "...": as many pages as there are,
# to the end: tickets that depend on deleted ones change, too.
WALKS: dict[str, list[str]] = {
    "after-url-without-host": ["40 path", "40 path", "40 end path"],
    "api-token-deactivated": ["40", *["401 Couldn't authenticate you"] * 8],
    "busy-second": ["40"] * 9,
    "clock-skew": ["40 Date+3600", "40 Date+3600", "40 end Date+3600"],
    "closed-between-requests": ["40", "closed", "40", "closed", "40 end"],
    "custom-field-list": ["40", "40", "40", "20 end"],
    "custom-field-number": ["40", "40", "40", "20 end"],
    "cut-after-body": ["40", "cut", "cut", "40", "40 end"],
    "cut-before-body": ["40", "cut 0%", "cut 0%", "40", "40 end"],
    "cut-inside-body": ["40", "cut 50%", "cut 50%", "40", "40 end"],
    "deletes-while-paging": ["40", "40", "..."],
    "duplicate-records": ["40", "80", "80 end"],
    "empty-page": ["40", "0", "40", "40 end"],
    "end-of-stream-early": ["40 end", "40", "40 end"],
    "end-of-stream-missing": [
        "40 no end_of_stream",
        "40 no end_of_stream",
        "40 no end_of_stream",
        "0 no end_of_stream null",
    ],
    "end-of-stream-never": ["40", "40", "40", "0 null"],
    "flaky-gateway": ["40", *["502 <html>"] * 4, "40", "502 <html>", "40 end"],
    "gateway-timeout": ["40", "504 upstream request timeout", "504 upstream request timeout", "40", "40 end"],
    "gateway-timeout-large-pages": ["504 upstream request timeout"] * 9,
    "html-with-200": ["40", "200 <!DOCTYPE html>", "200 <!DOCTYPE html>", "40", "40 end"],
    "huge-ticket": ["40", "40", "40", "1 end"],
    "killed-mid-walk": ["40", "reset", "40", "40 end"],
    "maintenance": ["40", *["503 after 1 <html>"] * 2, "40", "40 end"],
    "missing-after-url": ["40 no after_url", "40 no after_url", "40 end no after_url"],
    "missing-cursor": ["40 no after_cursor no after_url"],
    "moving-ticket": ["40", "40", "40", "3 end"],
    "not-an-admin": ["403 You do not have access"] * 9,
    "null-cursor": ["40 null"],
    "rate-limit-date": ["40", *["429 after a date APIRateLimitExceeded"] * 2, "40", "40 end"],
    "rate-limit-each-second": ["429 after 1 APIRateLimitExceeded", "40", "40", "40 end"],
    "rate-limit-edge": ["40", *["429 after 1 Rate limited by Zendesk edge protection"] * 3, "40", "40 end"],
    "rate-limit-hour": ["40", *["429 after 3600 APIRateLimitExceeded"] * 8],
    "rate-limit-storm": ["40", *["429 after 1 APIRateLimitExceeded"] * 5, "40", "40 end"],
    "rate-limit-text": ["40", *["429 after 1 Number of allowed API requests"] * 2, "40", "40 end"],
    "rate-limit-without-header": ["40", *["429 APIRateLimitExceeded"] * 2, "40", "40 end"],
    "repeated-cursor": ["40", "40 same", "40", "40 end"],
    "reset-before-answer": ["40", "reset", "reset", "40", "40 end"],
    "scrubs-while-paging": ["40", "40", "..."],
    "slow-drip": ["40", "40", "40 end"],
    "slow-first-byte": ["40", "40", "40 end"],
    "stuck-cursor": ["40", *["40 same"] * 8],
    "system-burst": ["40", "40", "..."],
    "truncated-gzip": ["40", "truncated", "truncated", "40", "40 end"],
    "unknown-key": ["40", "40", "40", "20 end"],
}

# How a walk calls the answers that are no page.
KNOWN_TEXTS = (
    "APIRateLimitExceeded",
    "Rate limited by Zendesk edge protection",
    "Number of allowed API requests",
    "<!DOCTYPE html>",
    "<html>",
    "upstream request timeout",
    "Couldn't authenticate you",
    "You do not have access",
    "invalid_token",
    "missing the following required scopes",
)


@dataclass
class Walker:
    """A client that asks again at once after each failure. `tickets`: the last state of each that it was given."""

    desk: FeedServer
    per_page: int = PAGE
    authorization: str = ""
    met: list[str] = field(default_factory=list)
    tickets: dict[int, Any] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.authorization = self.authorization or requests.auth._basic_auth_str(*self.desk.auth)
        self.query = {"start_time": "0", "per_page": str(self.per_page), "support_type_scope": "all"}
        self.connection = self._connect()

    def walk(self) -> "Walker":
        while len(self.met) < REQUESTS_MAX and self.step():
            pass
        self.connection.close()
        return self

    def step(self) -> bool:
        """One request; whether another one is to follow."""
        started = time.monotonic()
        try:
            answer, word = self._ask()
        except (http.client.HTTPException, OSError) as error:
            answer, word = None, _word_of(error)
            self.connection.close()
            self.connection = self._connect()
        self.seconds.append(time.monotonic() - started)
        self.met.append(word)
        if answer is None:
            return True
        self.tickets |= {ticket["id"]: ticket for ticket in answer["tickets"]}
        cursor = answer.get("after_cursor")
        if (answer.get("end_of_stream") and len(self.met) > 1) or cursor is None:
            return False
        self.query = {"cursor": cursor, "per_page": str(self.per_page), "support_type_scope": "all"}
        return True

    def _connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(urlsplit(self.desk.url).netloc, timeout=20)

    def _ask(self) -> tuple[Any, str]:
        headers = {"Authorization": self.authorization, "Accept-Encoding": "gzip"}
        self.connection.request("GET", f"{EXPORT}?{urlencode(self.query)}", headers=headers)
        answer = self.connection.getresponse()
        body = answer.read()
        if answer.headers["content-encoding"] == "gzip":
            decompressor = zlib.decompressobj(wbits=31)
            body = decompressor.decompress(body)
            if not decompressor.eof:
                return None, "truncated"
        if answer.status != 200 or not body.startswith(b"{"):
            return None, _failure(answer, body.decode())
        page = json.loads(body)
        skew = round((parsedate_to_datetime(answer.headers["date"]).timestamp() - time.time()) / 60) * 60
        return page, " ".join([*_words_of(page, self.query), *([f"Date{skew:+d}"] if skew else [])])


def _words_of(page: Any, query: dict[str, str]) -> Iterator[str]:
    """How many tickets a page has, and what is odd about its end."""
    yield str(len(page["tickets"]))
    if page.get("end_of_stream"):
        yield "end"
    for key in ("end_of_stream", "after_cursor", "after_url"):
        if key not in page:
            yield f"no {key}"
    if "after_cursor" in page and page["after_cursor"] is None:
        yield "null"
        return
    if (page.get("after_cursor") or "-") == query.get("cursor"):
        yield "same"
    if url := page.get("after_url"):
        assert parse_qs(urlsplit(url).query)["cursor"] == [page["after_cursor"]]
        if not url.startswith("http"):
            yield "path"


def _failure(answer: http.client.HTTPResponse, body: str) -> str:
    """The status, Retry-After and the first words of an answer that is no page."""
    after = answer.headers["retry-after"]
    if after and not after.isdigit():
        assert 0 < parsedate_to_datetime(after).timestamp() - time.time() <= 3
        after = "a date"
    text = next((words for words in KNOWN_TEXTS if words in body), body[:40])
    return " ".join([str(answer.status), *([f"after {after}"] if after else []), text])


def _word_of(error: Exception) -> str:
    match error:
        case http.client.IncompleteRead(expected=None):
            return "cut"
        case http.client.IncompleteRead(partial=part, expected=missing):
            return f"cut {round(100 * len(part) / (len(part) + missing))}%"
        case ConnectionResetError() if not isinstance(error, http.client.RemoteDisconnected):
            return "reset"
    return "closed"


def deviating(name: str) -> Any:
    """The scenario, with shorter pauses and fewer new tickets, in all else as it is."""
    scenario = find_scenario(name)
    what = scenario.what
    if what.world is not None:
        what = replace(what, world=replace(what.world, create=what.world.create // 10))
    if what.drip is not None:
        what = replace(what, drip=replace(what.drip, every_seconds=0.005))
    return replace(scenario, what=replace(what, delay_seconds=what.delay_seconds / 10))


@pytest.fixture(scope="module")
def server() -> Iterator[FeedServer]:
    with serve_desk(tickets=TICKETS) as server:
        yield server


@pytest.fixture
def desk(server: FeedServer) -> FeedServer:
    server.reset(tickets=TICKETS)
    return server


@pytest.fixture
def quick_kill(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is there to kill the client that an answer is withheld from."""
    monkeypatch.setattr("ticketfeed.server.faults.injection.KILL_SECONDS", 0.05)


def states_of_feed(desk: FeedServer) -> dict[int, Any]:
    """All tickets as they are now, asked for inside the process, where no scenario acts."""
    found: dict[int, Any] = {}
    query, is_end = "start_time=0", False
    while not is_end:
        page = desk.get(f"{EXPORT}?{query}&support_type_scope=all")
        found |= {ticket["id"]: ticket for ticket in page["tickets"]}
        query, is_end = f"cursor={page['after_cursor']}", page["end_of_stream"]
    return found


def walks(names: list[str]) -> list[tuple[str, Any, Any]]:
    """What a walk meets in each scenario, on a server of its own; and the differences."""
    found: list[tuple[str, Any, Any]] = []
    with serve_desk(tickets=TICKETS) as desk:
        for name in names:
            desk.reset(tickets=TICKETS)
            desk.faults.add(deviating(name))
            walker = Walker(desk, 1000 if name == "gateway-timeout-large-pages" else PAGE).walk()
            met, expected = walker.met, WALKS[name]
            if expected[-1] == "...":
                assert met[-1].endswith(" end"), met
                met = [*met[: len(expected) - 1], "..."]
            found.append((name, met, expected))
            found.append((f"{name} fired", desk.faults.fired(name) > 0, True))
            if "end" in walker.met[-1].split():
                found.append((f"{name} tickets", walker.tickets == states_of_feed(desk), True))
    return found


@pytest.mark.usefixtures("quick_kill")
def test_every_scenario_of_an_export() -> None:
    """A walk meets what the table says, the scenario has fired, and after its end all latest states are there.

    Changes of tickets are waited for until their second is over: several servers wait at the same time.
    """
    groups = [sorted(WALKS)[start::4] for start in range(4)]
    with ThreadPoolExecutor(len(groups)) as pool:
        for results in pool.map(walks, groups):
            for name, met, expected in results:
                assert met == expected, name


# Scenario -> what a client with a refresh token meets, that renews at the start, and once after a 401.
OAUTH_WALKS: dict[str, list[str]] = {
    "killed-before-saving": ["renewal reset", "renewal 400 invalid_grant"],
    "lapsed-refresh-token": ["renewal 400 invalid_grant"],
    "lost-refresh-answer": ["renewal reset", "renewal 400 invalid_grant"],
    "refused-again-and-again": ["renewal 200", "401 invalid_token", "renewal 200", "401 invalid_token"],
    "scope-cut": ["renewal 200", "403 missing the following required scopes"],
    "token-endpoint-429": ["renewal 429 after 1", "renewal 429 after 1", "renewal 200", "40", "40", "40 end"],
    "token-endpoint-503": [*["renewal 503 after 1"] * 3, "renewal 200", "40", "40", "40 end"],
    "token-expires-mid-walk": ["renewal 200", "40", "401 invalid_token", "renewal 200", "40", "40 end"],
    "token-status-201": ["renewal 201", "40", "40", "40 end"],
    "token-without-expires-in": ["renewal 200 no expires_in", "40", "40", "40 end"],
    "twin-refresh": ["renewal 400 invalid_grant"],
}


def token_pair(desk: FeedServer) -> dict[str, Any]:
    """Tokens of the demo's client that an admin consented to."""
    client = {"client_id": CLIENT["client_id"], "redirect_uri": CALLBACK}
    asked = {**client, "response_type": "code", "scope": "read write", "decision": "allow"}
    allowed = requests.get(f"{desk.url}/oauth/authorizations/new", asked, auth=desk.auth, allow_redirects=False)
    code = allowed.headers["location"].partition("code=")[2]
    grant = {**client, **CLIENT, "grant_type": "authorization_code", "code": code}
    return dict(requests.post(f"{desk.url}/oauth/tokens", json=grant).json())


def renew(desk: FeedServer, refresh_token: str) -> tuple[dict[str, Any] | None, str]:
    """The new pair, or None, and what was met."""
    asked = {**CLIENT, "grant_type": "refresh_token", "refresh_token": refresh_token}
    try:
        answer = requests.post(f"{desk.url}/oauth/tokens", json=asked, timeout=20)
    except requests.ConnectionError as error:
        return None, "renewal reset" if "reset" in str(error) else "renewal closed"
    if answer.status_code >= 300:
        after = answer.headers.get("retry-after")
        return None, f"renewal {answer.status_code} " + (f"after {after}" if after else answer.json()["error"])
    odd = "" if "expires_in" in answer.json() else " no expires_in"
    return answer.json(), f"renewal {answer.status_code}{odd}"


def oauth_walk(desk: FeedServer, refresh_token: str) -> list[str]:
    met: list[str] = []
    walker, needs_token = Walker(desk), True
    while len(met) < 12:
        if needs_token:
            pair, word = renew(desk, refresh_token)
            met.append(word)
            if pair is not None:
                refresh_token, needs_token = pair["refresh_token"], False
                walker.authorization = f"Bearer {pair['access_token']}"
            elif "invalid_grant" in word:
                break
        else:
            is_going_on = walker.step()
            met.append(walker.met[-1])
            needs_token = met[-1].startswith("401")
            if not is_going_on or met[-1].startswith("403") or (needs_token and met.count(met[-1]) > 1):
                break
    walker.connection.close()
    return met


@pytest.mark.usefixtures("quick_kill")
def test_every_scenario_of_oauth(desk: FeedServer) -> None:
    """A client with a refresh token meets what the table says, and the scenario has fired."""
    for name, expected in OAUTH_WALKS.items():
        desk.reset(tickets=TICKETS)
        refresh_token = token_pair(desk)["refresh_token"]
        desk.faults.add(name)
        assert oauth_walk(desk, refresh_token) == expected, name
        assert desk.faults.fired(name) > 0, name


def test_tables_are_complete() -> None:
    """Every scenario of the package is in one of the two tables, and says of which incident it is."""
    assert sorted({**WALKS, **OAUTH_WALKS}) == sorted(shipped_scenarios())
    for scenario in shipped_scenarios().values():
        assert scenario.incident.startswith("https://"), scenario.name
        assert scenario.description.endswith("."), scenario.name


def test_what_is_recorded(desk: FeedServer) -> None:
    """Each firing says which request it was, and joins the record of that; only what was sent counts as given."""
    desk.faults.add("cut-inside-body")
    desk.faults.add("cut-after-body", times=1)
    walker = Walker(desk).walk()
    assert walker.met == ["40", "cut 50%", "cut 50%", "40", "40 end"]
    firings = desk.faults.firings()
    assert [(f.scenario, f.number, f.status, f.is_cut) for f in firings] == [
        ("cut-inside-body", 2, 200, True),
        ("cut-after-body", 2, 200, True),
        ("cut-inside-body", 3, 200, True),
    ]
    records = {record.request_id: record for record in desk.requests()}
    assert [records[firing.request_id].query["cursor"] for firing in firings] == [firings[0].query["cursor"]] * 3
    assert all(abs(records[firing.request_id].at - firing.at) < 5 for firing in firings)
    (consumer,) = desk.consumers()
    assert (consumer.consumer.pages, consumer.consumer.tickets, consumer.gaps) == (3, TICKETS, [])


def test_what_counts_as_given(desk: FeedServer) -> None:
    """Made-up answers, truncated ones and cut ones give nothing; a body that was sent to its last byte is given."""
    for name, pages, tickets in (
        ("rate-limit-storm", 3, TICKETS),
        ("html-with-200", 3, TICKETS),
        ("truncated-gzip", 3, TICKETS),
        ("empty-page", 4, TICKETS),
        ("cut-after-body", 5, TICKETS + 2 * PAGE),
        ("repeated-cursor", 4, TICKETS + PAGE),
    ):
        desk.reset(tickets=TICKETS)
        desk.faults.add(name)
        Walker(desk).walk()
        (consumer,) = desk.consumers()
        assert (consumer.consumer.pages, consumer.consumer.tickets) == (pages, tickets), name
        assert not consumer.gaps, name


def test_for_one_token(desk: FeedServer) -> None:
    """With a token, requests that carry it count, whatever way; others and those of nobody do not."""
    pair = token_pair(desk)
    by_token, by_access = requests.auth._basic_auth_str(*desk.auth), f"Bearer {pair['access_token']}"
    for token, authorization, is_hit in (
        (desk.token, by_token, True),
        (desk.token, f"Bearer {desk.token}", True),
        (desk.token, by_access, False),
        (pair["access_token"], by_access, True),
        (pair["access_token"], by_token, False),
        (None, by_token, True),
        (None, by_access, True),
        (None, "Bearer wrong", False),
    ):
        desk.faults.clear()
        desk.faults.add("not-an-admin", token=token)
        met = Walker(desk, authorization=authorization)
        met.step()
        met.connection.close()
        assert (desk.faults.fired("not-an-admin") == 1) is is_hit, (token, authorization, met.met)
    desk.faults.clear()
    desk.faults.add("token-endpoint-503", token=pair["refresh_token"])
    assert renew(desk, pair["refresh_token"])[1] == "renewal 503 after 1"
    assert requests.post(f"{desk.url}/oauth/tokens", json={**CLIENT, "grant_type": "client_credentials"}).ok


def test_own_scenarios(desk: FeedServer, tmp_path: Path) -> None:
    """A file and an object act as those of the package do; what is wrong is one line that names file and key."""
    file = tmp_path / "mine.toml"
    text = """
name = "mine"
description = "Two of three pages fail."
times = 2
[when]
request = 2
[what]
status = 418
headers = { Retry-After = "7", X-Odd = "{http_date-5}" }
body = '{"error":"teapot"}'
"""
    file.write_text(text)
    for scenario in (file, str(file), read_scenario_file(file)):
        desk.faults.add(scenario)
        assert Walker(desk).walk().met == ["40", *['418 after 7 {"error":"teapot"}'] * 2, "40", "40 end"]
        desk.faults.clear()
    for bad, message in (
        (text.replace("418", "41.8"), "mine.toml: what.status: expected `int | null`, got `float`"),
        (text + "unknown = 1", "mine.toml: what.unknown: there is no such key"),
        ("name = ", "mine.toml is not TOML"),
        ("", "mine.toml: name: is missing"),
    ):
        file.write_text(bad)
        with pytest.raises(BadInput) as raised:
            desk.faults.add(file)
        assert message in str(raised.value)
        assert len(str(raised.value).splitlines()) == 1
    with pytest.raises(BadInput, match="cannot be read"):
        desk.faults.add(tmp_path / "none.toml")
    with pytest.raises(InvalidValue, match="did you mean stuck-cursor"):
        desk.faults.add("stuck-curser")
    with pytest.raises(InvalidValue, match="times must be"):
        desk.faults.add("stuck-cursor", times=0)


def test_after_an_event(desk: FeedServer) -> None:
    """A scenario can wait for the end of the first walk, or for a new token."""
    failing = {"status": 503, "body": ""}
    for after, expected in (("end_of_stream", ["40", "40", "40 end"]), ("token", ["40", "40", "40 end"])):
        desk.faults.add({"name": "later", "description": "Later.", "when": {"after": after}, "what": failing})
        assert Walker(desk).walk().met == expected
        assert requests.post(f"{desk.url}/oauth/tokens", json={**CLIENT, "grant_type": "client_credentials"}).ok
        walker = Walker(desk)
        walker.step()
        walker.connection.close()
        assert walker.met == ["503 "], after


def test_what_is_not_there_stays_away(desk: FeedServer) -> None:
    """Several scenarios may change one page, and one that removes keys is not about an answer without any."""
    pages = [
        {"after_url": "missing"},
        {"cursor": "stuck"},
        {"records": "none"},
        {"records": "repeat"},
        {"cursor": "null"},
    ]
    effects: list[dict[str, Any]] = [*({"page": page} for page in pages), {"remove_keys": ["tickets", "count"]}]
    for order in (effects, effects[::-1]):
        for number, what in enumerate(order):
            desk.faults.add({"name": f"edit-{number}", "description": "Edits.", "times": 9, "what": what})
        for export in ("tickets/cursor", "tickets", "users", "ticket_events"):
            address = f"{desk.url}/api/v2/incremental/{export}?start_time=0"
            assert [requests.get(address, auth=desk.auth).status_code for _ in range(2)] == [200, 200], (export, order)
        desk.faults.clear()
    desk.faults.add({"name": "keys", "description": "Keys.", "when": {"address": "*"}, "what": effects[-1]})
    assert requests.delete(f"{desk.url}/api/v2/tickets/1", auth=desk.auth).status_code == 204
    assert desk.faults.fired("keys") == 0


def test_other_requests_are_left_alone(desk: FeedServer) -> None:
    """Scenarios of exports do not touch the rest, and none touches the clock, the scenarios or the process itself."""
    anything = {"name": "all", "description": "All.", "times": 100, "when": {"address": "*"}, "what": {"cut": "head"}}
    desk.faults.add("not-an-admin")
    assert requests.get(f"{desk.url}/api/v2/users/me", auth=desk.auth).ok
    desk.faults.add(anything)
    with pytest.raises(requests.ConnectionError):
        requests.get(f"{desk.url}/api/v2/users/me", auth=desk.auth)
    assert len(desk.get(f"{EXPORT}?start_time=0")["tickets"]) > 0
    for path in ("clock", "faults", "health"):
        assert requests.get(f"{desk.url}/_ticketfeed/{path}", auth=desk.auth).ok
    desk.faults.clear()
    assert requests.get(f"{desk.url}/api/v2/users/me", auth=desk.auth).ok


def test_dates_by_the_accounts_clock(desk: FeedServer) -> None:
    """Date and the date of Retry-After go by the account's clock, with a scenario and without one."""
    desk.clock.set("2031-02-03T04:05:06Z")
    desk.clock.freeze()
    shown = requests.get(f"{desk.url}{EXPORT}?start_time=0", auth=desk.auth).headers
    assert shown["date"] == "Mon, 03 Feb 2031 04:05:06 GMT"
    desk.faults.add("rate-limit-date")
    desk.faults.add("clock-skew")
    for _ in range(2):
        answer = requests.get(f"{desk.url}{EXPORT}?start_time=0", auth=desk.auth)
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "Mon, 03 Feb 2031 04:05:08 GMT")
    assert "date" in answer.headers
    assert answer.headers["date"].count("GMT") == 1


def test_cut_bytes(desk: FeedServer) -> None:
    """`cut_after_bytes` is exact; more than there are is the whole body without its end."""
    for size, word in ((0, "cut 0%"), (1, "cut 0%"), (10**9, "cut")):
        desk.faults.add({"name": "cut", "description": "Cut.", "what": {"cut_after_bytes": size}})
        walker = Walker(desk)
        walker.step()
        walker.connection.close()
        assert walker.met == [word]
