"""The part of the Store contract that OAuth needs: clients, tokens and authorization codes, by their hashes.

As everywhere in a store, a write transaction holds the account's row. So of two renewals of one token the second finds
that it has ended.
"""

from typing import NamedTuple, Protocol

from ticketfeed.protocol.model import Account
from ticketfeed.protocol.oauth import AuthorizationCode, OauthClient, OauthToken

__all__ = ["AccessToken", "OauthStore", "OauthTransaction"]


class AccessToken(NamedTuple):
    """An access token that was not ended, with what its client is allowed and the body of its user."""

    id: int
    client_id: int
    scopes: str
    expires_at: int | None
    used_at: int | None
    allowed_scopes: str | None
    user: bytes


class OauthStore(Protocol):
    """Reads from the primary: a token that was just ended is not found."""

    async def find_access_token(self, account: Account, access_hash: str) -> AccessToken | None:
        """The token with this hash, expired or not; None if there is none, it was ended, or its user is missing."""

    async def find_oauth_client(self, account: Account, identifier: str) -> OauthClient | None:
        """The client with this identifier; None if there is none."""

    async def find_oauth_token(self, account: Account, token_id: int) -> OauthToken | None:
        """The token with this id, expired or not; None if there is none, or it was ended."""

    async def list_oauth_clients(self, account: Account) -> list[OauthClient]:
        """Every client, by id."""

    async def list_oauth_tokens(self, account: Account) -> list[OauthToken]:
        """Every token that was not ended, by id."""


class OauthTransaction(Protocol):
    """The part of a WriteTransaction that writes them."""

    def next_oauth_id(self) -> int:
        """One more than the largest id of a client or token, at least OAUTH_ID_MIN."""

    def find_client(self, identifier: str) -> OauthClient | None:
        """The client with this identifier; None if there is none."""

    def find_client_by_id(self, client_id: int) -> OauthClient | None:
        """The client with this id; None if there is none."""

    def put_client(self, client: OauthClient) -> None:
        """Store a client, or replace it. What its tokens may do follows its allowed scopes at once."""

    def delete_client(self, client_id: int) -> bool:
        """Delete a client with its tokens and codes; False if there is none."""

    def find_oauth_token(self, token_id: int) -> OauthToken | None:
        """The token with this id, ended or not; None if there is none."""

    def find_refresh_token(self, refresh_hash: str) -> OauthToken | None:
        """The token whose refresh token has this hash, ended or not; None if there is none."""

    def add_oauth_token(self, token: OauthToken) -> None:
        """Store a new token. Deletes tokens and codes that can be forgotten."""

    def end_oauth_token(self, token_id: int) -> bool:
        """End a token; False if there is none, or it has ended before."""

    def end_family(self, family: int) -> int:
        """End all tokens of a family; returns how many there were."""

    def use_oauth_token(self, token_id: int, used_at: int) -> None:
        """Store when a token was last used. It changes nothing that a reader of tickets is given."""

    def add_code(self, code: AuthorizationCode) -> None:
        """Store a new authorization code."""

    def find_code(self, code_hash: str) -> AuthorizationCode | None:
        """The code with this hash, used or not; None if there is none."""

    def use_code(self, code_hash: str, token_id: int) -> None:
        """Store which token a code was exchanged for."""
