"""The server for test suites, without pytest's fixture."""

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


def test_bad_records_and_paths() -> None:
    """They are refused with one of the package's own errors."""
    with serve_desk(tickets=1) as desk:
        with pytest.raises(TicketfeedError):
            desk.put("tickets", {"subject": "no id"})
        with pytest.raises(TicketfeedError, match="404"):
            desk.get("/api/v2/nothing")
        with pytest.raises(TicketfeedError, match="nothing"):
            desk.put("nothing", {"id": 1})
