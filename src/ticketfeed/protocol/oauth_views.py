"""OAuth clients and tokens as the wire shows them, and the answer of the token endpoint. Secrets are shown once."""

from typing import Any

from ticketfeed.protocol.oauth import NewSecrets, OauthClient, OauthToken
from ticketfeed.protocol.records import wire_second

__all__ = ["client_view", "token_answer", "token_view"]


def token_answer(token: OauthToken, secrets: NewSecrets, *, with_expires_in: bool) -> dict[str, Any]:
    """What a client is given for a grant. A lifetime that has no end is left out."""
    answer: dict[str, Any] = {"access_token": secrets.access}
    if secrets.refresh is not None:
        answer["refresh_token"] = secrets.refresh
    answer |= {"token_type": "bearer", "scope": token.scopes}
    if token.expires_at is not None and with_expires_in:
        answer["expires_in"] = token.expires_at - token.created_at
    if token.refresh_expires_at is not None:
        answer["refresh_token_expires_in"] = token.refresh_expires_at - token.created_at
    return answer


def token_view(token: OauthToken, account: str) -> dict[str, Any]:
    """A token without its secrets."""
    return {
        "client_id": token.client_id,
        "created_at": wire_second(token.created_at),
        "expires_at": _time(token.expires_at),
        "id": token.id,
        "refresh_token": token.refresh_start,
        "refresh_token_expires_at": _time(token.refresh_expires_at),
        "scopes": token.scopes.split(),
        "token": token.access_start,
        "url": f"https://{account}.zendesk.com/api/v2/tokens/{token.id}.json",
        "used_at": _time(token.used_at),
        "user_id": token.user_id,
    }


def client_view(client: OauthClient, account: str, secret: str | None = None) -> dict[str, Any]:
    """A client; with `secret`, which only the answer that creates it has, the whole secret."""
    return {
        "allowed_scopes": None if client.allowed_scopes is None else client.allowed_scopes.split(),
        "company": client.company,
        "created_at": wire_second(client.created_at),
        "description": client.description,
        "global": client.is_global,
        "id": client.id,
        "identifier": client.identifier,
        "kind": client.kind,
        "logo_url": client.logo_url,
        "name": client.name,
        "redirect_uri": client.redirect_uris.split(),
        "secret": client.secret_start if secret is None else secret,
        "updated_at": wire_second(client.updated_at),
        "url": f"https://{account}.zendesk.com/api/v2/clients/{client.id}.json",
        "user_id": client.user_id,
    }


def _time(second: int | None) -> str | None:
    return None if second is None else wire_second(second)
