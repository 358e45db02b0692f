"""What pages of other origins can make a browser do here: nothing in the name of its user."""

import pytest
from starlette.routing import Route

from tests.server.desk import ADMIN, ALL, Desk, basic

OWN = [
    [],
    [("Sec-Fetch-Site", "none")],
    [("Sec-Fetch-Site", "same-origin"), ("Origin", "https://behind-a-proxy.example")],
    [("Origin", "http://acme.localhost")],
]
FOREIGN = [
    [("Sec-Fetch-Site", "cross-site")],
    [("Sec-Fetch-Site", "same-site"), ("Origin", "http://acme.localhost")],
    [("Origin", "https://elsewhere.example")],
    [("Origin", "null")],
    [("Origin", "http://acme.localhost:8080")],
]
SIMPLE = ["text/plain", "text/plain; charset=UTF-8", "application/x-www-form-urlencoded", "multipart/form-data", None]


@pytest.mark.parametrize("authorization", [None, basic("admin@example.com:wrong"), basic("a@example.com/token:wrong")])
def test_basic_is_not_offered_to_other_origins(authorization: str | None) -> None:
    """A browser that asks in the name of another page's origin is not told to ask its user for a password."""
    desk = Desk()

    def offered(headers: list[tuple[str, str]]) -> str:
        answer = desk.ask(ALL, authorization=authorization, headers=headers)
        assert answer.status == 401
        return str(answer.headers["www-authenticate"])

    assert {offered(headers) for headers in OWN} == {'Basic realm="Web Password"'}
    assert {offered(headers) for headers in FOREIGN} == {"Bearer"}


def test_writes_that_a_foreign_page_can_forge() -> None:
    """With the password that a browser remembers, a page of another origin can make it send GET and POST as it is, but
    no JSON: such a POST is refused. What needs the consent of the server, and clients that are no browser, are not."""
    desk = Desk()
    body = b'{"ticket":{"comment":"x"}}'

    def send(headers: list[tuple[str, str]], content_type: str | None, authorization: str = ADMIN) -> int:
        typed = [] if content_type is None else [("Content-Type", content_type)]
        return desk.post("/tickets", body, [*headers, *typed, ("Authorization", authorization)]).status

    for headers in FOREIGN:
        assert [send(headers, content_type) for content_type in SIMPLE] == [403] * len(SIMPLE)
        assert send(headers, "application/json; charset=utf-8") == 201
        assert send(headers, "text/plain", "Bearer admin-token") == 201
    for headers in OWN:
        assert [send(headers, content_type) for content_type in SIMPLE] == [201] * len(SIMPLE)
    assert len(desk.changes()) == 2 * len(FOREIGN) + len(SIMPLE) * len(OWN)


def test_no_page_can_be_framed() -> None:
    """Every page forbids pages of other origins to show it inside of theirs, whoever asks, an error as well."""
    desk, wrong, pages = Desk(), [], 0
    for route in desk.app.router.routes:
        assert isinstance(route, Route)
        for authorization in (ADMIN, basic("admin@example.com/token:wrong"), None):
            path = route.path.replace("{name}", "page.css").replace("{", "1").replace("}", "")
            answer = desk.ask(path, authorization=authorization)
            if answer.headers.get("content-type", "text/html").startswith("text/html"):
                pages += 1
                if "frame-ancestors 'none'" not in answer.headers.get("content-security-policy", ""):
                    wrong.append((path, answer.status))
    assert wrong == []
    assert pages > 20
