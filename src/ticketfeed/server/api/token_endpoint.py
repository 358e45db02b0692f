"""`POST /oauth/tokens`: an access token for an authorization code, for a refresh token, or for the client itself."""

import secrets

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ticketfeed.protocol.errors import BodyTooLarge, InvalidGrant
from ticketfeed.protocol.model import Account
from ticketfeed.protocol.oauth import SIGNATURE_BYTES, NewSecrets, OauthClient, OauthToken, make_jwt
from ticketfeed.protocol.oauth_views import token_answer
from ticketfeed.protocol.token_request import parse_token_request
from ticketfeed.server.api.call import Service
from ticketfeed.server.api.client_checks import ClientChecks
from ticketfeed.server.api.requests import read_body
from ticketfeed.server.request_context import request_context
from ticketfeed.server.responses import uncached_response
from ticketfeed.storage.write_contract import WriteTransaction
from ticketfeed.writing.oauth import issue_token

__all__ = ["TOKEN_ROUTES", "new_secrets"]

_PATH = "/oauth/tokens"
# More than any client sends.
BODY_BYTES_MAX = 64 * 1024


async def _grant(request: Request) -> Response:
    service: Service = request.app.state.service
    context, settings = request_context(request.scope), service.settings
    context.endpoint = f"POST {_PATH}"
    context.account = account = await service.accounts.find(request.headers.get("host", ""))
    headers = request.headers
    query, kind = request.scope["query_string"], headers.get("content-type", "")
    body = await read_body(request)
    if len(body) > BODY_BYTES_MAX:  # anybody may send one, and it is parsed at once
        raise BodyTooLarge(BODY_BYTES_MAX)
    asked = parse_token_request(body, kind, query, headers.get("authorization"))
    address = (request.scope.get("client") or ("",))[0]
    checks: ClientChecks = request.app.state.client_checks
    client = await checks.find(account, asked.client_id, asked.client_secret, address)
    made = new_secrets(service, account, client, with_refresh=asked.grant_type != "client_credentials")

    def work(write: WriteTransaction) -> OauthToken | InvalidGrant:
        return issue_token(write, client, asked, made, settings.oauth_reuse)

    token = await service.store.write(account, work)
    if isinstance(token, InvalidGrant):
        raise token
    is_told = settings.oauth_expires_in == "always" or asked.lifetimes.access is not None
    answer = token_answer(token, made, with_expires_in=is_told)
    return uncached_response(request, int(settings.oauth_success_status), msgspec.json.encode(answer))


def new_secrets(service: Service, account: Account, client: OauthClient, *, with_refresh: bool) -> NewSecrets:
    """Random tokens for a client."""
    access, refresh = secrets.token_hex(32), secrets.token_hex(32) if with_refresh else None
    if service.settings.oauth_token_format == "jwt":
        now = service.now(account)
        claims = {"iss": f"https://{account.subdomain}.zendesk.com", "client_id": client.identifier, "iat": now}
        access = make_jwt({**claims, "jti": access}, secrets.token_bytes(SIGNATURE_BYTES))
    return NewSecrets(access, refresh)


TOKEN_ROUTES = [Route(_PATH, _grant, methods=["POST"])]
