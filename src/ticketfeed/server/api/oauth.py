"""OAuth clients, tokens and API tokens as an admin manages them below `/api/v2`."""

import secrets
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from ticketfeed.protocol.errors import InvalidScope, RecordInvalid, RecordNotFound
from ticketfeed.protocol.list_request import parse_list_request, slice_rows
from ticketfeed.protocol.oauth import Lifetimes, OauthClient, OauthToken
from ticketfeed.protocol.oauth_input import CLIENT_PARSER, TOKEN_PARSER, ClientInput, TokenInput
from ticketfeed.protocol.oauth_views import client_view, token_view
from ticketfeed.protocol.query import parse_integer
from ticketfeed.protocol.record_list import parse_boolean
from ticketfeed.protocol.records import wire_second
from ticketfeed.protocol.rows import ListRow
from ticketfeed.protocol.scopes import allows
from ticketfeed.server.api.call import ApiCall, ApiRoute, Handler, path_id
from ticketfeed.server.api.lists import list_response, read_rows
from ticketfeed.server.api.parameters import LIST_PAGES, LIST_REFUSED
from ticketfeed.server.api.requests import read_input
from ticketfeed.server.api.token_endpoint import new_secrets
from ticketfeed.server.responses import body_response, uncached_response, written_response
from ticketfeed.storage.write_contract import WriteTransaction
from ticketfeed.writing.oauth import add_token
from ticketfeed.writing.oauth_clients import create_client, renew_secret, update_client

__all__ = ["OAUTH_ROUTES"]

T = TypeVar("T")


async def _list_tokens(request: Request, call: ApiCall) -> Response:
    """The caller's tokens; `all` gives an admin those of everybody."""
    is_all = call.identity.role == "admin" and "all" in call.query and parse_boolean("all", call.query["all"])
    tokens = [token for token in await _read_tokens(call) if is_all or token.user_id == call.identity.user_id]
    for name in ("client_id", "global_client_id"):
        if name in call.query:
            tokens = [token for token in tokens if token.client_id == parse_integer(call.query[name])]
    return await _page(request, call, "tokens", [(token.id, _token(call, token)) for token in tokens])


async def _read_tokens(call: ApiCall) -> list[OauthToken]:
    """Those that can still be used."""
    return [token for token in await call.service.store.list_oauth_tokens(call.account) if token.is_listed(call.now)]


async def _show_token(request: Request, call: ApiCall) -> Response:
    token = await _own_token(call, path_id(request))
    return body_response(request, msgspec.json.encode({"token": _token(call, token)}))


async def _show_current(request: Request, call: ApiCall) -> Response:
    """The token in use. An API token is shown as one that does not expire."""
    if call.identity.token_id:
        shown = _token(call, await _own_token(call, call.identity.token_id))
    else:
        url = f"https://{call.account.subdomain}.zendesk.com/api/v2/oauth/tokens/1.json"
        ends = {"expires_at": None, "refresh_token_expires_at": None}
        shown = {"url": url, "id": 1, "user_id": call.identity.user_id, "client_id": 1, **ends, "scopes": ["read"]}
    return body_response(request, msgspec.json.encode({"token": shown}))


async def _own_token(call: ApiCall, token_id: int) -> OauthToken:
    """A token of the caller; for an admin that of anybody. Raises RecordNotFound."""
    token = await call.service.store.find_oauth_token(call.account, token_id)
    if token is None or not token.is_listed(call.now):
        raise RecordNotFound
    if call.identity.role == "admin" or token.user_id == call.identity.user_id:
        return token
    raise RecordNotFound


async def _create_token(request: Request, call: ApiCall) -> Response:
    """A token that does not expire, and has any scopes that the client is allowed, known or not."""
    values = await read_input(request, TOKEN_PARSER)
    scopes = " ".join(values.scopes or ())

    def work(write: WriteTransaction) -> tuple[OauthToken, str]:
        client = write.find_client_by_id(values.client_id or 0)
        if client is None:
            raise RecordInvalid(client_id=("is invalid", "InvalidValue"))
        if not all(allows(client.allowed_scopes, scope) for scope in scopes.split()):
            raise InvalidScope
        made = new_secrets(call.service, call.account, client, with_refresh=False)
        return add_token(write, client, call.identity.user_id, scopes, made, Lifetimes(), is_endless=True), made.access

    token, access = await call.service.store.write(call.account, work)
    shown = {**_token(call, token), "token": access, "full_token": access}
    return uncached_response(request, 201, msgspec.json.encode({"token": shown}))


async def _delete_token(request: Request, call: ApiCall) -> Response:
    return await _end(request, call, path_id(request))


async def _delete_current(request: Request, call: ApiCall) -> Response:
    return await _end(request, call, call.identity.token_id)


async def _end(request: Request, call: ApiCall, token_id: int) -> Response:
    token = await _own_token(call, token_id)
    if not await call.service.store.write(call.account, lambda write: write.end_oauth_token(token.id)):
        raise RecordNotFound
    return written_response(request, 204, b"")


def _list_clients(*, of_caller: bool = False) -> Handler:
    async def list_clients(request: Request, call: ApiCall) -> Response:
        clients = await call.service.store.list_oauth_clients(call.account)
        shown = [client for client in clients if not of_caller or client.user_id == call.identity.user_id]
        return await _page(request, call, "clients", [(client.id, _client(call, client)) for client in shown])

    return list_clients


async def _list_global_clients(request: Request, call: ApiCall) -> Response:
    clients = [client for client in await call.service.store.list_oauth_clients(call.account) if client.is_global]
    return await _page(request, call, "global_clients", [(client.id, _client(call, client)) for client in clients])


async def _summarize_tokens(request: Request, call: ApiCall) -> Response:
    """For each global client, how many tokens it has and when one was last used."""
    clients = [client for client in await call.service.store.list_oauth_clients(call.account) if client.is_global]
    if "global_client_id" in call.query:
        clients = [client for client in clients if client.id == parse_integer(call.query["global_client_id"])]
    is_all = "include_expired" in call.query and parse_boolean("include_expired", call.query["include_expired"])
    stored, rows = await call.service.store.list_oauth_tokens(call.account), []
    tokens = [token for token in stored if is_all or token.is_listed(call.now)]
    for client in clients:
        own = [token for token in tokens if token.client_id == client.id]
        last = max((token.used_at for token in own if token.used_at is not None), default=None)
        used_at = None if last is None else wire_second(last)
        rows.append((client.id, {"id": client.id, "last_used_at": used_at, "tokens_count": len(own)}))
    return await _page(request, call, "global_clients", rows)


def _show_client(key: str) -> Handler:
    async def show_client(request: Request, call: ApiCall) -> Response:
        for client in await call.service.store.list_oauth_clients(call.account):
            if client.id == path_id(request) and (client.is_global or key == "client"):
                return body_response(request, msgspec.json.encode({key: _client(call, client)}))
        raise RecordNotFound

    return show_client


async def _create_client(request: Request, call: ApiCall) -> Response:
    values, secret = await read_input(request, CLIENT_PARSER), secrets.token_hex(32)
    client = await _write(call, lambda write: create_client(write, values, call.identity.user_id, secret))
    return _with_secret(request, call, 201, client, secret)


async def _update_client(request: Request, call: ApiCall) -> Response:
    values, client_id = await read_input(request, CLIENT_PARSER), path_id(request)
    client = await _write(call, lambda write: update_client(write, client_id, values))
    return written_response(request, 200, msgspec.json.encode({"client": _client(call, client)}))


async def _generate_secret(request: Request, call: ApiCall) -> Response:
    client_id, secret = path_id(request), secrets.token_hex(32)
    client = await _write(call, lambda write: renew_secret(write, client_id, secret))
    return _with_secret(request, call, 200, client, secret)


async def _delete_client(request: Request, call: ApiCall) -> Response:
    client_id = path_id(request)
    if not await _write(call, lambda write: write.delete_client(client_id)):
        raise RecordNotFound
    return written_response(request, 204, b"")


async def _write(call: ApiCall, work: Callable[[WriteTransaction], T]) -> T:
    return await call.service.store.write(call.account, work)


def _with_secret(request: Request, call: ApiCall, status: int, client: OauthClient, secret: str) -> Response:
    shown = client_view(client, call.account.subdomain, None if client.is_public else secret)
    return uncached_response(request, status, msgspec.json.encode({"client": shown}))


def _token(call: ApiCall, token: OauthToken) -> dict[str, Any]:
    return token_view(token, call.account.subdomain)


def _client(call: ApiCall, client: OauthClient) -> dict[str, Any]:
    return client_view(client, call.account.subdomain)


async def _page(request: Request, call: ApiCall, key: str, objects: Sequence[tuple[int, dict[str, Any]]]) -> Response:
    """A page of a list that is all in memory."""
    list_request = parse_list_request(call.query)
    rows = [ListRow(id, id, msgspec.json.encode(shown)) for id, shown in objects]
    page = read_rows(slice_rows(rows, list_request.part))
    return await list_response(request, call, key, list_request, page, len(rows))


_route = partial(ApiRoute, tag="OAuth")
_list = partial(_route, "GET", refused=(*LIST_REFUSED, "sort"))
_TOKEN, _CLIENT, _CLIENTS = {"token": "object"}, {"client": "object"}, "/oauth/clients"
_BODY = {"client": ClientInput}
_GLOBAL = "/oauth/global_clients"

OAUTH_ROUTES = [
    _list(
        "/oauth/tokens",
        _list_tokens,
        summary="List OAuth tokens",
        role="end-user",
        parameters=(*LIST_PAGES, "all", "client_id", "global_client_id"),
        answer={"tokens": "array"},
    ),
    _route(
        "POST",
        "/oauth/tokens",
        _create_token,
        summary="Create OAuth token",
        role="end-user",
        body={"token": TokenInput},
        answer=_TOKEN,
        statuses=(201,),
    ),
    _route(
        "GET",
        "/oauth/tokens/current",
        _show_current,
        summary="Show the token in use",
        role="end-user",
        answer=_TOKEN,
        scopes=(),
    ),
    _route(
        "DELETE",
        "/oauth/tokens/current",
        _delete_current,
        summary="Revoke the token in use",
        role="end-user",
        statuses=(204,),
        scopes=(),
    ),
    _route("GET", "/oauth/tokens/{id:int}", _show_token, summary="Show OAuth token", role="end-user", answer=_TOKEN),
    _route(
        "DELETE",
        "/oauth/tokens/{id:int}",
        _delete_token,
        summary="Revoke OAuth token",
        role="end-user",
        statuses=(204,),
    ),
    *(
        _list(
            path,
            _list_clients(of_caller=path != _CLIENTS),
            summary=summary,
            role="admin",
            parameters=LIST_PAGES,
            answer={"clients": "array"},
        )
        for path, summary in (
            (_CLIENTS, "List OAuth clients"),
            ("/users/me/oauth/clients", "List the OAuth clients of the caller"),
        )
    ),
    _route(
        "POST",
        _CLIENTS,
        _create_client,
        summary="Create OAuth client",
        role="admin",
        body=_BODY,
        answer=_CLIENT,
        statuses=(201,),
    ),
    _route(
        "GET",
        f"{_CLIENTS}/{{id:int}}",
        _show_client("client"),
        summary="Show OAuth client",
        role="admin",
        answer=_CLIENT,
    ),
    _route(
        "PUT",
        f"{_CLIENTS}/{{id:int}}",
        _update_client,
        summary="Update OAuth client",
        role="admin",
        body=_BODY,
        answer=_CLIENT,
    ),
    _route(
        "DELETE",
        f"{_CLIENTS}/{{id:int}}",
        _delete_client,
        summary="Delete OAuth client with its tokens",
        role="admin",
        statuses=(204,),
    ),
    _route(
        "PUT",
        f"{_CLIENTS}/{{id:int}}/generate_secret",
        _generate_secret,
        summary="Replace the secret of an OAuth client",
        role="admin",
        answer=_CLIENT,
    ),
    _list(
        _GLOBAL,
        _list_global_clients,
        summary="List global OAuth clients",
        role="admin",
        parameters=LIST_PAGES,
        answer={"global_clients": "array"},
    ),
    _list(
        f"{_GLOBAL}/token_summary",
        _summarize_tokens,
        summary="Count the tokens of global OAuth clients",
        role="admin",
        parameters=(*LIST_PAGES, "global_client_id", "include_expired"),
        answer={"global_clients": "array"},
    ),
    _route(
        "GET",
        f"{_GLOBAL}/{{id:int}}",
        _show_client("global_client"),
        summary="Show global OAuth client",
        role="admin",
        answer={"global_client": "object"},
    ),
]
