"""Users, groups, organizations and the other records, inside one write: made, changed, deleted.

What is deleted stays, and says so: exports and sideloads tell of it, lists do not.
"""

from typing import Any

import msgspec
from msgspec import Raw

from ticketfeed.protocol.errors import BadRecord, RecordInvalid, RecordNotFound
from ticketfeed.protocol.inputs import decode_input
from ticketfeed.protocol.model import Identity
from ticketfeed.protocol.record_inputs import DELETED, check_input
from ticketfeed.protocol.records import RecordDraft, is_deleted, parse_record, split_record, wire_second
from ticketfeed.storage.base import WriteTransaction

__all__ = ["RecordWriter"]

_NO_SUCH = ("is invalid", "InvalidValue")
# Which records a value names.
_LINKS = {"organization_id": "organizations", "group_id": "groups", "default_group_id": "groups", "user_id": "users"}


class _Known(msgspec.Struct):
    """By what a record can be found that may be there already."""

    id: int | None = None
    email: str | None = None
    external_id: str | None = None


_KNOWN = msgspec.json.Decoder(_Known)


class RecordWriter:
    """Changes of the records of one kind, by one user, in one write."""

    def __init__(self, write: WriteTransaction, account: str, actor: Identity, kind: str) -> None:
        self._write, self._account, self._actor, self._kind = write, account, actor, kind

    def create(self, given: bytes) -> RecordDraft:
        """Raises RecordInvalid, MalformedRequest."""
        values = check_input(self._kind, given, is_new=True)
        self._check(values, None)
        draft = self._put({"id": self._write.next_id(self._kind), **values})
        if self._kind == "group_memberships":
            self._join_group(draft)
        return draft

    def update(self, id: int, given: bytes) -> RecordDraft:
        """Raises RecordNotFound, RecordInvalid, MalformedRequest."""
        body = self._find(id)
        values = check_input(self._kind, given, is_new=False)
        self._check(values, id)
        return self._put({**split_record(body), **values})

    def create_or_update(self, given: bytes) -> tuple[RecordDraft, bool]:
        """By id, external_id or email; and whether it is new."""
        known = decode_input(_KNOWN, given)
        body = self._write.find_records(self._kind, [known.id]).get(known.id) if known.id is not None else None
        if body is None and known.external_id:
            body = self._write.find_external(self._kind, known.external_id)
        if body is None and self._kind == "users" and known.email:
            body = self._write.find_user(known.email)
        if body is None or is_deleted(self._kind, body):
            return self.create(given), True
        return self.update(msgspec.json.decode(body, type=_Known).id or 0, given), False

    def delete(self, id: int) -> RecordDraft:
        """Raises RecordNotFound, RecordInvalid. A user is deactivated, and may no longer come in."""
        body = self._find(id)
        if self._kind == "users" and id == self._actor.user_id:
            raise RecordInvalid(base=("you cannot delete yourself", "InvalidValue"))
        name, value = DELETED[self._kind]
        told = wire_second(self._write.now) if value == "time" else value
        return self._put({**split_record(body), name: told})

    def _find(self, id: int) -> bytes:
        body = self._write.find_records(self._kind, [id]).get(id)
        if body is None or is_deleted(self._kind, body):
            raise RecordNotFound
        return body

    def _check(self, values: dict[str, Raw], id: int | None) -> None:
        for name, kind in _LINKS.items():
            linked = msgspec.json.decode(values[name]) if name in values else None
            if linked is not None and not self._write.find_records(kind, [linked]):
                raise RecordInvalid(**{name: _NO_SUCH})
        email = msgspec.json.decode(values.get("email", b"null")) if self._kind == "users" else None
        if email is None:
            return
        if not email.strip().partition("@")[2]:
            raise RecordInvalid(email=(f"{email} is not properly formatted", "InvalidFormat"))
        other = self._write.find_user(email)
        if other is not None and _KNOWN.decode(other).id != id:
            raise RecordInvalid(email=(f"{email} is already being used by another user", "DuplicateValue"))

    def _join_group(self, membership: RecordDraft) -> None:
        """The first group of an agent is the default one."""
        link: dict[str, Any] = msgspec.json.decode(membership.body)
        body = self._write.find_records("users", [link["user_id"]])[link["user_id"]]
        if msgspec.json.decode(body).get("default_group_id") is None:
            users = RecordWriter(self._write, self._account, self._actor, "users")
            users.update(link["user_id"], b'{"default_group_id":%d}' % link["group_id"])

    def _put(self, values: dict[str, Any]) -> RecordDraft:
        values["updated_at"] = wire_second(self._write.now)
        if self._kind == "ticket_fields" and isinstance(values.get("custom_field_options"), Raw):
            values["custom_field_options"] = _with_option_ids(values["custom_field_options"])
        try:
            draft = parse_record(self._kind, msgspec.json.encode(values), account=self._account, now=self._write.now)
        except BadRecord as error:
            raise RecordInvalid(base=(str(error), "InvalidValue")) from None
        self._write.put_records([draft])
        return draft


def _with_option_ids(options: Raw) -> list[dict[str, Any]]:
    """Each option of a drop-down has an id of its own."""
    given: list[dict[str, Any]] = msgspec.json.decode(options)
    used = max([option["id"] for option in given if isinstance(option.get("id"), int)], default=0)
    for option in given:
        if not isinstance(option.get("id"), int):
            used += 1
            option["id"] = used
    return given
