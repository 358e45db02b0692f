"""What the access log, the traces and the dashboard tell of a request's parameters."""

import asyncio
from urllib.parse import quote, urlencode

import pytest

from tests.server.browser import BASE, desk_of
from ticketfeed.server.middleware.access_log import logged_query

TOLD = {
    "page[size]": "50",
    "page[after]": "eyJvIjoi",
    "page": "3",
    "query": 'type:ticket subject:"Zoë & co" token',
    "sort_by": "updated_at",
    "ids": "1,2,3",
    "decode": "yes",
    "keyboard": "qwerty",
    "redirect_to": "https://example.com/a?page=2",
}
SECRET_NAMES = (
    *(
        "token",
        "access_token",
        "refresh_token",
        "client_secret",
        "secret",
        "password",
        "code",
        "TOKEN",
        "apiKey",
        "key",
    ),
    *("api_key", "code_verifier", "page[token]", "user.password", "x-signature", "auth-code", "id%5Ftoken"),
)


def test_every_parameter_is_told() -> None:
    """Each parameter is told as it was sent; the last of several with one name counts."""
    query = f"page=1&{urlencode(TOLD)}&empty="
    assert logged_query(query.encode()) == TOLD


@pytest.mark.parametrize("name", SECRET_NAMES)
def test_secrets_are_masked(name: str) -> None:
    """A value with the name of a secret is masked, also in an address inside another value."""
    assert "hunter2" not in repr(told := logged_query(f"per_page=1&{name}=hunter2".encode()))
    assert [*told.values()] == ["1", "REDACTED"]
    inside = quote(f"https://example.com/a?x=1&{name}=hunter2&y=2#{name}=hunter2")
    told = logged_query(f"return_to={inside}".encode())
    assert told["return_to"].startswith("https://example.com/a?x=1&")
    assert "hunter2" not in told["return_to"]


def test_what_is_told_is_short_and_plain() -> None:
    """Long names, long values, many parameters and bytes that no line can bear have an end."""
    many = "&".join(f"n{number}=v" for number in range(1000))
    assert len(logged_query(many.encode())) == 30
    ((name, value),) = logged_query(b"n" * 500 + b"=" + b"v" * 5000).items()
    assert (len(name), len(value)) == (60, 500)
    assert logged_query(b"a%00=%00b%0a%1b[31m") == {"a ": " b  [31m"}


def test_the_dashboard_shows_them() -> None:
    """The dashboard's requests have every parameter, as text, and no secret."""
    desk = desk_of()
    desk.ask("/api/v2/tickets.json?page[size]=2&sort_by=updated_at&query=%3Cb%3Ex%3C/b%3E&client_secret=hunter2")
    asyncio.run(desk.app.state.service.usage_tracker.flush())
    page = desk.ask(f"{BASE}requests").body.decode()
    for shown in ("page[size]=2", "sort_by=updated_at", "query=&lt;b&gt;x&lt;/b&gt;", "client_secret=REDACTED"):
        assert shown in page
    assert "hunter2" not in page
