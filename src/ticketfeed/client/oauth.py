"""Credentials of a source as values, and the token endpoint's half of OAuth: requests out, token pairs in."""

from base64 import b64encode
from dataclasses import dataclass, field
from typing import TypeAlias

import msgspec

from ticketfeed.client.page_parser import error_text
from ticketfeed.client.steps import Answer, Request
from ticketfeed.protocol.errors import SourceError
from ticketfeed.protocol.request_body import UNREADABLE

__all__ = [
    "Basic",
    "Bearer",
    "ClientCredentials",
    "Credentials",
    "RefreshToken",
    "Tokens",
    "parse_token_answer",
    "parse_token_file",
]

# Zendesk omits `expires_in` from its answer unless the request has it, and accepts 300 to 172,800 seconds.
EXPIRES_IN_SECONDS = 3600
# A token is renewed this long before it expires, so that it cannot die between being sent and being checked.
RENEW_EARLY_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Basic:
    """An email address with an API token."""

    email: str
    token: str = field(repr=False)

    def header(self) -> str:
        return "Basic " + b64encode(f"{self.email}/token:{self.token}".encode()).decode("ascii")


@dataclass(frozen=True, slots=True)
class Bearer:
    """An access token that somebody else renews."""

    token: str = field(repr=False)

    def header(self) -> str:
        return f"Bearer {self.token}"


@dataclass(frozen=True, slots=True)
class ClientCredentials:
    """A confidential OAuth client that acts as its own user."""

    client_id: str
    client_secret: str = field(repr=False)
    scope: str = "read"

    def request(self, _tokens: "Tokens") -> Request:
        body = {
            "grant_type": "client_credentials",
            "client_id": self.client_id,
            "client_secret": self.client_secret,
            "scope": self.scope,
            "expires_in": EXPIRES_IN_SECONDS,
        }
        return _token_request(body)


@dataclass(frozen=True, slots=True)
class RefreshToken:
    """An OAuth client with a refresh token that is used up by each renewal. The token file has the current one."""

    client_id: str
    client_secret: str | None = field(repr=False)
    file: str

    def request(self, tokens: "Tokens") -> Request:
        body: dict[str, object] = {
            "grant_type": "refresh_token",
            "refresh_token": tokens.refresh_token,
            "client_id": self.client_id,
            "expires_in": EXPIRES_IN_SECONDS,
        }
        if self.client_secret is not None:
            body["client_secret"] = self.client_secret
        return _token_request(body)


Credentials: TypeAlias = Basic | Bearer | ClientCredentials | RefreshToken


def _token_request(body: dict[str, object]) -> Request:
    headers = {"content-type": "application/json"}
    return Request("/oauth/tokens", headers, "POST", msgspec.json.encode(body))


class Tokens(msgspec.Struct, frozen=True, omit_defaults=True):
    """The contents of the token file. `expires_at`: Unix seconds; None where the answer has no expires_in."""

    access_token: str | None = None
    refresh_token: str | None = None
    expires_at: float | None = None

    def is_fresh(self, now: float) -> bool:
        """Whether the access token may be sent."""
        if self.access_token is None:
            return False
        return self.expires_at is None or now < self.expires_at - RENEW_EARLY_SECONDS

    def header(self) -> str:
        return f"Bearer {self.access_token}"

    def encode(self) -> bytes:
        return msgspec.json.format(msgspec.json.encode(self), indent=2) + b"\n"


class _TokenAnswer(msgspec.Struct):
    access_token: str
    refresh_token: str | None = None
    expires_in: float | None = None


def parse_token_answer(answer: Answer, before: Tokens) -> Tokens:
    """The new tokens. Raises SourceError for an answer that has none."""
    try:
        granted = msgspec.json.decode(answer.body, type=_TokenAnswer)
    except UNREADABLE:
        raise SourceError(
            f"the token endpoint returned no access token (status {answer.status}): {error_text(answer.body)}"
        ) from None
    expires_at = None if granted.expires_in is None else answer.at + granted.expires_in
    tokens = Tokens(granted.access_token, granted.refresh_token, expires_at)
    return msgspec.structs.replace(tokens, refresh_token=tokens.refresh_token or before.refresh_token)


def parse_token_file(content: bytes, name: str) -> Tokens:
    """A file that holds a refresh token alone, or what this module or a token endpoint wrote. Raises SourceError."""
    text = content.strip()
    if not text.startswith(b"{"):
        if not text or len(text.split()) > 1 or not text.isascii():
            raise SourceError(f"{name} has no refresh token: write one into it, alone or as JSON")
        return Tokens(refresh_token=text.decode("ascii"))
    try:
        tokens = msgspec.json.decode(text, type=Tokens)
    except UNREADABLE:
        raise SourceError(f"{name} has no refresh token: it is not the JSON of a token file") from None
    if not tokens.refresh_token:
        raise SourceError(f"{name} has no refresh_token")
    return tokens
