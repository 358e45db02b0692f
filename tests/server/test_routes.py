"""The table of routes: each row says truly who may call its address, and what it counts against."""

import re

import pytest

from tests.server.desk import Desk
from ticketfeed.protocol.rate_limits import RATE_LIMITS
from ticketfeed.server.api.call import ApiRoute
from ticketfeed.server.api.parameters import PARAMETERS
from ticketfeed.server.api.routes import API_ROUTES
from ticketfeed.settings import Settings

ROLES = ("end-user", "agent", "admin")


def test_who_may_call() -> None:
    """Lower roles than the row's are refused, and it and higher ones are not; a stranger needs an open address."""
    desk = Desk()
    for id, role in ((11, "end-user"), (12, "agent")):
        desk.put("users", {"id": id, "email": f"{role}@example.com", "role": role})
        desk.grant(id, f"{role}-token")
    wrong = []
    for route in API_ROUTES:
        if route.path == "/audit_logs":  # an admin is refused in the same words
            continue
        target = "/api/v2" + re.sub(r"\{\w+\}", "999", route.template)
        lowest = ROLES.index("end-user" if route.role == "anybody" else route.role)
        for rank, role in enumerate(ROLES):
            answer = desk.ask(target, method=route.method, authorization=f"Bearer {role}-token")
            is_refused = answer.status == 403 and b"You do not have access to this page" in answer.body
            if is_refused != (rank < lowest):
                wrong.append(f"{route.method} {route.path} as {role}: {answer.status}")
        status = desk.ask(target, method=route.method, authorization=None).status
        if (status == 401) != (route.role != "anybody"):
            wrong.append(f"{route.method} {route.path} without credentials: {status}")
    assert wrong == []


def test_rows_name_what_exists() -> None:
    """Each rate limit, parameter and status of a row is known, and no two rows are of one address and method."""
    for route in API_ROUTES:
        assert route.rate_limit is None or route.rate_limit in RATE_LIMITS
        assert set(route.parameters) <= set(PARAMETERS)
        assert 204 not in route.statuses or not route.answer
    assert len({(route.method, route.path) for route in API_ROUTES}) == len(API_ROUTES)


@pytest.mark.parametrize("route", [route for route in API_ROUTES if route.rate_limit], ids=lambda route: route.path)
def test_a_rate_limit_of_its_own(route: ApiRoute) -> None:
    """The second request within the period is refused, where the limit of the row is one."""
    assert route.rate_limit is not None
    desk = Desk(Settings(**{route.rate_limit: 1}))
    target = f"/api/v2{route.path}?" + ("page=501&per_page=1" if route.rate_limit == "ticket_pages" else "start_time=0")
    answers = [desk.ask(target) for _ in range(2)]
    assert [answer.status for answer in answers] == [200, 429]
