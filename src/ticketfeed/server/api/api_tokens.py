"""API tokens as an admin manages them below `/api/v2`, until they end (`protocol/api_tokens.py`)."""

import secrets
from functools import partial
from typing import Annotated, Any

import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response

from ticketfeed.protocol.api_tokens import accepts_api_tokens, creates_api_tokens, is_active, is_forgotten
from ticketfeed.protocol.credentials import hash_token
from ticketfeed.protocol.errors import ApiTokensEnded, RecordInvalid, RecordNotFound
from ticketfeed.protocol.model import Token
from ticketfeed.protocol.records import wire_second
from ticketfeed.protocol.request_body import InputParser
from ticketfeed.server.api.call import ApiCall, ApiRoute, path_id
from ticketfeed.server.api.requests import read_input
from ticketfeed.server.responses import body_response, uncached_response, written_response
from ticketfeed.storage.write_contract import WriteTransaction

__all__ = ["API_TOKEN_ROUTES"]


class ApiTokenInput(msgspec.Struct):
    """The keys of an API token that can be written: `description` of a new one, `active` of an inactive one."""

    description: Annotated[str, Meta(pattern=r"^[^\x00]*$", max_length=1000)] | None = None
    active: bool = True


def _check(values: ApiTokenInput) -> None:
    if not values.active:
        raise RecordInvalid(active=("can only be true; delete the API token instead", "InvalidValue"))


_PARSER = InputParser("api_token", ApiTokenInput, _check)


async def _list(request: Request, call: ApiCall) -> Response:
    """404 where API tokens are switched off."""
    if not accepts_api_tokens(call.service.settings.api_tokens, call.now):
        raise RecordNotFound
    tokens = [_view(call, token) for token in await _read(call)]
    return body_response(request, msgspec.json.encode({"api_tokens": tokens}))


async def _read(call: ApiCall) -> list[Token]:
    """Those that are neither revoked nor forgotten."""
    rule, now = call.service.settings.api_tokens, call.now
    tokens = [token for token in await call.service.store.list_credentials(call.account) if token.kind == "api_token"]
    return [token for token in tokens if token.revoked_at is None and not is_forgotten(rule, token.used_at, now)]


async def _create(request: Request, call: ApiCall) -> Response:
    """The whole token, once. It acts as its creator."""
    values, secret = await read_input(request, _PARSER), secrets.token_urlsafe(30)
    if not creates_api_tokens(call.service.settings.api_tokens, call.now):
        raise ApiTokensEnded

    def work(write: WriteTransaction) -> int:
        return write.add_credential(call.identity.user_id, "api_token", hash_token(secret), values.description)

    token = await _find(call, await call.service.store.write(call.account, work))
    return uncached_response(request, 201, msgspec.json.encode({"api_token": {**_view(call, token), "token": secret}}))


async def _reactivate(request: Request, call: ApiCall) -> Response:
    await read_input(request, _PARSER)
    token = await _find(call, path_id(request))
    if not is_active(call.service.settings.api_tokens, token.used_at, call.now):
        await call.service.store.write(call.account, lambda write: write.use_credential(token.id, write.now))
        token = await _find(call, token.id)
    return written_response(request, 200, msgspec.json.encode({"api_token": _view(call, token)}))


async def _delete(request: Request, call: ApiCall) -> Response:
    token = await _find(call, path_id(request))
    await call.service.store.write(call.account, lambda write: write.revoke_credential(token.id))
    return written_response(request, 204, b"")


async def _find(call: ApiCall, id: int) -> Token:
    """Raises RecordNotFound."""
    for token in await _read(call):
        if token.id == id:
            return token
    raise RecordNotFound


def _view(call: ApiCall, token: Token) -> dict[str, Any]:
    created_at = wire_second(token.created_at)
    return {
        "id": token.id,
        "user_id": token.user_id,
        "assigned_user_id": token.user_id,
        "description": token.description or "",
        "active": is_active(call.service.settings.api_tokens, token.used_at, call.now),
        "created_at": created_at,
        "updated_at": created_at,
        "last_used": None if token.last_used is None else wire_second(token.last_used),
    }


_route = partial(ApiRoute, tag="OAuth", role="admin")
_ONE, _BODY = {"api_token": "object"}, {"api_token": ApiTokenInput}

API_TOKEN_ROUTES = [
    _route(
        "GET",
        "/api_tokens",
        _list,
        summary="List API tokens",
        ignored=("include_users",),
        answer={"api_tokens": "array"},
    ),
    _route("POST", "/api_tokens", _create, summary="Create API token", body=_BODY, answer=_ONE, statuses=(201,)),
    _route("PUT", "/api_tokens/{id:int}", _reactivate, summary="Reactivate API token", body=_BODY, answer=_ONE),
    _route("DELETE", "/api_tokens/{id:int}", _delete, summary="Delete API token", statuses=(204,)),
]
