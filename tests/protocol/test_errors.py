"""Errors: the bodies and headers that clients read, and a tree that names them all."""

import re

import msgspec
import pytest

from ticketfeed.protocol import errors
from ticketfeed.protocol.envelope import encode_error

# error, status, body, headers of its own
# Of every answer of the token endpoint.
NOT_CACHED = {"cache-control": "no-store", "pragma": "no-cache"}
ANSWERS: list[tuple[errors.WireError, int, dict[str, object], dict[str, str]]] = [
    (
        errors.ParameterMissing("start_time"),
        400,
        {"error": "ParameterMissing", "description": "Parameter start_time is required"},
        {},
    ),
    (
        errors.StartTimeTooRecent(60),
        400,
        {
            "error": "StartTimeTooRecent",
            "description": "Too recent start_time. Use a start_time older than 60 seconds",
            "errors": [
                {
                    "code": "StartTimeTooRecent",
                    "status": "400",
                    "title": "start_time must be more than 60 seconds ago",
                }
            ],
        },
        {},
    ),
    (
        errors.InvalidCursor(),
        400,
        {
            "error": "InvalidCursor",
            "description": "The cursor cannot be read. Send an after_cursor from an earlier answer, unchanged",
            "errors": [{"code": "InvalidCursor", "status": "400", "title": "cursor is invalid or expired"}],
        },
        {},
    ),
    (errors.InvalidValue("x < 1"), 400, {"error": "InvalidValue", "description": "x < 1"}, {}),
    (
        errors.InvalidAttribute("id", "users/show"),
        400,
        {
            "error": {
                "title": "Invalid attribute",
                "message": "You passed an invalid value for the id attribute. "
                "Invalid parameter: id must be an integer from api/v2/users/show",
            }
        },
        {},
    ),
    (
        errors.MalformedRequest("no Host"),
        400,
        {"error": {"title": "Invalid attribute", "message": "no Host"}},
        {},
    ),
    (
        errors.NotAuthenticated(),
        401,
        {"error": "Couldn't authenticate you"},
        {"www-authenticate": 'Basic realm="Web Password"'},
    ),
    (
        errors.ForeignOrigin(),
        403,
        {
            "error": {
                "title": "Forbidden",
                "message": "Requests from another origin need a Bearer token, or the content type application/json",
            }
        },
        {},
    ),
    (
        errors.InvalidToken(),
        401,
        {
            "error": "invalid_token",
            "error_description": (
                "The access token provided is expired, revoked, malformed or invalid for other reasons."
            ),
        },
        {
            "www-authenticate": (
                'Bearer realm="Protected by OAuth 2.0", error="invalid_token", error_description='
                '"The access token provided is expired, revoked, malformed or invalid for other reasons."'
            )
        },
    ),
    (
        errors.InvalidClient(),
        401,
        {
            "error": "invalid_client",
            "error_description": (
                "The client identifier provided is invalid, the client failed to authenticate, the client did not "
                "include its credentials, provided multiple client credentials, or used unsupported credentials type."
            ),
        },
        {**NOT_CACHED, "www-authenticate": 'Basic realm="OAuth2 Token Endpoint"'},
    ),
    (
        errors.InvalidGrant(),
        400,
        {
            "error": "invalid_grant",
            "error_description": (
                "The provided access grant is invalid, expired, or revoked (e.g. invalid assertion, expired "
                "authorization token, bad end-user password credentials, or mismatching authorization code and "
                "redirection URI)."
            ),
        },
        NOT_CACHED,
    ),
    (
        errors.InvalidRequest("'refresh_token' required."),
        400,
        {"error": "invalid_request", "error_description": "'refresh_token' required."},
        NOT_CACHED,
    ),
    (
        errors.InvalidScope(),
        400,
        {
            "error": "invalid_scope",
            "error_description": (
                "The requested scope is invalid, unknown, malformed, or exceeds the previously granted scope."
            ),
        },
        NOT_CACHED,
    ),
    (
        errors.UnauthorizedClient(),
        400,
        {
            "error": "unauthorized_client",
            "error_description": ("The authenticated client is not authorized to use the access grant type provided."),
        },
        NOT_CACHED,
    ),
    (
        errors.UnsupportedGrantType(),
        400,
        {
            "error": "unsupported_grant_type",
            "error_description": (
                "The access grant included - its type or another attribute - is not supported by the authorization "
                "server."
            ),
        },
        NOT_CACHED,
    ),
    (
        errors.ApiTokensEnded(),
        403,
        {"error": "Forbidden", "description": "API tokens can no longer be created. Use OAuth instead"},
        {},
    ),
    (
        errors.AccountIsFull(),
        403,
        {
            "error": "Forbidden",
            "description": "This account has reached its quota: delete something, or ask the operator for more",
        },
        {},
    ),
    (
        errors.AccountIsMirror("https://acme.zendesk.com"),
        403,
        {"error": "Forbidden", "description": "This account mirrors https://acme.zendesk.com and is read-only"},
        {},
    ),
    (
        errors.MissingScope(["tickets:read", "read"]),
        403,
        {
            "error": "Forbidden",
            "description": "You are missing the following required scopes: tickets:read, read",
        },
        {},
    ),
    (
        errors.AccountIsMirror("https://acme.zendesk.com"),
        403,
        {
            "error": "Forbidden",
            "description": "This account mirrors https://acme.zendesk.com and is read-only",
        },
        {},
    ),
    (
        errors.RoleTooLow(),
        403,
        {
            "error": {
                "title": "Forbidden",
                "message": (
                    "You do not have access to this page. "
                    "Please contact the account owner of this help desk for further help."
                ),
            }
        },
        {},
    ),
    (
        errors.HelpCenterMissing(),
        404,
        {
            "error": {
                "title": "The page you were looking for doesn't exist",
                "message": "You may have mistyped the address or the page may have moved",
            }
        },
        {},
    ),
    (
        errors.IdempotentRequestError(),
        400,
        {
            "error": "IdempotentRequestError",
            "description": "The request parameters don't match the parameters used in the first request with this key",
        },
        {},
    ),
    (
        errors.UpdateConflict(),
        409,
        {
            "error": "UpdateConflict",
            "description": (
                "Safe Update prevented the update due to outdated ticket data. Please fetch the latest data"
            ),
        },
        {},
    ),
    (
        errors.BodyTooLarge(7),
        413,
        {"error": "BodyTooLarge", "description": "A request's body may have 7 bytes at most"},
        {},
    ),
    (
        errors.RecordInvalid(due_at=("is no time", "InvalidValue")),
        422,
        {
            "error": "RecordInvalid",
            "description": "Record validation errors",
            "details": {"due_at": [{"description": "Due at: is no time", "error": "InvalidValue"}]},
        },
        {},
    ),
    (
        errors.TooManyValues(100),
        400,
        {
            "error": "TooManyValues",
            "description": "Parameter  cannot specify more than 100 values",
            "max_count": 100,
        },
        {},
    ),
    (
        errors.InvalidPaginationParameter("page must be a whole number from 1"),
        400,
        {
            "errors": [
                {
                    "code": "InvalidPaginationParameter",
                    "title": "Invalid pagination parameter",
                    "detail": "page must be a whole number from 1",
                }
            ]
        },
        {},
    ),
    (
        errors.InvalidPaginationDepth(10_000),
        400,
        {
            "errors": [
                {
                    "code": "InvalidPaginationDepth",
                    "title": "Invalid pagination depth",
                    "detail": ("Pages by number end at record 10000. Use page[size] and page[after] to go further"),
                }
            ]
        },
        {},
    ),
    (
        errors.FaultsMissing(),
        403,
        {
            "error": {
                "title": "Forbidden",
                "message": "This server has no fault scenarios: it was started without --faults",
            }
        },
        {},
    ),
    (
        errors.SnapshotsOff(),
        403,
        {
            "error": {
                "title": "Forbidden",
                "message": "Snapshots are for test servers: this one was started without --test-clock",
            }
        },
        {},
    ),
    (
        errors.ClockFixed(),
        403,
        {
            "error": {
                "title": "Forbidden",
                "message": "This server keeps the machine's time: it was started without --test-clock",
            }
        },
        {},
    ),
    (
        errors.FeatureMissing(),
        403,
        {
            "error": {
                "title": "Forbidden",
                "message": (
                    "Access to this resource is restricted. Please contact the account administrator for assistance."
                ),
            }
        },
        {},
    ),
    (errors.RecordNotFound(), 404, {"error": "RecordNotFound", "description": "Not found"}, {}),
    (errors.InvalidEndpoint(), 404, {"error": "InvalidEndpoint", "description": "Not found"}, {}),
    (
        errors.UnknownAccount("nobody.zendesk.com"),
        404,
        {
            "error": {
                "title": "No help desk at nobody.zendesk.com",
                "message": ("There is no help desk configured at this address. Check the account's name in the host."),
            }
        },
        {},
    ),
    (
        errors.SearchLimitExceeded(),
        422,
        {
            "error": "invalid",
            "description": "Invalid search: Requested response size was greater than Search Response Limits",
        },
        {},
    ),
    (
        errors.APIRateLimitExceeded("Number exceeded", 0, {"x-rate-limit": "10"}),
        429,
        {"error": "APIRateLimitExceeded", "description": "Number exceeded"},
        {"x-rate-limit": "10", "retry-after": "1"},
    ),
    (errors.InternalServerError(), 500, {"status": 500, "error": "Internal Server Error"}, {}),
    (
        errors.StoreUnavailable("disk full at /secret"),
        503,
        {"error": "ServiceUnavailable", "description": "The store is not available. Try again later"},
        {"retry-after": "5"},
    ),
    (
        errors.StoreReadOnly("the server is a standby"),
        503,
        {"error": "ServiceUnavailable", "description": "The store is not available. Try again later"},
        {"retry-after": "5"},
    ),
    (
        errors.AccountFrozen("acme", is_moved=False),
        503,
        {
            "error": "ServiceUnavailable",
            "description": "The account is being moved, and takes no changes. Try again later",
        },
        {"retry-after": "1"},
    ),
    (
        errors.AccountFrozen("acme", is_moved=True),
        503,
        {
            "error": "ServiceUnavailable",
            "description": "The account is being moved, and takes no changes. Try again later",
        },
        {"retry-after": "30"},
    ),
    (
        errors.ServerBusy("1001 requests under way"),
        503,
        {"error": "ServiceUnavailable", "description": "The server is busy. Try again later"},
        {"retry-after": "5"},
    ),
]


def _descendants(base: type[errors.TicketfeedError]) -> set[type[errors.TicketfeedError]]:
    return {base}.union(*(_descendants(child) for child in base.__subclasses__()))


PUBLIC = {kind for kind in _descendants(errors.TicketfeedError) if not kind.__name__.startswith("_")}


@pytest.mark.parametrize(
    ("error", "status", "body", "headers"), ANSWERS, ids=[type(error).__name__ for error, *_ in ANSWERS]
)
def test_answer(error: errors.WireError, status: int, body: dict[str, object], headers: dict[str, str]) -> None:
    """Each error is answered with the status, the body, its keys in order, and the headers of the wire."""
    assert error.status == status
    assert encode_error(error) == msgspec.json.encode(body)
    assert error.headers() == headers


def test_every_wire_error_is_in_the_table() -> None:
    """No error of the wire lacks its row above."""
    wire_errors = {kind for kind in PUBLIC if issubclass(kind, errors.WireError)} - {errors.WireError}
    assert wire_errors == {type(error) for error, *_ in ANSWERS}


@pytest.mark.parametrize(("asked", "sent"), [(0, "1"), (-5, "1"), (1, "1"), (30, "30")])
def test_retry_after_is_at_least_a_second(asked: int, sent: str) -> None:
    """Retry-After is whole seconds, never below 1, and stands on no other answer."""
    assert errors.StoreUnavailable("busy", asked).headers() == {"retry-after": sent}
    waits = errors.StoreUnavailable | errors.ServerBusy | errors.APIRateLimitExceeded
    others = [error for error, *_ in ANSWERS if not isinstance(error, waits)]
    assert not any("retry-after" in error.headers() for error in others)


def test_the_tree_names_every_class() -> None:
    """The tree in the module's docstring has every class under its parent, with its status; so has __all__."""
    stack, found = [], {}
    for line in (errors.__doc__ or "").splitlines():
        if match := re.match(r"([│├└─ ]*)(\w+)(?:\s+(\d{3}))?(?:\s|$)", line):
            depth, name, status = len(match[1]) // 4, match[2], match[3]
            if hasattr(errors, name):
                stack[depth:] = [name]
                found[name] = (stack[depth - 1] if depth else "Exception", status and int(status))
    assert set(found) == {kind.__name__ for kind in PUBLIC} == set(errors.__all__)
    for kind in PUBLIC:
        parent, status = found[kind.__name__]
        assert parent in {base.__name__ for base in kind.__mro__[1:]}
        if issubclass(kind, errors.WireError) and kind is not errors.WireError:
            assert status == kind.status
