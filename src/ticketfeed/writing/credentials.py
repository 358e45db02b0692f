"""Creates credentials, and the user that one acts as if there is none yet."""

import secrets
from typing import Literal

import msgspec

from ticketfeed.protocol.credentials import PASSWORD_CHARS_MIN, TOKEN_CHARS_MIN, hash_password, hash_token
from ticketfeed.protocol.errors import BadInput
from ticketfeed.protocol.mirrors import LOCAL_ID_MIN
from ticketfeed.protocol.model import INT64_MAX, Account
from ticketfeed.protocol.records import make_record
from ticketfeed.storage.contract import WriteStore
from ticketfeed.storage.write_contract import CredentialKind, WriteTransaction

__all__ = ["Role", "add_user_credential"]

Role = Literal["admin", "agent", "end-user"]


class _User(msgspec.Struct):
    id: int
    role: str = "end-user"


async def add_user_credential(
    store: WriteStore,
    account: Account,
    email: str,
    role: str | None,
    kind: CredentialKind,
    secret: str,
    *,
    is_public: bool = False,
) -> int:
    """Bind a token or password to the user with this email, created if there is none; returns the credential's id.

    `is_public`: a well-known token, such as those of the demo, whose length says nothing. Raises BadInput if the secret
    is too short, the user has another role, or the token is in use.
    """
    chars_min = TOKEN_CHARS_MIN if kind == "api_token" else PASSWORD_CHARS_MIN
    if len(secret) < chars_min and not is_public:
        name = "token" if kind == "api_token" else "password"
        raise BadInput(f"the {name} is too short: use {chars_min} characters or more")
    secret_hash = hash_token(secret) if kind == "api_token" else hash_password(secret)

    def work(transaction: WriteTransaction) -> int:
        user = _find_or_create_user(transaction, account, email, role)
        return transaction.add_credential(user.id, kind, secret_hash)

    return await store.write(account, work)


def _find_or_create_user(transaction: WriteTransaction, account: Account, email: str, role: str | None) -> _User:
    body = transaction.find_user(email)
    if body is not None:
        user = msgspec.json.decode(body, type=_User)
        if role is not None and user.role != role:
            raise BadInput(f"the user {email} exists already, with the role {user.role}")
        return user
    # As large as the ids of the original, and random, so that users that are loaded later do not have it.
    id = secrets.randbelow(10**13) + 10**13
    if transaction.state.is_mirror:
        id = LOCAL_ID_MIN + secrets.randbelow(INT64_MAX - LOCAL_ID_MIN)
    user = _User(id=id, role=role or "admin")
    record = {"id": user.id, "name": email.partition("@")[0], "email": email.strip(), "role": user.role}
    transaction.put_records([make_record("users", record, account=account.subdomain, now=transaction.now)])
    return user
