"""The server for test suites, without pytest's fixture."""

import time

import pytest
import requests

from ticketfeed.protocol.errors import TicketfeedError
from ticketfeed.testing import serve_desk

PATH = "/api/v2/incremental/tickets/cursor"


def test_serve_desk() -> None:
    """A block with a server; afterwards nothing listens."""
    with serve_desk(tickets=5, seed=2) as desk:
        page = requests.get(f"{desk.url}{PATH}?start_time=0&support_type_scope=all", auth=desk.auth).json()
        assert len(page["tickets"]) == 5
        forbidden = requests.get(f"{desk.url}{PATH}?start_time=0", auth=(f"{desk.agent_email}/token", desk.agent_token))
        assert forbidden.status_code == 403
    with pytest.raises(requests.ConnectionError):
        requests.get(desk.url)


def test_writing_over_http() -> None:
    """What a client writes can be read once the clock has gone on; a job that it started is finished by then."""
    with serve_desk(tickets=5) as desk:
        body = {"tickets": [{"subject": "one", "comment": {"body": "x"}}, {"subject": "two", "comment": {"body": "x"}}]}
        job = requests.post(f"{desk.url}/api/v2/tickets/create_many", json=body, auth=desk.auth).json()["job_status"]
        while job["status"] != "completed":
            job = desk.get(f"/api/v2/job_statuses/{job['id']}")["job_status"]
        desk.clock.advance(2)
        found = desk.get(f"{PATH}?start_time={desk.clock.now - 60}")["tickets"]
        assert {ticket["subject"] for ticket in found} == {"one", "two"}


def test_snapshots() -> None:
    """A rewind puts back tickets, the clock and what is known of readers; a fork is another account."""
    with serve_desk(tickets=20) as desk:

        def read(host: str = "demo", **query: int) -> set[int]:
            asked = {"start_time": 0, "support_type_scope": "all", **query}
            answer = requests.get(f"{desk.url}{PATH}", asked, auth=desk.auth, headers={"Host": f"{host}.localhost"})
            return {ticket["id"] for ticket in answer.json()["tickets"]}

        first = read()
        desk.snapshot.save()
        for _ in range(3):
            desk.put("tickets", {"id": 90_000, "subject": "new"})
            desk.clock.advance("10d")
            assert desk.verdict().pending == 1
            assert read() == {*first, 90_000}
            assert desk.verdict().outcome == "PASS"
            desk.snapshot.rewind()
            assert abs(desk.clock.now - time.time()) < 60
            assert read() == first
            assert [reader.consumer.requests for reader in desk.consumers()] == [2]
        desk.snapshot.save("b")
        desk.snapshot.fork("b", "copy")
        assert read("copy") == first
        assert desk.snapshot.names() == ["saved", "b"]
        desk.snapshot.delete("b")
        with pytest.raises(TicketfeedError, match="there are: saved"):
            desk.snapshot.rewind("b")


def test_bad_records_and_paths() -> None:
    """They are refused with one of the package's own errors."""
    with serve_desk(tickets=1) as desk:
        with pytest.raises(TicketfeedError):
            desk.put("tickets", {"subject": "no id"})
        with pytest.raises(TicketfeedError, match="404"):
            desk.get("/api/v2/nothing")
        with pytest.raises(TicketfeedError, match="nothing"):
            desk.put("nothing", {"id": 1})


def test_a_month_in_milliseconds() -> None:
    """A connector that renews tokens reads through a day of half-hour tokens; a month closes and scrubs tickets."""
    rules = {"close_solved_days": 4, "scrub_deleted_days": 30}
    with serve_desk(tickets=30, rules=rules) as desk:
        asked = {"grant_type": "client_credentials", "client_id": "demo-client", "client_secret": "demo-secret"}

        def renew() -> dict[str, str]:
            token = requests.post(f"{desk.url}/oauth/tokens", json=asked).json()["access_token"]
            return {"Authorization": f"Bearer {token}"}

        headers, cursor, renewals = renew(), "start_time=0", 0
        seen = set()
        for hour in range(24):
            desk.put("tickets", {"id": 90_000 + hour, "subject": "x"})
            address = f"{desk.url}{PATH}?{cursor}"
            answer = requests.get(address, headers=headers)
            if answer.status_code == 401:
                assert answer.json()["error"] == "invalid_token"
                headers, renewals = renew(), renewals + 1
                answer = requests.get(address, headers=headers)
            page = answer.json()
            seen |= {ticket["id"] for ticket in page["tickets"]}
            cursor = f"cursor={page['after_cursor']}"
            desk.clock.advance("1h")
        assert renewals == 23
        assert seen >= set(range(90_000, 90_024))
        desk.put(
            "tickets", {"id": 95_000, "subject": "secret", "status": "deleted"}, {"id": 95_001, "status": "solved"}
        )
        desk.clock.advance("31d")
        desk.clock.advance(1)
        after = {ticket["id"]: ticket for ticket in desk.get(f"{PATH}?start_time=0")["tickets"]}
        assert (after[95_000]["subject"], after[95_001]["status"]) == ("SCRUBBED", "closed")
        desk.clock.freeze()
        stands = desk.clock.now
        desk.clock.set("2030-01-01T00:00:00Z")
        assert desk.clock.now == 1_893_456_000 > stands
        desk.clock.resume()
        desk.clock.reset()
        assert abs(desk.clock.now - time.time()) < 60
