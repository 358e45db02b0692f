"""Bytes -> response: the headers of every answer, gzip where the client takes it, errors in the wire's shape."""

from functools import lru_cache
from hashlib import sha256

from isal import isal_zlib
from starlette.requests import Request
from starlette.responses import Response

from ticketfeed.protocol.envelope import encode_error
from ticketfeed.protocol.errors import WireError
from ticketfeed.server.ops.rate_limiter import RATE_LIMIT_HEADERS, RateLimiter
from ticketfeed.server.request_context import request_context

__all__ = ["body_response", "error_response", "json_response", "pieces_response", "takes_gzip", "written_response"]

GZIP_BYTES_MIN = 512
# isal's fastest level: a tenth of zlib's time for a page, and a sixth more bytes.
GZIP_LEVEL = 1
_GZIP_CONTAINER = 31

_COMMON = {
    "content-type": "application/json; charset=utf-8",
    "vary": "Accept-Encoding",
    "x-zendesk-api-version": "v2",
    "x-frame-options": "SAMEORIGIN",
    "x-content-type-options": "nosniff",
    "access-control-allow-origin": "*",
    "access-control-expose-headers": "X-Zendesk-API-Warn,X-Zendesk-User-Id,X-Zendesk-User-Session-Expires-At",
}


def json_response(request: Request, body: bytes, etag: str) -> Response:
    """A 200 with this body."""
    left = _budget_headers(request)
    headers = {**_COMMON, **left, "cache-control": "max-age=0, private, must-revalidate", "etag": etag}
    return _response(request, 200, body, headers)


def written_response(request: Request, status: int, body: bytes, location: str | None = None) -> Response:
    """An answer to a request that changed something; 204 has no body."""
    headers = {**_COMMON, **_budget_headers(request), "cache-control": "max-age=0, private, must-revalidate"}
    if status == 204:
        return Response(b"", status, {**headers, "cache-control": "no-cache"})
    headers["etag"] = f'W/"{sha256(body).hexdigest()[:32]}"'
    if location is not None:
        headers["location"] = location
    return _response(request, status, body, headers)


def pieces_response(request: Request, body: bytearray, etag: str, coding: str) -> Response:
    """A 200 with this body, which is in its coding already."""
    response = json_response(request, b"", etag)
    response.body = body  # type: ignore[assignment]
    if coding != "identity":
        response.headers["content-encoding"] = coding
    response.headers["content-length"] = str(len(body))
    return response


def takes_gzip(request: Request) -> bool:
    """Whether the client takes gzip."""
    return _takes_gzip(",".join(request.headers.getlist("accept-encoding")))


def body_response(request: Request, body: bytes) -> Response:
    """A 200 whose tag is made of its bytes: for answers that are small."""
    return json_response(request, body, f'W/"{sha256(body).hexdigest()[:32]}"')


def error_response(request: Request, error: WireError) -> Response:
    """The one place where an error becomes an answer."""
    request_context(request.scope).error = f"{error.status} {type(error).__name__}"
    headers = {**_COMMON, **_budget_headers(request), "cache-control": "no-cache", **error.headers()}
    return _response(request, error.status, encode_error(error), headers)


def _budget_headers(request: Request) -> dict[str, str]:
    """What is left of the budgets: as this request left them, or untouched where it came not so far."""
    limiter: RateLimiter = request.app.state.service.rate_limiter
    left: dict[str, str] = request.scope.get(RATE_LIMIT_HEADERS, limiter.full_headers)
    return left


def _response(request: Request, status: int, body: bytes, headers: dict[str, str]) -> Response:
    if len(body) >= GZIP_BYTES_MIN and takes_gzip(request):
        body = isal_zlib.compress(body, GZIP_LEVEL, _GZIP_CONTAINER)
        headers["content-encoding"] = "gzip"
    return Response(body, status, headers)


@lru_cache(256)
def _takes_gzip(accept_encoding: str) -> bool:
    weights = {}
    for part in accept_encoding.lower().split(","):
        coding, _, weight = part.partition(";")
        weights[coding.strip()] = weight.replace(" ", "")
    weight = weights.get("gzip", weights.get("*", "q=0"))
    return not weight.startswith("q=") or bool(weight[2:].strip("0."))
