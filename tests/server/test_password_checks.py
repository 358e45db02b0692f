"""Wrong passwords: how many are checked, whom they slow down, and whom they do not."""

import asyncio
import json
import re
from collections.abc import Hashable
from typing import Any

import pytest

from tests.server.browser import Browser, desk_of
from tests.server.desk import ADMIN, ALL, Desk, basic
from ticketfeed.inprocess import Answer, call_app
from ticketfeed.protocol.errors import StoreUnavailable
from ticketfeed.server.api import password_checks
from ticketfeed.server.api.password_checks import ADDRESS_FAILURES, LINE_MAX, NAME_FAILURES, Failures, PasswordChecks
from ticketfeed.settings import Settings

METRICS_TOKEN = "metrics-token-of-this-test"
GOOD = basic("admin@example.com:correct horse")


@pytest.fixture
def checked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The passwords that were checked; the hashes of these tests cost nothing."""
    found: list[str] = []

    def is_password(password: str, stored: str) -> bool:
        found.append(password)
        return stored == f"plain {password}"

    monkeypatch.setattr(password_checks, "is_password", is_password)
    return found


def grant(desk: Desk, password: str, user_id: int = 1) -> int:
    """A password whose hash is the password."""
    account = desk._account("acme")
    work = desk.store.write(account, lambda write: write.add_credential(user_id, "password", f"plain {password}"))
    return asyncio.run(work)


def checks_of(desk: Desk) -> PasswordChecks:
    found: PasswordChecks = desk.app.state.service.authenticate._passwords
    return found


def refused(desk: Desk) -> dict[str, float]:
    text = desk.ask("/_ticketfeed/metrics", authorization=f"Bearer {METRICS_TOKEN}").body.decode()
    rows = re.findall(r'ticketfeed_credentials_refused_total\{account="acme",reason="(\w+)"\} (\S+)', text)
    return {reason: float(count) for reason, count in rows}


def test_how_many_failures_are_allowed() -> None:
    """A number at once, then one each so many seconds; what did not fail is not counted; each key by itself."""
    failures, key = Failures(3, 10.0), ("acme", "a@example.com")

    def allowed(now: float, key: Hashable = key) -> bool:
        if failures.wait_seconds(key, now) > 0:
            return False
        failures.add(key, now)
        return True

    assert [allowed(100.0) for _ in range(5)] == [True, True, True, False, False]
    assert failures.wait_seconds(key, 100.0) == 10.0
    assert allowed(100.0, ("acme", "b@example.com"))
    assert [allowed(109.9), allowed(110.0), allowed(110.0)] == [False, True, False]
    failures.take_back(key)
    failures.take_back("never seen")
    assert [allowed(110.0), allowed(110.0)] == [True, False]
    assert [allowed(1000.0) for _ in range(4)] == [True, True, True, False]


def test_wrong_passwords_slow_down_their_sender(checked: list[str]) -> None:
    """After twenty wrong passwords an address gets 429, unchecked, whatever name and password it sends, on the API and
    in the form. A password that is known to be right, tokens and other addresses are not concerned. It is over after a
    while."""
    desk = Desk(settings=Settings(metrics_token=METRICS_TOKEN))
    grant(desk, "correct horse")
    now = 1000.0
    checks_of(desk)._monotonic = lambda: now

    def status(name: str, password: str, client: str = "192.0.2.1", target: str = ALL) -> int:
        return desk.ask(target, authorization=basic(f"{name}:{password}"), client=client).status

    assert desk.ask(authorization=GOOD, client="192.0.2.1").status == 200
    limit, seconds = ADDRESS_FAILURES
    assert [status(f"u{number % 3}@example.com", f"wrong {number}") for number in range(limit + 5)] == [
        *[401] * limit,
        *[429] * 5,
    ]
    assert len(checked) == 1 + limit
    answer = desk.ask(authorization=basic("admin@example.com:wrong"), client="192.0.2.1")
    assert (answer.status, answer.headers["retry-after"]) == (429, "10")
    assert json.loads(answer.body) == {
        "error": "APIRateLimitExceeded",
        "description": "Too many failed attempts to sign in. Try again in 10 seconds",
    }
    assert status("x@example.com", "wrong", target="/api/v2/users/me") == 429  # otherwise the anonymous user
    browser = Browser(desk)
    browser.client = "192.0.2.1"
    form = browser.sign_in(secret="wrong")
    assert (form.status, form.headers["retry-after"]) == (429, "10")
    assert b"Too many failed attempts to sign in. Try again in 10 seconds." in form.body
    for authorization in (GOOD, ADMIN):
        assert desk.ask(authorization=authorization, client="192.0.2.1").status == 200
    assert browser.sign_in(secret="correct horse").status == 303
    # A change of the account makes it look up who is behind a header; the password is still known.
    desk.put("users", {"id": 9, "email": "x@example.com", "role": "agent"})
    assert desk.ask(authorization=GOOD, client="192.0.2.1").status == 200
    assert len(checked) == 1 + limit
    assert status("u1@example.com", "wrong", "192.0.2.2") == 401
    assert refused(desk) == {"password": limit + 1, "unchecked": 8, "token": 2}  # the form tries both
    now += seconds
    assert [status("u1@example.com", "wrong") for _ in range(2)] == [401, 429]


def test_wrong_passwords_slow_down_a_name(checked: list[str]) -> None:
    """After thirty wrong passwords from many addresses a name has to wait. An IPv6 network is one address, and an IPv4
    address is the same in IPv6; so one sender alone keeps nobody out."""
    desk = Desk()
    grant(desk, "correct horse")
    checks_of(desk)._monotonic = lambda: 1000.0
    wrong = basic("admin@example.com:wrong")

    def ask(client: str, authorization: str = wrong) -> int:
        return desk.ask(authorization=authorization, client=client).status

    at_once = ADDRESS_FAILURES[0]
    assert [ask(f"2001:db8::{number:x}") for number in range(at_once + 1)] == [*[401] * at_once, 429]
    assert ask("2001:db8:0:1::1") == 401
    left = NAME_FAILURES[0] - at_once - 1
    assert [ask(("::ffff:" if number % 2 else "") + "192.0.2.1") for number in range(left)] == [401] * left
    assert [ask("192.0.2.9"), ask("192.0.2.9", GOOD)] == [429, 429]
    assert ask("192.0.2.9", basic("other@example.com:wrong")) == 401
    assert len(checked) == NAME_FAILURES[0] + 1


def test_what_is_known_to_be_right_is_of_one_password(checked: list[str]) -> None:
    """A password that was right is refused once it is replaced, and is no password of another user or account."""
    desk = Desk(accounts=("acme", "other"))
    credential = grant(desk, "correct horse")
    desk.put("users", {"id": 9, "email": "x@example.com", "role": "admin"})
    grant(desk, "another horse", 9)
    assert [desk.ask(authorization=GOOD).status for _ in range(2)] == [200, 200]
    assert checked == ["correct horse"]
    assert desk.ask(authorization=basic("x@example.com:correct horse")).status == 401
    assert desk.ask(authorization=GOOD, host="other.localhost").status == 401
    desk.revoke(credential)
    grant(desk, "battery staple")
    assert desk.ask(authorization=GOOD).status == 401
    assert desk.ask(authorization=basic("admin@example.com:battery staple")).status == 200


def test_checks_stand_in_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """One password is checked at a time. Connections that send the same one share its check; beyond so many in line
    the next gets 429. A failure of the store counts for nobody."""
    desk = desk_of()
    running, most, checks = 0, 0, 0

    def is_password(password: str, _stored: str) -> bool:
        nonlocal running, most, checks
        running, checks = running + 1, checks + 1
        most = max(most, running)
        running -= 1
        return password == "right"

    monkeypatch.setattr(password_checks, "is_password", is_password)
    desk.grant(1, "right", "password")

    async def ask(number: int, password: str) -> Answer:
        name = f"u{number}@example.com" if password != "right" else "admin@example.com"
        sent = [("authorization", basic(f"{name}:{password}"))]
        client = f"192.0.2.{number % 200}"
        return await call_app(desk.app, ALL, host="acme.localhost", headers=sent, client=client)

    async def many(count: int, password: str) -> list[int]:
        answers = await asyncio.gather(*[ask(number, password) for number in range(count)])
        return [answer.status for answer in answers]

    assert asyncio.run(many(40, "right")) == [200] * 40
    assert (checks, most) == (1, 1)
    assert sorted(asyncio.run(many(LINE_MAX + 10, "wrong"))) == [*[401] * LINE_MAX, *[429] * 10]
    assert (checks, most) == (1 + LINE_MAX, 1)

    async def away(*_args: Any) -> Any:
        raise StoreUnavailable("away")

    monkeypatch.setattr(desk.store, "find_passwords", away)
    statuses = {asyncio.run(ask(300, f"never {number}")).status for number in range(ADDRESS_FAILURES[0] + 5)}
    assert statuses == {503}
