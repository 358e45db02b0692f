"""The identities of a user: what was stored of them, and the email address that is in the user.

The primary email address is the user's `email`. It is an identity also where none was stored, as after a load of users
alone: that one has the id of its user.
"""

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Raw

from ticketfeed.protocol.records import split_record
from ticketfeed.protocol.stored_records import StoredDecoder

__all__ = ["derived_identity", "identities_of"]


class _User(msgspec.Struct):
    id: int
    email: str | None = None
    verified: Any = None
    created_at: Any = None


class _Identity(msgspec.Struct):
    id: int
    type: str
    value: str
    primary: Any = None


_USER = StoredDecoder(_User)
_IDENTITY = StoredDecoder(_Identity)


def identities_of(user: bytes, stored: Sequence[bytes], account: str) -> list[tuple[int, bytes]]:
    """(id, body) of every identity by id. `stored`: those in the store. The email of the user is the primary one."""
    email = (_USER.decode(user).email or "").strip().lower()
    bodies = list(stored)
    if values := derived_identity(user, stored):
        base = f"https://{account}.zendesk.com/api/v2/users/{values['user_id']}/identities"
        bodies.append(msgspec.json.encode({"url": f"{base}/{values['id']}.json", **values}))
    return sorted(_with_primary(body, email) for body in bodies)


def derived_identity(user: bytes, stored: Sequence[bytes]) -> dict[str, Any] | None:
    """The keys of the user's email as an identity; None if there is none, or if it is stored."""
    found, known = _USER.decode(user), [_IDENTITY.decode(body) for body in stored]
    email = (found.email or "").strip().lower()
    if not email or any(each.type == "email" and each.value.strip().lower() == email for each in known):
        return None
    ids = {each.id for each in known}
    return {
        "id": found.id if found.id not in ids else max(ids) + 1,
        "user_id": found.id,
        "type": "email",
        "value": found.email,
        "verified": found.verified is True,
        "primary": True,
        "created_at": found.created_at,
        "updated_at": found.created_at,
        "undeliverable_count": 0,
        "deliverable_state": "deliverable",
    }


def _with_primary(body: bytes, email: str) -> tuple[int, bytes]:
    identity = _IDENTITY.decode(body)
    is_primary = identity.value.strip().lower() == email if email and identity.type == "email" else None
    if not email or is_primary is None or is_primary == identity.primary:
        return identity.id, body
    values: dict[str, Any] = {**split_record(body), "primary": Raw(b"true" if is_primary else b"false")}
    return identity.id, msgspec.json.encode(values)
