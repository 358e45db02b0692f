"""Numbers of thousands of digits, wherever a number can be sent."""

import re
from urllib.parse import quote

from tests.server.desk import Desk, tickets
from ticketfeed.server.api.routes import API_ROUTES
from ticketfeed.server.dashboard.views import VIEWS

NUMBERS = ("9" * 5000, f"-{'9' * 5000}", f"+{'0' * 5000}1", str(2**63))


def test_every_address() -> None:
    """In a path such a number is 404 or 400, in a parameter and in a body it is no 5xx: on every address of the API, of
    the dashboard, and of the feed's hashes."""
    desk = Desk()
    desk.put("tickets", *tickets(1, 2))
    wrong = []

    def ask(method: str, target: str, allowed: range) -> None:
        status = desk.ask(target, method=method).status
        if status not in allowed:
            wrong.append((status, method, target[:100]))

    for number in NUMBERS:
        for route in API_ROUTES:
            if "{" in route.path:
                allowed = range(200, 500) if "{locale}" in route.path else range(400, 405)
                path = re.sub(r"\{\w+(:int)?\}", quote(number), route.path)
                ask(route.method, f"/api/v2{path}", allowed)
            for name in route.parameters if "{" not in route.path else ():
                ask(route.method, f"/api/v2{route.path}?{quote(name)}={quote(number)}", range(200, 500))
        for path in VIEWS:
            query = "&".join(f"{name}={quote(number)}" for name in ("at", "page", "cursor"))
            target = f"/_ticketfeed/{path.replace('{id}', quote(number))}?{query}&after={quote(number)}-{quote(number)}"
            ask("GET", target, range(404, 405) if "{id}" in path else range(200, 500))
        for name in ("after", "until", "id_from", "id_to", "buckets"):
            ask("GET", f"/_ticketfeed/feed_hash?{name}={quote(number)}", range(200, 500))
    assert wrong == []
    for number in (NUMBERS[0].encode(), str(2**63).encode()):
        for kind in ("ticket", "user"):
            body = b'{"%s":{"id":%s,"requester_id":%s,"organization_id":%s}}' % (kind.encode(), number, number, number)
            desk.send("POST", f"/{kind}s", body, expect=422)
            desk.send("PUT", f"/{kind}s/1", body, expect=422)
    desk.send("POST", "/tickets", b"{}", expect=413, headers=[("Content-Length", NUMBERS[0])])
