"""Creates and changes OAuth clients inside a write transaction."""

from dataclasses import replace
from typing import Any

import msgspec
from msgspec import UNSET

from ticketfeed.protocol.credentials import hash_token
from ticketfeed.protocol.errors import BadInput, RecordInvalid, RecordNotFound
from ticketfeed.protocol.model import Account, Slice
from ticketfeed.protocol.oauth import SHOWN_SECRET_CHARS, OauthClient
from ticketfeed.protocol.oauth_input import ClientInput
from ticketfeed.storage.contract import RecordStore
from ticketfeed.storage.write_contract import WriteTransaction

__all__ = ["create_client", "find_client", "find_first_admin", "renew_secret", "update_client", "user_with_email"]

USERS_AT_ONCE = 500


class _User(msgspec.Struct):
    id: int
    role: str = "end-user"
    active: bool = True
    suspended: bool | None = False


def find_client(write: WriteTransaction, client_id: int) -> OauthClient:
    """Raises RecordNotFound."""
    client = write.find_client_by_id(client_id)
    if client is None:
        raise RecordNotFound
    return client


async def find_first_admin(store: RecordStore, account: Account) -> int:
    """The active admin with the smallest id. Raises BadInput if there is none."""
    after = None
    while rows := await store.list_records(account, "users", Slice(USERS_AT_ONCE, after=after)):
        for row in rows:
            user = msgspec.json.decode(row.body, type=_User)
            if user.role == "admin" and user.active and not user.suspended:
                return row.id
        after = rows[-1].id, rows[-1].id
    raise BadInput(f"account {account.subdomain} has no admin; create one: ticketfeed token create --email EMAIL")


def user_with_email(write: WriteTransaction, email: str) -> int:
    """The id of the user with this email. Raises BadInput."""
    body = write.find_user(email)
    if body is None:
        raise BadInput(f"there is no user with the email {email!r}")
    return msgspec.json.decode(body, type=_User).id


def create_client(write: WriteTransaction, values: ClientInput, user_id: int, secret: str) -> OauthClient:
    """A new client of this user, unless `values` name another. Raises RecordInvalid."""
    for key in ("name", "identifier"):
        if getattr(values, key) is UNSET:
            raise RecordInvalid(**{key: ("cannot be blank", "BlankValue")})
    client = OauthClient(
        id=write.next_oauth_id(),
        identifier="",
        kind="confidential",
        name="",
        user_id=user_id,
        secret_hash=None,
        secret_start="",
        redirect_uris="",
        allowed_scopes=None,
        company=None,
        description=None,
        logo_url=None,
        created_at=write.now,
        updated_at=write.now,
    )
    client = _changed(write, client, values)
    if not client.is_public:
        client = _with_secret(client, secret)
    write.put_client(client)
    return client


def update_client(write: WriteTransaction, client_id: int, values: ClientInput) -> OauthClient:
    """Raises RecordNotFound, RecordInvalid."""
    client = replace(_changed(write, find_client(write, client_id), values), updated_at=write.now)
    if client.is_public:
        client = replace(client, secret_hash=None, secret_start="")
    write.put_client(client)
    return client


def renew_secret(write: WriteTransaction, client_id: int, secret: str) -> OauthClient:
    """Replace the secret of a client, whose tokens stay. Raises RecordNotFound, RecordInvalid."""
    client = find_client(write, client_id)
    if client.is_public:
        raise RecordInvalid(kind=("a public client has no secret", "InvalidValue"))
    client = replace(_with_secret(client, secret), updated_at=write.now)
    write.put_client(client)
    return client


def _with_secret(client: OauthClient, secret: str) -> OauthClient:
    return replace(client, secret_hash=hash_token(secret), secret_start=secret[:SHOWN_SECRET_CHARS])


def _changed(write: WriteTransaction, client: OauthClient, values: ClientInput) -> OauthClient:
    sent = {key: value for key in values.__struct_fields__ if (value := getattr(values, key)) is not UNSET}
    identifier = sent.get("identifier", client.identifier)
    other = write.find_client(identifier)
    if other is not None and other.id != client.id:
        raise RecordInvalid(identifier=(f"{identifier} has already been taken", "DuplicateValue"))
    if "user_id" in sent and sent["user_id"] not in write.find_records("users", [sent["user_id"]]):
        raise RecordInvalid(user_id=("is invalid", "InvalidValue"))
    columns: dict[str, Any] = {key: sent[key] for key in sent.keys() - {"redirect_uri", "allowed_scopes"}}
    if "redirect_uri" in sent:
        columns["redirect_uris"] = " ".join(values.redirect_uris())
    if "allowed_scopes" in sent:
        scopes = sent["allowed_scopes"]
        columns["allowed_scopes"] = None if scopes is None else " ".join(scopes)
    return replace(client, **columns)
