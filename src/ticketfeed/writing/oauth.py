"""Issues OAuth tokens inside a write transaction: for a code, for a refresh token, or for the client itself.

The transaction holds the account's row. So a code or refresh token that two requests send at once is used by one of
them, and the other finds it used.
"""

from typing import Literal

import msgspec

from ticketfeed.protocol.credentials import hash_token
from ticketfeed.protocol.errors import InvalidClient, InvalidGrant, UnauthorizedClient
from ticketfeed.protocol.oauth import (
    Lifetimes,
    NewSecrets,
    OauthClient,
    OauthToken,
    check_code,
    check_renewal,
    choose_scopes,
    make_token,
)
from ticketfeed.protocol.token_request import TokenRequest
from ticketfeed.storage.write_contract import WriteTransaction

__all__ = ["ReusePolicy", "add_token", "issue_token"]

# What happens when a refresh token or code is sent again that was used before.
ReusePolicy = Literal["refuse", "revoke_family"]


class _User(msgspec.Struct):
    active: bool = True
    suspended: bool | None = False


def issue_token(
    write: WriteTransaction, client: OauthClient, request: TokenRequest, secrets: NewSecrets, reuse: ReusePolicy
) -> OauthToken | InvalidGrant:
    """The token that a request of an authenticated client is answered with.

    Raises InvalidClient, InvalidGrant, InvalidScope, UnauthorizedClient; an InvalidGrant whose family was revoked is
    returned, as what was written must be stored.
    """
    current = write.find_client_by_id(client.id)
    if current is None or current.secret_hash != client.secret_hash:  # changed since it was authenticated
        raise InvalidClient
    match request.grant_type:
        case "authorization_code":
            return _exchange(write, current, request, secrets, reuse)
        case "refresh_token":
            return _renew(write, current, request, secrets, reuse)
    if current.is_public or not _may_act(write, current.user_id):
        raise UnauthorizedClient
    scopes = choose_scopes(current, request.scope, None) if not request.has_bad_scope else request.scope or ""
    return add_token(write, current, current.user_id, scopes, secrets, request.lifetimes)


def add_token(
    write: WriteTransaction,
    client: OauthClient,
    user_id: int,
    scopes: str,
    secrets: NewSecrets,
    lifetimes: Lifetimes,
    *,
    family: int | None = None,
    is_endless: bool = False,
) -> OauthToken:
    """Store a new token (`oauth.make_token`)."""
    id, now = write.next_oauth_id(), write.now
    token = make_token(id, client, user_id, scopes, secrets, lifetimes, now, family=family, is_endless=is_endless)
    write.add_oauth_token(token)
    return token


def _exchange(
    write: WriteTransaction, client: OauthClient, request: TokenRequest, secrets: NewSecrets, reuse: ReusePolicy
) -> OauthToken | InvalidGrant:
    code_hash = hash_token(request.code or "")
    found = write.find_code(code_hash)
    if found is not None and found.token_id is not None and found.client_id == client.id and reuse == "revoke_family":
        return _revoked(write, found.token_id)
    code = check_code(found, client, request.redirect_uri, request.code_verifier, write.now)
    scopes = _scopes(client, request, code.scopes)
    if not _may_act(write, code.user_id):
        raise InvalidGrant
    token = add_token(write, client, code.user_id, scopes, secrets, request.lifetimes)
    write.use_code(code_hash, token.id)
    return token


def _renew(
    write: WriteTransaction, client: OauthClient, request: TokenRequest, secrets: NewSecrets, reuse: ReusePolicy
) -> OauthToken | InvalidGrant:
    found = write.find_refresh_token(hash_token(request.refresh_token or ""))
    if found is not None and found.ended_at is not None and found.client_id == client.id and reuse == "revoke_family":
        return _revoked(write, found.family)
    old = check_renewal(found, client, write.now)
    scopes = _scopes(client, request, old.scopes)
    if not _may_act(write, old.user_id):
        raise InvalidGrant
    write.end_oauth_token(old.id)
    return add_token(write, client, old.user_id, scopes, secrets, request.lifetimes, family=old.family)


def _scopes(client: OauthClient, request: TokenRequest, granted: str) -> str:
    return request.scope or "" if request.has_bad_scope else choose_scopes(client, request.scope, granted)


def _revoked(write: WriteTransaction, family: int) -> InvalidGrant:
    write.end_family(family)
    return InvalidGrant()


def _may_act(write: WriteTransaction, user_id: int) -> bool:
    """Whether somebody may act as this user."""
    body = write.find_records("users", [user_id]).get(user_id)
    if body is None:
        return False
    user = msgspec.json.decode(body, type=_User)
    return user.active and not user.suspended
