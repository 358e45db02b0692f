"""Every error on the wire, to the byte, and which comes first."""

import asyncio
import json
import logging
from itertools import product
from typing import Any

import pytest

from tests.server.desk import ADMIN, ALL, NOON, PATH, Desk, basic, tickets
from ticketfeed.inprocess import call_app
from ticketfeed.logs import configure_logs
from ticketfeed.protocol.errors import StoreUnavailable
from ticketfeed.protocol.model import Account
from ticketfeed.server.app import create_app
from ticketfeed.settings import Settings
from ticketfeed.storage.contract import Credential
from ticketfeed.storage.memory import MemoryStore

TOO_RECENT = "start_time must be more than 60 seconds ago"
BAD_CURSOR = {
    "error": "InvalidCursor",
    "description": "The cursor cannot be read. Send an after_cursor from an earlier answer, unchanged",
    "errors": [{"code": "InvalidCursor", "status": "400", "title": "cursor is invalid or expired"}],
}
BAD_TIME = {"error": "InvalidValue", "description": "start_time must be a time in Unix seconds"}
BAD_PER_PAGE = {"error": "InvalidValue", "description": "per_page must be a whole number from 1 to 1000"}
NOT_AUTHENTICATED = {"error": "Couldn't authenticate you"}
NOT_FOUND = {"error": "InvalidEndpoint", "description": "Not found"}
FORBIDDEN = {
    "error": {
        "title": "Forbidden",
        "message": "You do not have access to this page. "
        "Please contact the account owner of this help desk for further help.",
    }
}


@pytest.mark.parametrize(
    ("query", "body"),
    [
        ("", {"error": "ParameterMissing", "description": "Parameter start_time is required"}),
        ("start_time=&cursor=", {"error": "ParameterMissing", "description": "Parameter start_time is required"}),
        (
            "start_time=undefined&cursor=undefined",
            {"error": "ParameterMissing", "description": "Parameter start_time is required"},
        ),
        (
            f"start_time={NOON - 59}",
            {
                "error": "StartTimeTooRecent",
                "description": "Too recent start_time. Use a start_time older than 60 seconds",
                "errors": [{"code": "StartTimeTooRecent", "status": "400", "title": TOO_RECENT}],
            },
        ),
        *(
            (f"start_time={text}", BAD_TIME)
            for text in ("x", "-1", "1e3", "0x10", "1,5", "NaN", "%D9%A3", "1%00", ".5")
        ),
        *((f"start_time=0&per_page={text}", BAD_PER_PAGE) for text in ("0", "-1", "1.5", "x", "%D9%A3", "00")),
        *((f"cursor={text}", BAD_CURSOR) for text in ("x", "MTIz", "%00", "%F0%9F", "A" * 9999, "MS4wfHwyfA")),
        ("cursor=x&start_time=0", BAD_CURSOR),
        (
            "start_time=0&support_type_scope=x",
            {"error": "InvalidValue", "description": "support_type_scope must be one of all, agent, ai_agent"},
        ),
    ],
)
def test_parameters(query: str, body: dict[str, Any]) -> None:
    """Each unusable parameter is a 400 with its body."""
    answer = Desk(Settings.of_profile("zendesk")).ask(f"{PATH}?{query}")
    assert (answer.status, json.loads(answer.body)) == (400, body)


@pytest.mark.parametrize(
    ("path", "host", "authorization", "expected"),
    [
        ("/api/v2/nothing", None, None, (404, NOT_FOUND)),
        (PATH, "", None, (400, "Invalid attribute")),
        (PATH, "elsewhere.zendesk.com", None, (404, "No help desk at elsewhere.zendesk.com")),
        (PATH, "acme.localhost", None, (401, NOT_AUTHENTICATED)),
        (PATH, "acme.localhost", basic("agent@example.com/token:agent-token"), (403, FORBIDDEN)),
        (PATH, "acme.localhost", ADMIN, (400, "ParameterMissing")),
    ],
)
def test_order(path: str, host: str | None, authorization: str | None, expected: tuple[int, Any]) -> None:
    """A request with everything wrong meets the checks in order: path, account, credentials, role, parameters."""
    desk = Desk(accounts=("acme", "other"))
    desk.put("users", {"id": 50, "email": "agent@example.com", "role": "agent"})
    desk.grant(50, "agent-token")
    answer = desk.ask(path, host=host, authorization=authorization)
    body = json.loads(answer.body)
    if isinstance(expected[1], str):
        error = body["error"]
        body = error["title"] if isinstance(error, dict) else error
    assert (answer.status, body) == expected


@pytest.mark.parametrize("role", ["agent", "end-user"])
@pytest.mark.parametrize("scheme", ["basic", "bearer"])
def test_role(role: str, scheme: str) -> None:
    """Right credentials of anyone but an admin are a 403."""
    desk = Desk()
    desk.put("users", {"id": 50, "email": "x@example.com", "role": role})
    desk.grant(50, "secret")
    answer = desk.ask(authorization=basic("x@example.com/token:secret") if scheme == "basic" else "Bearer secret")
    assert (answer.status, json.loads(answer.body)) == (403, FORBIDDEN)


class BrokenStore(MemoryStore):
    """Raises `error` where a page is read."""

    error: Exception

    async def read_changes(self, *_args: Any, **_named: Any) -> Any:
        raise self.error

    async def find_token_user(self, _account: Account, _secret_hash: str) -> Credential | None:
        return Credential(1, "", b'{"id":1,"role":"admin","email":"admin@example.com"}')


def ask_broken(error: Exception) -> Any:
    async def main() -> Any:
        store = BrokenStore()
        store.error = error
        await store.create_account("acme")
        headers = [("authorization", ADMIN)]
        return await call_app(create_app(Settings(), store), ALL, host="acme.localhost", headers=headers)

    return asyncio.run(main())


@pytest.fixture
def json_logs() -> Any:
    """Logs as `serve` writes them, put back afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield lambda: configure_logs()
    logging.getLogger("psycopg.pool").filters.clear()
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.mark.parametrize(("asked", "sent"), [(5, "5"), (0, "1"), (-3, "1")])
def test_store_unavailable(asked: int, sent: str, json_logs: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """A store that cannot answer now is a 503 with whole seconds to wait; the log alone says why."""
    json_logs()
    answer = ask_broken(StoreUnavailable("the disk /secret/place is full", asked))
    assert (answer.status, answer.headers["retry-after"]) == (503, sent)
    assert json.loads(answer.body) == {
        "error": "ServiceUnavailable",
        "description": "The store is not available. Try again later",
    }
    reason, line = map(json.loads, capsys.readouterr().err.splitlines())
    assert (reason["event"], reason["level"]) == ("the disk /secret/place is full", "warning")
    assert line["status"] == 503


@pytest.mark.parametrize("error", [RuntimeError("boom"), ValueError("x" * 9999), AssertionError(), KeyError("k")])
def test_unexpected(error: Exception, json_logs: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Any other error is the wire's bare 500; it is logged once, as JSON, under the answer's id, with no secret."""
    json_logs()
    answer = ask_broken(error)
    assert (answer.status, json.loads(answer.body)) == (500, {"status": 500, "error": "Internal Server Error"})
    assert "retry-after" not in answer.headers
    assert answer.headers["content-type"] == "application/json; charset=utf-8"
    log = capsys.readouterr().err
    assert "admin-token" not in log
    assert ADMIN.removeprefix("Basic ") not in log
    raised, line = map(json.loads, log.splitlines())
    assert (raised["event"], raised["level"], raised["exception"][0]["exc_type"]) == (
        "unexpected error",
        "error",
        type(error).__name__,
    )
    assert line["status"] == 500
    assert raised["request_id"] == line["request_id"] == answer.headers["x-request-id"]


def test_repetitions_of_pools(json_logs: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Why a database cannot be reached is logged once in ten seconds, not for each connection of each pool."""
    json_logs()
    lines = [
        f"error connecting in 'pool-{number}': {reason}" for number in (1, 22) for reason in ("refused", "reset")
    ] + [f"discarding closed connection: <psycopg.Connection [BAD] at 0x{each}>" for each in ("7ff5", "7fde")]
    for created, line in product((NOON, NOON + 1, NOON + 12), lines):
        record = logging.makeLogRecord({"levelno": logging.WARNING, "msg": line, "created": created})
        logging.getLogger("psycopg.pool").handle(record)
    events = [json.loads(line)["event"].rpartition(" ")[2] for line in capsys.readouterr().err.splitlines()]
    assert events == ["refused", "reset", "0x7ff5>"] * 2


def test_silent_when_embedded(capfd: pytest.CaptureFixture[str]) -> None:
    """In a program that did not set up logs, serving prints nothing."""
    desk = Desk()
    desk.put("tickets", *tickets(1))
    desk.page()
    assert capfd.readouterr() == ("", "")
