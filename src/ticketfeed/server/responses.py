"""Bytes -> response: the headers of every answer, gzip where the client accepts it, errors in the wire's shape."""

from collections.abc import AsyncIterator
from functools import lru_cache

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from ticketfeed.protocol.envelope import body_etag, encode_error
from ticketfeed.protocol.errors import WireError
from ticketfeed.protocol.gzip_splice import GZIP, PLAIN, Coding, compress
from ticketfeed.server.ops.rate_limiter import RATE_LIMIT_HEADERS, RateLimiter
from ticketfeed.server.request_context import comes_from_another_origin, request_context

__all__ = [
    "accepted_coding",
    "body_response",
    "encoded_response",
    "error_response",
    "json_response",
    "streamed_response",
    "uncached_response",
    "written_response",
]

_COMMON = {
    "content-type": "application/json; charset=utf-8",
    "vary": "Accept-Encoding",
    "x-zendesk-api-version": "v2",
    "x-frame-options": "SAMEORIGIN",
    "x-content-type-options": "nosniff",
    "access-control-allow-origin": "*",
    "access-control-expose-headers": "X-Zendesk-API-Warn,X-Zendesk-User-Id,X-Zendesk-User-Session-Expires-At",
}


def encoded_response(request: Request, body: bytes | bytearray, coding: str, etag: str) -> Response:
    """A 200 with a body that has this content coding already."""
    return _response(200, body, coding, _success_headers(request, etag))


def streamed_response(request: Request, parts: AsyncIterator[bytes], coding: str) -> Response:
    """A 200 of unknown length, in parts that have this content coding already. It has no entity tag."""
    headers = _success_headers(request, "")
    del headers["etag"]
    if coding != PLAIN.name:
        headers["content-encoding"] = coding
    return StreamingResponse(parts, 200, headers)


def json_response(request: Request, body: bytes, etag: str) -> Response:
    """A 200 with this body, compressed if the client accepts it."""
    return encoded_response(request, *compress(body, accepted_coding(request)), etag)


def body_response(request: Request, body: bytes) -> Response:
    """A 200 whose entity tag is made of its bytes, for answers that are small."""
    return json_response(request, body, body_etag(body))


def written_response(request: Request, status: int, body: bytes, location: str | None = None) -> Response:
    """The answer to a write; 204 has no body."""
    if status == 204:
        return Response(b"", status, {**_COMMON, **_rate_limit_headers(request), "cache-control": "no-cache"})
    headers = _success_headers(request, body_etag(body))
    if location is not None:
        headers["location"] = location
    return _response(status, *compress(body, accepted_coding(request)), headers)


def uncached_response(request: Request, status: int, body: bytes) -> Response:
    """An answer that nobody may store: it has a secret."""
    headers = {**_COMMON, **_rate_limit_headers(request), "cache-control": "no-store", "pragma": "no-cache"}
    return _response(status, body, PLAIN.name, headers)


def error_response(request: Request, error: WireError) -> Response:
    """The answer to a request that failed. The only place where an error becomes a response."""
    request_context(request.scope).error = f"{error.status} {type(error).__name__}"
    headers = {**_COMMON, **_rate_limit_headers(request), "cache-control": "no-cache", **error.headers()}
    if "www-authenticate" in headers and comes_from_another_origin(request):
        # For Basic the browser would ask its user for a password, and send it from then on with whatever any page asks.
        headers["www-authenticate"] = "Bearer"
    return _response(error.status, *compress(encode_error(error), accepted_coding(request)), headers)


def accepted_coding(request: Request) -> Coding:
    """The content coding for the answer to this request."""
    values = [value for name, value in request.scope["headers"] if name == b"accept-encoding"]
    return GZIP if _accepts_gzip(b",".join(values)) else PLAIN


def _success_headers(request: Request, etag: str) -> dict[str, str]:
    cached = "max-age=0, private, must-revalidate"
    return {**_COMMON, **_rate_limit_headers(request), "cache-control": cached, "etag": etag}


def _rate_limit_headers(request: Request) -> dict[str, str]:
    """The rate limits after this request, or as they were if it was answered before it was counted."""
    limiter: RateLimiter = request.app.state.service.rate_limiter
    headers: dict[str, str] = request.scope.get(RATE_LIMIT_HEADERS, limiter.full_headers)
    return headers


class _EncodedResponse(Response):
    """A response whose headers need no normalising and searching, which takes Starlette as long as finding a page."""

    def __init__(self, status: int, body: bytes | bytearray, headers: dict[str, str]) -> None:
        self.status_code, self.background = status, None
        self.body = body  # type: ignore[assignment]  # a bytearray is sent like bytes
        self.raw_headers = [_encode_header(*header) for header in headers.items()]


@lru_cache(1024)  # most are the same in every response
def _encode_header(name: str, value: str) -> tuple[bytes, bytes]:
    return name.encode("latin-1"), value.encode("latin-1")


def _response(status: int, body: bytes | bytearray, coding: str, headers: dict[str, str]) -> Response:
    headers["content-length"] = str(len(body))
    if coding != PLAIN.name:
        headers["content-encoding"] = coding
    return _EncodedResponse(status, body, headers)


@lru_cache(256)
def _accepts_gzip(accept_encoding: bytes) -> bool:
    weights = {}
    for part in accept_encoding.decode("latin-1").lower().split(","):
        coding, _, weight = part.partition(";")
        weights[coding.strip()] = weight.replace(" ", "")
    weight = weights.get("gzip", weights.get("*", "q=0"))
    return not weight.startswith("q=") or bool(weight[2:].strip("0."))
