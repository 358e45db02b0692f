"""What scenarios need to know of a request before it is carried out."""

import binascii
from base64 import b64decode
from collections.abc import Mapping

from starlette.requests import Request
from starlette.types import Message, Receive

from ticketfeed.logs import REQUEST_ID
from ticketfeed.protocol.errors import WireError
from ticketfeed.protocol.model import Account, Identity
from ticketfeed.protocol.query import PAGE_LIMIT_MAX, parse_integer, parse_query
from ticketfeed.protocol.token_request import TokenRequest, parse_token_request
from ticketfeed.server.api.call import Service
from ticketfeed.server.api.requests import read_body
from ticketfeed.server.faults.engine import FaultRequest
from ticketfeed.server.middleware.access_log import logged_query

__all__ = ["read_fault_request"]

_TOKENS = "/oauth/tokens"
_LIST_PAGE = 100


async def read_fault_request(
    request: Request, service: Service, account: Account, receive: Receive
) -> tuple[FaultRequest | None, Receive]:
    """The request, or None for one of nobody: without valid credentials none counts. And how to receive it after that.

    A request to the token endpoint has its credentials in its body, which is read here.
    """
    scope, authorization = request.scope, request.headers.get("authorization")
    identity, asked = None, None
    if scope["path"] == _TOKENS:
        body = await read_body(request)
        receive = _replay(body, receive)
        asked = _token_request(body, request)
    elif authorization:
        identity = await _identify(service, account, request)
    if identity is None and asked is None:
        return None, receive
    parameters = parse_query(scope["query_string"].decode("latin-1"))
    facts = FaultRequest(
        method=scope["method"],
        path=scope["path"],
        parameters=parameters,
        per_page=_per_page(scope["path"], parameters),
        secrets=[*_secrets(authorization), *_secrets_of(asked)],
        identity=identity,
        token_request=asked,
        request_id=REQUEST_ID.get(""),
        query=logged_query(scope["query_string"]),
    )
    return facts, receive


def _replay(body: bytes, receive: Receive) -> Receive:
    """Give a body to the application that was read before it."""
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return messages.pop() if messages else await receive()

    return replay


def _token_request(body: bytes, request: Request) -> TokenRequest | None:
    """What a client sent to the token endpoint; None for what cannot be read, which no scenario counts."""
    headers = request.headers
    try:
        return parse_token_request(
            body, headers.get("content-type", ""), request.scope["query_string"], headers.get("authorization")
        )
    except WireError:
        return None


async def _identify(service: Service, account: Account, request: Request) -> Identity | None:
    try:
        return await service.authenticate(account, request.headers.get("authorization"), request.scope.get("client"))
    except WireError:
        return None


def _per_page(path: str, query: Mapping[str, str]) -> int:
    """The size of the page that a request asks for."""
    asked = query.get("per_page") or query.get("page[size]") or query.get("limit")
    number = parse_integer(asked) if asked else None
    if number is None:
        return PAGE_LIMIT_MAX if "/incremental/" in path else _LIST_PAGE
    return min(number, PAGE_LIMIT_MAX)


def _secrets(authorization: str | None) -> list[str]:
    """The token or password of a header."""
    scheme, _, value = (authorization or "").strip().partition(" ")
    if scheme.lower() != "basic":
        return [value.strip()] if value else []
    try:
        return [b64decode(value.strip(), validate=True).decode().partition(":")[2]]
    except (binascii.Error, ValueError):
        return []


def _secrets_of(asked: TokenRequest | None) -> list[str]:
    if asked is None:
        return []
    return [text for text in (asked.client_id, asked.client_secret, asked.refresh_token) if text]
