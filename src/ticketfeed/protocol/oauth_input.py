"""An OAuth client or token as an admin sends it -> typed values, checked."""

import re
from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from ticketfeed.protocol.errors import RecordInvalid
from ticketfeed.protocol.oauth import is_redirect_uri
from ticketfeed.protocol.record_types import Id
from ticketfeed.protocol.request_body import InputParser
from ticketfeed.protocol.scopes import is_scope

__all__ = ["CLIENT_PARSER", "TOKEN_PARSER", "ClientInput", "TokenInput", "need_identifier"]

# PostgreSQL cannot store a NUL.
Text = Annotated[str, Meta(pattern=r"^[^\x00]*$", max_length=1000)]
# One word without spaces: it stands in URLs and, before a colon, in Basic credentials.
_IDENTIFIER = re.compile(r"[!-9;-~]{1,255}")
LIST_MAX = 100


class ClientInput(msgspec.Struct):
    """The keys of a client that can be written."""

    name: Text | UnsetType | None = UNSET
    identifier: Text | UnsetType | None = UNSET
    kind: Literal["public", "confidential", "unknown"] | UnsetType = UNSET
    user_id: Id | UnsetType = UNSET
    redirect_uri: list[Text] | Text | UnsetType | None = UNSET
    allowed_scopes: list[Text] | UnsetType | None = UNSET
    company: Text | UnsetType | None = UNSET
    description: Text | UnsetType | None = UNSET
    logo_url: Text | UnsetType | None = UNSET

    def redirect_uris(self) -> list[str]:
        """An array, or a text with one on each line."""
        value = self.redirect_uri
        return value.split() if isinstance(value, str) else list(value or ())


class TokenInput(msgspec.Struct):
    """The keys of a token that can be written. `client_id` is the client's number."""

    client_id: Id | None = None
    scopes: list[Text] | None = None


def need_identifier(identifier: str) -> None:
    """Raises RecordInvalid for one that cannot be sent."""
    if not _IDENTIFIER.fullmatch(identifier):
        raise RecordInvalid(identifier=("is invalid", "InvalidFormat"))


def _check_client(client: ClientInput) -> None:
    for key in ("name", "identifier"):
        value = getattr(client, key)
        if value is not UNSET and not (value or "").strip():
            raise RecordInvalid(**{key: ("cannot be blank", "BlankValue")})
    if client.identifier is not UNSET:
        need_identifier(client.identifier or "")
    uris = client.redirect_uris()
    if len(uris) > LIST_MAX or not all(map(is_redirect_uri, uris)):
        raise RecordInvalid(
            redirect_uri=("must be absolute and begin with https://, without a fragment", "InvalidFormat")
        )
    if isinstance(client.allowed_scopes, list):
        wrong = next((scope for scope in client.allowed_scopes if not is_scope(scope)), None)
        if wrong is not None:
            raise RecordInvalid(allowed_scopes=(f"{wrong[:80]} is no scope", "InvalidValue"))


def _check_token(token: TokenInput) -> None:
    if token.client_id is None:
        raise RecordInvalid(client_id=("cannot be blank", "BlankValue"))
    if not token.scopes or not all(scope.strip() for scope in token.scopes) or len(token.scopes) > LIST_MAX:
        raise RecordInvalid(scopes=("cannot be blank", "BlankValue"))


CLIENT_PARSER = InputParser("client", ClientInput, _check_client)
TOKEN_PARSER = InputParser("token", TokenInput, _check_token)
