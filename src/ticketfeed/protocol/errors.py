"""Every error ticketfeed raises on purpose, as one tree.

TicketfeedError
├── WireError                 a request that is answered with an error; knows its status and body
│   ├── MalformedRequest      400  the request line or Host cannot be used
│   ├── InvalidAttribute      400  an id or number that is no integer
│   ├── ParameterMissing      400
│   ├── InvalidValue          400
│   ├── StartTimeTooRecent    400
│   ├── InvalidCursor         400
│   ├── TooManyValues         400  more ids than one request may name
│   ├── IdempotentRequestError 400  its Idempotency-Key belongs to another request
│   ├── InvalidPaginationParameter  400
│   ├── InvalidPaginationDepth      400  an offset beyond the 10,000th record
│   ├── NotAuthenticated      401  no or wrong Basic credentials
│   ├── InvalidToken          401  unknown or revoked Bearer token
│   ├── InvalidClient         401  the token endpoint does not know the client, or its secret is wrong
│   ├── InvalidGrant          400  the code or refresh token cannot be used
│   ├── InvalidRequest        400  a parameter of the token endpoint is missing or invalid
│   ├── InvalidScope          400  a scope that is unknown, or not allowed
│   ├── UnauthorizedClient    400  the grant is not for this client
│   ├── UnsupportedGrantType  400
│   ├── MissingScope          403  the access token lacks a scope
│   ├── ApiTokensEnded        403  no API token can be created any more
│   ├── AccountIsFull         403  a write to an account that has reached its quota
│   ├── AccountIsMirror       403  a write to an account that is a mirror, or an archive
│   ├── RoleTooLow            403
│   ├── ForeignOrigin         403
│   ├── ClockFixed            403  a server without --test-clock moves no clock
│   ├── SnapshotsOff          403  nor does it save, rewind or fork accounts
│   ├── FaultsMissing         403  a server without --faults has no fault scenarios
│   ├── FeatureMissing        403  what is not part of this help desk
│   ├── HelpCenterMissing     404  there is no help center beside this help desk
│   ├── RecordNotFound        404
│   ├── InvalidEndpoint       404
│   ├── UnknownAccount        404
│   ├── UpdateConflict        409  the ticket has changed since `updated_stamp`
│   ├── BodyTooLarge          413
│   ├── SearchLimitExceeded   422  a page beyond the 1000th result of a search
│   ├── RecordInvalid         422  says for each field what is wrong with it
│   ├── APIRateLimitExceeded  429  carries Retry-After
│   ├── InternalServerError   500
│   ├── StoreUnavailable      503  carries Retry-After
│   │   ├── StoreReadOnly     503  its server takes no writes: it is a standby
│   │   └── AccountFrozen     503  a write to an account that is being moved to another store
│   └── ServerBusy            503  carries Retry-After
└── OperatorError             shown as one line on standard error, exit code 2
    ├── BadRecord             one record of an input cannot be used
    ├── BadInput              an input as a whole cannot be used
    ├── StoreError            the store cannot be opened, read or written
    │   └── NoStore           there is none where one is to be opened
    ├── SourceError           the source of an export cannot be read
    │   ├── SourceRefused     its final answer is an error
    │   └── SourceChanged     it is not the one that a mirror was copied from, or not in the state it was in
    ├── TargetError           the target of an export cannot be opened, read or written
    └── NotFound              an account, user or token that is not there

The bodies keep the several shapes that the wire really has: a client that looks for `error.title` on a
403 and for `error` on a 401 must find both.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

__all__ = [
    "APIRateLimitExceeded",
    "AccountFrozen",
    "AccountIsFull",
    "AccountIsMirror",
    "ApiTokensEnded",
    "BadInput",
    "BadRecord",
    "BodyTooLarge",
    "ClockFixed",
    "FaultsMissing",
    "FeatureMissing",
    "ForeignOrigin",
    "HelpCenterMissing",
    "IdempotentRequestError",
    "InternalServerError",
    "InvalidAttribute",
    "InvalidClient",
    "InvalidCursor",
    "InvalidEndpoint",
    "InvalidGrant",
    "InvalidPaginationDepth",
    "InvalidPaginationParameter",
    "InvalidRequest",
    "InvalidScope",
    "InvalidToken",
    "InvalidValue",
    "MalformedRequest",
    "MissingScope",
    "NoStore",
    "NotAuthenticated",
    "NotFound",
    "OperatorError",
    "ParameterMissing",
    "RecordInvalid",
    "RecordNotFound",
    "RoleTooLow",
    "SearchLimitExceeded",
    "ServerBusy",
    "SnapshotsOff",
    "SourceChanged",
    "SourceError",
    "SourceRefused",
    "StartTimeTooRecent",
    "StoreError",
    "StoreReadOnly",
    "StoreUnavailable",
    "TargetError",
    "TicketfeedError",
    "TooManyValues",
    "UnauthorizedClient",
    "UnknownAccount",
    "UnsupportedGrantType",
    "UpdateConflict",
    "WireError",
]


class TicketfeedError(Exception):
    """Base of all errors raised on purpose."""


class WireError(TicketfeedError):
    """An error that becomes an HTTP answer in the wire's own shape."""

    status: ClassVar[int] = 500

    def body(self) -> dict[str, Any]:
        """The JSON object of the answer."""
        raise NotImplementedError

    def headers(self) -> dict[str, str]:
        """Headers that belong to this answer alone."""
        return {}


class _Described(WireError):
    """Body `{"error": CODE, "description": TEXT}`, where CODE is the class name."""

    def body(self) -> dict[str, Any]:
        return {"error": type(self).__name__, "description": str(self)}


class _DescribedTwice(_Described):
    """Both vocabularies in one body: `error` and `description` for older readers, `errors[]` for newer."""

    title: ClassVar[str]

    def body(self) -> dict[str, Any]:
        code = type(self).__name__
        entry = {"code": code, "status": str(self.status), "title": self.title}
        return {**super().body(), "errors": [entry]}


class _Titled(WireError):
    """Body `{"error": {"title": TITLE, "message": TEXT}}`."""

    title: ClassVar[str]

    def body(self) -> dict[str, Any]:
        return {"error": {"title": self.title, "message": str(self)}}


class MalformedRequest(_Titled):
    status = 400
    title = "Invalid attribute"


class InvalidAttribute(_Titled):
    """A part of the path, or a parameter, that must be an integer. `action`: as the wire names it, `users/show`."""

    status = 400
    title = "Invalid attribute"

    def __init__(self, name: str, action: str) -> None:
        super().__init__(
            f"You passed an invalid value for the {name} attribute. "
            f"Invalid parameter: {name} must be an integer from api/v2/{action}"
        )


class ParameterMissing(_Described):
    status = 400

    def __init__(self, name: str) -> None:
        super().__init__(f"Parameter {name} is required")


class InvalidValue(_Described):
    status = 400


class StartTimeTooRecent(_DescribedTwice):
    status = 400

    def __init__(self, margin_seconds: int) -> None:
        self.title = f"start_time must be more than {margin_seconds} seconds ago"  # type: ignore[misc]
        super().__init__(f"Too recent start_time. Use a start_time older than {margin_seconds} seconds")


class InvalidCursor(_DescribedTwice):
    status = 400
    title = "cursor is invalid or expired"

    def __init__(self) -> None:
        super().__init__("The cursor cannot be read. Send an after_cursor from an earlier answer, unchanged")


class TooManyValues(_Described):
    status = 400

    def __init__(self, count_max: int, kind: str = "") -> None:
        self.count_max, self.kind = count_max, kind
        text = f"Parameter  cannot specify more than {count_max} values"  # two spaces, as on the wire
        super().__init__(f"Maximum {count_max} users may be created per call" if kind == "users" else text)

    def body(self) -> dict[str, Any]:
        return super().body() if self.kind == "users" else {**super().body(), "max_count": self.count_max}


class IdempotentRequestError(_Described):
    status = 400

    def __init__(self) -> None:
        super().__init__("The request parameters don't match the parameters used in the first request with this key")


class APIRateLimitExceeded(_Described):
    """A budget is used up. `left`: the headers that say so, which stand on every other answer too."""

    status = 429

    def __init__(self, reason: str, retry_after_seconds: int, left: Mapping[str, str]) -> None:
        self._headers = {**left, "retry-after": str(max(1, retry_after_seconds))}
        super().__init__(reason)

    def headers(self) -> dict[str, str]:
        return self._headers


class _Listed(WireError):
    """Body `{"errors": [{"code": CODE, "title": TITLE, "detail": TEXT}]}`, where CODE is the class name."""

    status = 400
    title: ClassVar[str]

    def body(self) -> dict[str, Any]:
        return {"errors": [{"code": type(self).__name__, "title": self.title, "detail": str(self)}]}


class InvalidPaginationParameter(_Listed):
    title = "Invalid pagination parameter"


class InvalidPaginationDepth(_Listed):
    title = "Invalid pagination depth"

    def __init__(self, depth_max: int) -> None:
        super().__init__(f"Pages by number end at record {depth_max}. Use page[size] and page[after] to go further")


class NotAuthenticated(WireError):
    """`with_token`: what was wrong is an API token, not a password or nothing at all."""

    status = 401

    def __init__(self, *, with_token: bool = False) -> None:
        self.with_token = with_token
        super().__init__("Couldn't authenticate you")

    def body(self) -> dict[str, Any]:
        return {"error": "Couldn't authenticate you"}

    def headers(self) -> dict[str, str]:
        return {"www-authenticate": 'Basic realm="Web Password"'}


class InvalidToken(WireError):
    status = 401
    text = "The access token provided is expired, revoked, malformed or invalid for other reasons."

    def body(self) -> dict[str, Any]:
        return {"error": "invalid_token", "error_description": self.text}

    def headers(self) -> dict[str, str]:
        realm = 'Bearer realm="Protected by OAuth 2.0"'
        return {"www-authenticate": f'{realm}, error="invalid_token", error_description="{self.text}"'}


class _OauthError(WireError):
    """An error of the token endpoint: body `{"error": CODE, "error_description": TEXT}`, never cached."""

    status = 400
    code: ClassVar[str]
    text: ClassVar[str] = ""

    def body(self) -> dict[str, Any]:
        return {"error": self.code, "error_description": self.text or str(self)}

    def headers(self) -> dict[str, str]:
        return {"cache-control": "no-store", "pragma": "no-cache"}


class InvalidRequest(_OauthError):
    code = "invalid_request"


class InvalidClient(_OauthError):
    status = 401
    code = "invalid_client"
    text = (
        "The client identifier provided is invalid, the client failed to authenticate, the client did not include its "
        "credentials, provided multiple client credentials, or used unsupported credentials type."
    )

    def headers(self) -> dict[str, str]:
        return {**super().headers(), "www-authenticate": 'Basic realm="OAuth2 Token Endpoint"'}


class InvalidGrant(_OauthError):
    code = "invalid_grant"
    text = (
        "The provided access grant is invalid, expired, or revoked (e.g. invalid assertion, expired authorization "
        "token, bad end-user password credentials, or mismatching authorization code and redirection URI)."
    )


class UnauthorizedClient(_OauthError):
    code = "unauthorized_client"
    text = "The authenticated client is not authorized to use the access grant type provided."


class UnsupportedGrantType(_OauthError):
    code = "unsupported_grant_type"
    text = "The access grant included - its type or another attribute - is not supported by the authorization server."


class InvalidScope(_OauthError):
    code = "invalid_scope"
    text = "The requested scope is invalid, unknown, malformed, or exceeds the previously granted scope."


class _Forbidden(WireError):
    """Body `{"error": "Forbidden", "description": TEXT}`."""

    status = 403

    def body(self) -> dict[str, Any]:
        return {"error": "Forbidden", "description": str(self)}


class MissingScope(_Forbidden):
    """`scopes`: those of which the request needs one."""

    def __init__(self, scopes: Sequence[str]) -> None:
        super().__init__(f"You are missing the following required scopes: {', '.join(scopes)}")


class ApiTokensEnded(_Forbidden):
    def __init__(self) -> None:
        super().__init__("API tokens can no longer be created. Use OAuth instead")


class AccountIsFull(_Forbidden):
    """The account has reached its quota. Reads and deletions go on."""

    def __init__(self) -> None:
        super().__init__("This account has reached its quota: delete something, or ask the operator for more")


class AccountIsMirror(_Forbidden):
    """`source`: what the account mirrors. `closed_on`: the date on which it was closed as an archive."""

    def __init__(self, source: str, closed_on: str | None = None) -> None:
        what = f"mirrors {source}" if closed_on is None else f"is an archive of {source}, closed on {closed_on},"
        super().__init__(f"This account {what} and is read-only")


class RoleTooLow(_Titled):
    status = 403
    title = "Forbidden"

    def __init__(self) -> None:
        super().__init__(
            "You do not have access to this page. Please contact the account owner of this help desk for further help."
        )


class ForeignOrigin(_Titled):
    """A write with a password that a page of another origin may have made a browser send."""

    status = 403
    title = "Forbidden"

    def __init__(self) -> None:
        super().__init__("Requests from another origin need a Bearer token, or the content type application/json")


class ClockFixed(_Titled):
    status = 403
    title = "Forbidden"

    def __init__(self) -> None:
        super().__init__("This server keeps the machine's time: it was started without --test-clock")


class FaultsMissing(_Titled):
    status = 403
    title = "Forbidden"

    def __init__(self) -> None:
        super().__init__("This server has no fault scenarios: it was started without --faults")


class SnapshotsOff(_Titled):
    status = 403
    title = "Forbidden"

    def __init__(self) -> None:
        super().__init__("Snapshots are for test servers: this one was started without --test-clock")


class FeatureMissing(_Titled):
    status = 403
    title = "Forbidden"

    def __init__(self) -> None:
        super().__init__(
            "Access to this resource is restricted. Please contact the account administrator for assistance."
        )


class HelpCenterMissing(_Titled):
    status = 404
    title = "The page you were looking for doesn't exist"

    def __init__(self) -> None:
        super().__init__("You may have mistyped the address or the page may have moved")


class RecordNotFound(_Described):
    status = 404

    def __init__(self) -> None:
        super().__init__("Not found")


class InvalidEndpoint(_Described):
    status = 404

    def __init__(self) -> None:
        super().__init__("Not found")


class UpdateConflict(_Described):
    status = 409

    def __init__(self) -> None:
        super().__init__("Safe Update prevented the update due to outdated ticket data. Please fetch the latest data")


class BodyTooLarge(_Described):
    status = 413

    def __init__(self, bytes_max: int) -> None:
        super().__init__(f"A request's body may have {bytes_max} bytes at most")


class SearchLimitExceeded(WireError):
    """In the words by which clients know it."""

    status = 422

    def __init__(self) -> None:
        super().__init__("Invalid search: Requested response size was greater than Search Response Limits")

    def body(self) -> dict[str, Any]:
        return {"error": "invalid", "description": str(self)}


class RecordInvalid(_Described):
    """`details`: field -> what is wrong with it, as (text, code); codes such as BlankValue, InvalidValue."""

    status = 422

    def __init__(self, **details: tuple[str, str]) -> None:
        self.details = {
            name: [{"description": f"{name.replace('_', ' ').capitalize()}: {text}", "error": code}]
            for name, (text, code) in details.items()
        }
        super().__init__("Record validation errors")

    def reason(self) -> str:
        """What is wrong, in one line."""
        return "; ".join(str(entry["description"]) for entries in self.details.values() for entry in entries)

    def body(self) -> dict[str, Any]:
        return {**super().body(), "details": self.details}


class UnknownAccount(WireError):
    status = 404

    def __init__(self, host: str) -> None:
        self.host = host
        super().__init__(f"No help desk at {host}")

    def body(self) -> dict[str, Any]:
        message = "There is no help desk configured at this address. Check the account's name in the host."
        return {"error": {"title": f"No help desk at {self.host}", "message": message}}


class InternalServerError(WireError):
    status = 500

    def body(self) -> dict[str, Any]:
        return {"status": 500, "error": "Internal Server Error"}


class _Unavailable(WireError):
    """Not now, but maybe in a moment. Why is for the operator; the caller is told `description`."""

    status = 503
    description: ClassVar[str]

    def __init__(self, reason: str, retry_after_seconds: int = 5) -> None:
        self.retry_after_seconds = max(1, retry_after_seconds)
        super().__init__(reason)

    def body(self) -> dict[str, Any]:
        return {"error": "ServiceUnavailable", "description": self.description}

    def headers(self) -> dict[str, str]:
        return {"retry-after": str(self.retry_after_seconds)}


class StoreUnavailable(_Unavailable):
    """The store cannot answer: busy, restarting, disk full."""

    description = "The store is not available. Try again later"


class StoreReadOnly(StoreUnavailable):
    """The server of the store takes no writes at all: it is a standby."""


class AccountFrozen(StoreUnavailable):
    """A write to an account while the end of it is copied to another store, or after it was moved (`is_moved`)."""

    description = "The account is being moved, and takes no changes. Try again later"

    def __init__(self, subdomain: str, *, is_moved: bool) -> None:
        state = "was moved to another store" if is_moved else "is being copied to another store"
        super().__init__(f"account {subdomain} {state}, and takes no changes here", 30 if is_moved else 1)


class ServerBusy(_Unavailable):
    """More is asked of this process than it takes on."""

    description = "The server is busy. Try again later"


class OperatorError(TicketfeedError):
    """Bad input or a bad environment, told to the person at the command line."""


class BadRecord(OperatorError):
    """One record cannot be used; the text says why."""


class BadInput(OperatorError):
    """An input as a whole cannot be used."""


class StoreError(OperatorError):
    """The store cannot be opened, read or written."""


class NoStore(StoreError):
    """There is no store where one is to be opened."""


class SourceError(OperatorError):
    """The source of an export refuses, gives what cannot be used, or did not answer for too long."""


class SourceRefused(SourceError):
    """A final error response of the source, with its status."""

    def __init__(self, text: str, status: int) -> None:
        super().__init__(text)
        self.status = status


class SourceChanged(SourceError):
    """The source of a mirror is another account, is suddenly empty, or has gone back behind what was copied."""


class TargetError(OperatorError):
    """The target of an export cannot be opened, read or written."""


class NotFound(OperatorError):
    """What was named is not in the store."""
