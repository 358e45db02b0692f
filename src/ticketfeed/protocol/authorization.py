"""A client's request for a user's consent -> typed values, or the error to send to its redirect URI."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlencode

from ticketfeed.protocol.oauth import OauthClient
from ticketfeed.protocol.scopes import allows, is_scope

__all__ = ["AuthorizationRequest", "Refusal", "parse_authorization", "redirect_url"]

Refusal = Literal["access_denied", "invalid_request", "invalid_scope", "unsupported_response_type"]

# As in the library whose texts the wire has.
_TEXTS: dict[Refusal, str] = {
    "access_denied": "The end-user or authorization server denied the request.",
    "invalid_request": (
        "The request is missing a required parameter, includes an unsupported parameter or parameter value, or is "
        "otherwise malformed."
    ),
    "invalid_scope": "The requested scope is invalid, unknown, or malformed.",
    "unsupported_response_type": "The requested response type is not supported by the authorization server.",
}
CHALLENGE_CHARS_MAX = 128


@dataclass(frozen=True, slots=True)
class AuthorizationRequest:
    """What a user is asked to consent to. A challenge without a method is taken, and then never met."""

    scopes: str
    challenge: str | None
    challenge_method: str | None


def parse_authorization(parameters: Mapping[str, str], client: OauthClient) -> AuthorizationRequest | Refusal:
    """The request, but for its client and redirect URI, which are known to be right."""
    kind = parameters.get("response_type", "")
    if kind != "code":
        return "unsupported_response_type" if kind else "invalid_request"
    scopes = parameters.get("scope", "").split()
    if not scopes:
        return "invalid_request"
    if not all(is_scope(scope) and allows(client.allowed_scopes, scope) for scope in scopes):
        return "invalid_scope"
    challenge, method = parameters.get("code_challenge") or None, parameters.get("code_challenge_method") or None
    if method not in (None, "S256", "plain") or (challenge is None and (client.is_public or method is not None)):
        return "invalid_request"
    if challenge is not None and (len(challenge) > CHALLENGE_CHARS_MAX or not challenge.isascii()):
        return "invalid_request"
    return AuthorizationRequest(" ".join(scopes), challenge, method)


def redirect_url(redirect_uri: str, state: str | None, *, code: str = "", refusal: Refusal | None = None) -> str:
    """Where the user is sent back to: with the code, or with why there is none, and the client's `state`."""
    values = {"code": code} if refusal is None else {"error": refusal, "error_description": _TEXTS[refusal]}
    if state is not None:
        values["state"] = state
    separator = "&" if "?" in redirect_uri else "?"
    return f"{redirect_uri}{separator}{urlencode(values)}"
