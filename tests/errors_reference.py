"""docs/reference/errors.md, made from the errors of the API as they are raised: each is provoked by a request."""

from collections.abc import Callable
from typing import Any
from unittest.mock import patch

from tests.server.desk import ALL, NOON, Desk, basic, tickets
from tests.server.serving import shares_of
from ticketfeed.protocol.envelope import encode_error
from ticketfeed.protocol.errors import AccountFrozen, StoreReadOnly, StoreUnavailable, WireError
from ticketfeed.protocol.mirrors import Mirror
from ticketfeed.settings import Settings

__all__ = ["provoked_errors", "render"]

_HEAD = """# Errors

Every error of the API, as an example of its kind. Checks are made in this order: path, host, credentials, scope,
role, rate limit, parameters. 429 and 503 carry `Retry-After` in seconds. A command reports an error as one line on
standard error and exits with code 2.

| status | when | body |
|---|---|---|
"""


def _host_header(desk: Desk) -> None:
    desk.ask(host="not a host")


def _no_start_time(desk: Desk) -> None:
    desk.ask("/api/v2/incremental/tickets/cursor")


def _bad_id(desk: Desk) -> None:
    desk.ask("/api/v2/users/abc")


def _bad_value(desk: Desk) -> None:
    desk.ask("/api/v2/incremental/tickets/cursor?start_time=yesterday")


def _too_recent(_desk: Desk) -> None:
    Desk(Settings.of_profile("zendesk")).ask(f"/api/v2/incremental/tickets/cursor?start_time={NOON}")


def _bad_cursor(desk: Desk) -> None:
    desk.ask("/api/v2/incremental/tickets/cursor?cursor=nonsense")


def _too_many_ids(desk: Desk) -> None:
    desk.ask(f"/api/v2/tickets/show_many?ids={','.join(map(str, range(1, 102)))}")


def _reused_key(desk: Desk) -> None:
    for subject, status in (("first", 201), ("second", 400)):
        body = {"ticket": {"subject": subject, "comment": {"body": "Hello"}}}
        desk.send("POST", "/tickets", body, headers=[("Idempotency-Key", "k")], expect=status)


def _page_size(desk: Desk) -> None:
    desk.ask("/api/v2/tickets?page[size]=many")


def _too_deep(desk: Desk) -> None:
    desk.ask("/api/v2/tickets?page=101&per_page=100")


def _no_credentials(desk: Desk) -> None:
    desk.ask(authorization=None)


def _bad_bearer(desk: Desk) -> None:
    desk.ask(authorization="Bearer unknown")


def _asked(**changes: Any) -> Callable[[Desk], None]:
    """A request to the token endpoint, with these parameters changed."""

    def ask(desk: Desk) -> None:
        desk.make_client(allowed_scopes=["read"])
        desk.make_client("app", kind="public")
        desk.ask_token(**changes)

    return ask


def _missing_scope(desk: Desk) -> None:
    desk.make_client()
    desk.ask(authorization=f"Bearer {desk.token(scope='users:read')['access_token']}")


def _no_new_tokens(_desk: Desk) -> None:
    Desk(Settings(api_tokens="no-new")).send("POST", "/api_tokens", {"api_token": {}}, expect=403)


def _mirrored(_desk: Desk) -> None:
    Desk(mirror=Mirror("https://acme.zendesk.com")).send("POST", "/tickets", {}, expect=403)


def _agent(desk: Desk) -> None:
    desk.put("users", {"id": 9, "email": "agent@example.com", "role": "agent"})
    desk.grant(9, "agent-token")
    desk.ask(authorization=basic("agent@example.com/token:agent-token"))


def _foreign_origin(desk: Desk) -> None:
    sent = [("Origin", "https://elsewhere.example"), ("Content-Type", "text/plain")]
    desk.ask("/api/v2/tickets", method="POST", headers=sent)


def _snapshots_off(desk: Desk) -> None:
    sent = [("content-type", "application/json")]
    desk.ask("/_ticketfeed/snapshots", method="POST", headers=sent, body=b'{"do":"save","name":"a"}')


def _fixed_clock(desk: Desk) -> None:
    sent = [("Content-Type", "application/json")]
    desk.ask("/_ticketfeed/clock", method="POST", headers=sent, body=b'{"advance":60}')


def _no_faults(desk: Desk) -> None:
    desk.ask("/_ticketfeed/faults")


def _voice(desk: Desk) -> None:
    desk.ask("/api/v2/channels/voice/phone_numbers")


def _community(desk: Desk) -> None:
    desk.ask("/api/v2/community/posts")


def _unknown_path(desk: Desk) -> None:
    desk.ask("/api/v2/nonsense")


def _unknown_record(desk: Desk) -> None:
    desk.ask("/api/v2/tickets/4711")


def _unknown_account(_desk: Desk) -> None:
    Desk(accounts=("acme", "other")).ask(host="nobody.example.com")


def _conflict(desk: Desk) -> None:
    desk.put("tickets", *tickets(1))
    change = {"subject": "x", "safe_update": True, "updated_stamp": "2001-01-01T00:00:00Z"}
    desk.send("PUT", "/tickets/1", {"ticket": change}, expect=409)


def _large_body(desk: Desk) -> None:
    desk.send("POST", "/tickets", b" " * (5 * 2**20 + 1), expect=413)


def _invalid_record(desk: Desk) -> None:
    desk.send("POST", "/tickets", {"ticket": {"subject": "no comment"}}, expect=422)


def _deep_search(desk: Desk) -> None:
    desk.ask("/api/v2/search?query=type:ticket&page=11")


def _rate_limit(_desk: Desk) -> None:
    limited = Desk(Settings.of_profile("zendesk"))
    for _ in range(11):
        limited.ask(f"{ALL}&per_page=1")


def _internal(desk: Desk) -> None:
    with patch.object(desk.store, "list_accounts", side_effect=ZeroDivisionError), patch("logging.Logger.exception"):
        desk.ask(host="other.localhost")


def _store_down(desk: Desk) -> None:
    with patch.object(desk.store, "read_changes", side_effect=StoreUnavailable("away")):
        desk.ask(f"{ALL}&per_page=1")


def _standby(desk: Desk) -> None:
    with patch.object(desk.store, "write", side_effect=StoreReadOnly("it is a standby")):
        desk.send("POST", "/tickets", {"ticket": {"comment": {"body": "Hello"}}}, expect=503)


def _frozen(desk: Desk) -> None:
    with patch.object(desk.store, "write", side_effect=AccountFrozen("acme", is_moved=False)):
        desk.send("POST", "/tickets", {"ticket": {"comment": {"body": "Hello"}}}, expect=503)


def _full(desk: Desk) -> None:
    with patch.object(desk.app.state.service.maintenance, "full_accounts", {desk._account("acme").account_id}):
        desk.send("POST", "/tickets", {"ticket": {"comment": {"body": "Hello"}}}, expect=403)


def _overload(desk: Desk) -> None:
    with patch.object(shares_of(desk)[0], "requests_max", 0):
        desk.ask()


_PROVOKED: list[tuple[str, Callable[[Desk], None]]] = [
    ("a Host header that is not a host name, or a body that is not a JSON object", _host_header),
    ("an id in the path, or `page` or `per_page` of a list, that is no integer", _bad_id),
    ("a required parameter is missing", _no_start_time),
    ("a parameter is invalid", _bad_value),
    ("a `start_time` within the last minute, in the profile `zendesk`", _too_recent),
    ("an unreadable cursor", _bad_cursor),
    ("too many ids or objects in one request", _too_many_ids),
    ("an `Idempotency-Key` that was used for another request", _reused_key),
    ("an invalid pagination parameter", _page_size),
    ("a page beyond the limit of offset pagination", _too_deep),
    ("no credentials, or wrong Basic credentials", _no_credentials),
    ("an unknown, expired or revoked Bearer token", _bad_bearer),
    ("token endpoint: an unknown client, or a wrong secret", _asked(client_secret="wrong")),
    ("token endpoint: a parameter is missing or invalid", _asked(grant_type="refresh_token")),
    (
        "token endpoint: a code or refresh token that is used, expired, unknown or of another client",
        _asked(grant_type="refresh_token", refresh_token="unknown"),
    ),
    ("token endpoint: a grant that is not for this client", _asked(client_id="app")),
    ("token endpoint: an unknown grant", _asked(grant_type="password")),
    ("a scope that is unknown, or not allowed for the client", _asked(scope="write")),
    ("the scopes of the access token do not cover the request", _missing_scope),
    ("a new API token, which the rule `api_tokens` forbids", _no_new_tokens),
    ("a write to an account that is a mirror", _mirrored),
    ("a write to an account that has reached its quota", _full),
    ("the role of the user does not allow the request", _agent),
    ("a write with Basic credentials from a page of another origin that is not JSON", _foreign_origin),
    ("a snapshot that is to be made, on a server without `--test-clock`", _snapshots_off),
    ("a clock that is to be moved, on a server without `--test-clock`", _fixed_clock),
    ("fault scenarios, on a server without `--faults`", _no_faults),
    ("a feature that is not available", _voice),
    ("the community, which is not available", _community),
    ("an unknown path or method", _unknown_path),
    ("an unknown record", _unknown_record),
    ("an unknown account", _unknown_account),
    ("a ticket that has changed since `updated_stamp`", _conflict),
    ("a body that is too large", _large_body),
    ("a page of a search beyond its 1000th result", _deep_search),
    ("an invalid record, with the fields at fault", _invalid_record),
    ("a rate limit is exceeded", _rate_limit),
    ("an internal error; the log contains it with the `X-Request-Id` of the response", _internal),
    ("the store is unavailable", _store_down),
    ("a write while the server of the database is a standby", _standby),
    ("a write to an account that is being moved to another store", _frozen),
    ("the process is overloaded", _overload),
]


def provoked_errors() -> list[tuple[str, WireError]]:
    """(when it is raised, the error) for each kind of error, as the server raised it."""
    provoked = []
    for when, provoke in _PROVOKED:
        raised: list[WireError] = []

        def encode(error: WireError, raised: list[WireError] = raised) -> bytes:
            raised.append(error)
            return encode_error(error)

        with patch("ticketfeed.server.responses.encode_error", encode):
            provoke(Desk())
        provoked.append((when, raised[-1]))
    return provoked


def render() -> str:
    """The page."""
    rows = [
        f"| {error.status} | {when} | `{encode_error(error).decode()}` |"
        for when, error in sorted(provoked_errors(), key=lambda pair: pair[1].status)
    ]
    return _HEAD + "\n".join(rows) + "\n"
