"""Host -> account."""

import asyncio
import json

import pytest

from tests.server.desk import ALL, PATH, Desk, ids, tickets
from ticketfeed.protocol.model import Account
from ticketfeed.server.api import accounts


@pytest.mark.parametrize(
    ("host", "ticket"),
    [
        ("acme.zendesk.com", 1),
        ("ACME.Zendesk.COM:443", 1),
        ("acme", 1),
        ("acme:8080", 1),
        ("acme.localhost.", 1),
        ("other.localhost", 2),
        ("other.acme.localhost", 2),
    ],
)
def test_several_accounts(host: str, ticket: int) -> None:
    """The first label of the host names the account, in any case, whatever follows."""
    desk = Desk(accounts=("acme", "other"))
    desk.put("tickets", *tickets(1), account="acme")
    desk.put("tickets", *tickets(2), account="other")
    assert ids(desk.page(ALL, host=host)) == [ticket]


ADDRESSES = ["127.0.0.1:8080", "[::1]:8080", "[fe80::1]", "localhost", "LOCALHOST:80", "localhost.", "10.0.0.7"]


@pytest.mark.parametrize("host", [*ADDRESSES, "a_b.example", "1.example", "x" * 253])
def test_one_account(host: str) -> None:
    """A store with one account answers any host, until a second account is made."""
    desk = Desk()
    assert desk.ask(host=host).status == 200
    Desk.__init__(desk, accounts=("acme", "other"))
    answer = desk.ask(host=host)
    if host in ADDRESSES:
        assert answer.status == 200
        return
    title = f"No help desk at {host}"
    message = "There is no help desk configured at this address. Check the account's name in the host."
    assert (answer.status, json.loads(answer.body)) == (404, {"error": {"title": title, "message": message}})


@pytest.mark.parametrize("host", ADDRESSES)
def test_default_account(host: str, engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host that is an address or localhost reaches the first account, or the chosen one, at once; a name its own."""
    desk = Desk(accounts=("acme", "other", "10", "localhost"))
    if engine == "citus":  # within a second then
        monkeypatch.setattr(accounts, "DEFAULT_SECONDS_MAX", 0.0)
    desk.put("tickets", *tickets(1), account="acme")
    desk.put("tickets", *tickets(2), account="other")
    assert ids(desk.page(ALL, host=host)) == [1]
    for name, found in (("other", [2]), ("acme", [1])):
        account = next(each for each in asyncio.run(desk.store.list_accounts()) if each.subdomain == name)
        asyncio.run(desk.store.put_default_account(account))
        assert ids(desk.page(ALL, host=host)) == found
    assert ids(desk.page(ALL, host="other.localhost")) == [2]


def test_account_made_later() -> None:
    """An account that is made while the server runs is found, and one known stays known."""
    desk = Desk(accounts=())
    assert desk.ask().status == 404
    for name in ("acme", "other"):
        desk.put("users", {"id": 1, "email": "a@example.com", "role": "admin"}, account=make(desk, name))
        desk.grant(1, "t", account=name)
        assert desk.ask(host=f"{name}.localhost", authorization="Bearer t").status == 200
    assert desk.ask(host="acme.localhost", authorization="Bearer t").status == 200
    assert desk.ask(host="third.localhost", authorization="Bearer t").status == 404


def make(desk: Desk, name: str) -> str:
    return asyncio.run(desk.store.create_account(name)).subdomain


@pytest.mark.parametrize(
    "host",
    [
        *(None, "", " ", "a b", "a/b", "a@b", "user:pass@acme", "acme:port", "acme:", "acme:123456", "acme,other"),
        *("acme\x00", "\xe9.example", "x" * 300, "[::1", "::1", "[]", "[x]", "[::1]x", "?", "#", "acme%2e"),
    ],
)
def test_malformed(host: str | None) -> None:
    """What cannot be a host is a 400 that says so, never an after_url."""
    answer = Desk().ask(host=host)
    body = {"error": {"title": "Invalid attribute", "message": "The Host header is not a host name"}}
    assert (answer.status, json.loads(answer.body)) == (400, body)


@pytest.mark.parametrize(
    "host", ["[::::::]", "[1.2.3]", "[:.]", "[12345::]", "....", "-", "acme:99999", "[::ffff:1.2.3.4]:1"]
)
def test_odd(host: str) -> None:
    """A host that only looks like one is answered, and repeated as it was."""
    desk = Desk()
    desk.put("tickets", *tickets(1))
    assert desk.page(ALL, host=host)["after_url"].startswith(f"http://{host}{PATH}?")


def test_a_host_that_names_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """It costs the same however many accounts there are, since anybody can ask for it."""
    desk, limits = Desk(accounts=("acme", "other", "third")), []
    listed = desk.store.list_accounts

    async def list_accounts(*, limit: int, current: bool = True) -> list[Account]:
        limits.append(limit)
        return await listed(limit=limit, current=current)

    monkeypatch.setattr(desk.store, "list_accounts", list_accounts)
    for number in range(3):
        assert desk.ask(host=f"nobody{number}.example").status == 404
    assert desk.ask(host="acme.example").status == 200
    assert limits == [2] * 4
