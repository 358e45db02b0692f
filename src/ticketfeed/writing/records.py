"""Users, groups, organizations and the other records, inside one write: made, changed, deleted.

What is deleted stays, and says so: exports and sideloads tell of it, lists do not.
"""

from typing import Any

import msgspec
from msgspec import Raw

from ticketfeed.protocol.errors import BadRecord, RecordInvalid, RecordNotFound, RoleTooLow
from ticketfeed.protocol.model import Identity
from ticketfeed.protocol.record_input import WRITES, check_input
from ticketfeed.protocol.records import RecordDraft, SearchText, is_deleted, parse_record, split_record, wire_second
from ticketfeed.protocol.request_body import decode_input
from ticketfeed.storage.contract import WriteTransaction

__all__ = ["RecordWriter"]

_NO_SUCH = ("is invalid", "InvalidValue")
# Which records a value names.
_LINKS = {"organization_id": "organizations", "group_id": "groups", "default_group_id": "groups", "user_id": "users"}


class _Known(msgspec.Struct):
    """By what a record can be found that may be there already."""

    id: int | None = None
    email: SearchText | None = None
    external_id: SearchText | int | None = None


_KNOWN = msgspec.json.Decoder(_Known)
_OWN_FIELDS = ("user_fields", "organization_fields")


class _User(msgspec.Struct):
    id: int = 0
    role: str = "end-user"
    default_group_id: int | None = None


_USER = msgspec.json.Decoder(_User)


class RecordWriter:
    """Changes of the records of one kind, by one user, in one write."""

    def __init__(self, write: WriteTransaction, account: str, actor: Identity, kind: str) -> None:
        self._write, self._account, self._actor, self._kind = write, account, actor, kind

    def create(self, given: bytes) -> RecordDraft:
        """Raises RecordInvalid, MalformedRequest."""
        values = check_input(self._kind, given, is_new=True)
        self._check(values, None)
        self._check_role(None, values)
        if self._kind == "group_memberships":
            values = self._join_group(values)
        return self._put({"id": self._write.next_id(self._kind), **values})

    def update(self, id: int, given: bytes) -> RecordDraft:
        """Raises RecordNotFound, RecordInvalid, MalformedRequest."""
        body = self._find(id)
        values = check_input(self._kind, given, is_new=False)
        self._check(values, id)
        self._check_role(body, values)
        before = split_record(body)
        for name in _OWN_FIELDS:  # those that are not named stay
            if name in values:
                values[name] = Raw(msgspec.json.encode({**_object(before.get(name)), **_object(values[name])}))
        return self._put({**before, **values})

    def create_or_update(self, given: bytes) -> tuple[RecordDraft, bool]:
        """By id, external_id or email; and whether it is new."""
        known = decode_input(_KNOWN, given)
        body = self._write.find_records(self._kind, [known.id]).get(known.id) if known.id is not None else None
        if body is None and known.external_id:
            body = self._write.find_external(self._kind, str(known.external_id))
        if body is None and self._kind == "users" and known.email:
            body = self._write.find_user(known.email)
        if body is None or is_deleted(self._kind, body):
            return self.create(given), True
        return self.update(msgspec.json.decode(body, type=_Known).id or 0, given), False

    def delete(self, id: int) -> RecordDraft:
        """Raises RecordNotFound, RecordInvalid, RoleTooLow. A user is deactivated, and may no longer come in."""
        body = self._find(id)
        self._check_role(body, {})
        if self._kind == "users" and id == self._actor.user_id:
            raise RecordInvalid(base=("you cannot delete yourself", "InvalidValue"))
        deletion = WRITES[self._kind].deletion
        value = wire_second(self._write.now) if deletion.value is None else deletion.value
        if self._kind == "group_memberships":
            self._leave_group(body)
        return self._put({**split_record(body), deletion.key: value})

    def id_of(self, external_id: str) -> int:
        """Raises RecordNotFound."""
        body = self._write.find_external(self._kind, external_id)
        if body is None or is_deleted(self._kind, body):
            raise RecordNotFound
        return _KNOWN.decode(body).id or 0

    def _find(self, id: int) -> bytes:
        body = self._write.find_records(self._kind, [id]).get(id)
        if body is None or is_deleted(self._kind, body):
            raise RecordNotFound
        return body

    def _check(self, values: dict[str, Raw], id: int | None) -> None:
        """What is named must be there, and what names one record alone must not name another."""
        for name, kind in _LINKS.items():
            linked = msgspec.json.decode(values[name]) if name in values else None
            if linked is not None:
                body = self._write.find_records(kind, [linked]).get(linked)
                if body is None or is_deleted(kind, body):
                    raise RecordInvalid(**{name: _NO_SUCH})
        if self._kind not in ("users", "organizations"):
            return
        email, external_id = (msgspec.json.decode(values.get(name, b"null")) for name in ("email", "external_id"))
        if email and self._kind == "users" and self._is_taken(self._write.find_user(email), id):
            raise RecordInvalid(email=(f"{email} is already being used by another user", "DuplicateValue"))
        if external_id and self._is_taken(self._write.find_external(self._kind, external_id), id):
            raise RecordInvalid(external_id=(f"{external_id} has already been taken", "DuplicateValue"))

    def _is_taken(self, found: bytes | None, id: int | None) -> bool:
        return found is not None and _KNOWN.decode(found).id != id and not is_deleted(self._kind, found)

    def _check_role(self, body: bytes | None, values: dict[str, Raw]) -> None:
        """An agent writes end users, and what is said of the agent, but gives nobody another role."""
        if self._kind != "users" or self._actor.role == "admin":
            return
        before = _USER.decode(body) if body is not None else _User()
        after = msgspec.json.decode(values["role"]) if "role" in values else before.role
        if after != before.role or (before.role != "end-user" and before.id != self._actor.user_id):
            raise RoleTooLow

    def _join_group(self, values: dict[str, Raw]) -> dict[str, Raw]:
        """The first group of an agent is the default one."""
        user_id, group_id = msgspec.json.decode(values["user_id"]), msgspec.json.decode(values["group_id"])
        user = _USER.decode(self._write.find_records("users", [user_id])[user_id])
        if user.role == "end-user":
            raise RecordInvalid(user_id=("must be an agent", "InvalidValue"))
        if user.default_group_id is None or bytes(values.get("default", b"")) == b"true":
            self._set_default_group(user_id, group_id)
            values = {**values, "default": Raw(b"true")}
        return values

    def _leave_group(self, membership: bytes) -> None:
        link: dict[str, Any] = msgspec.json.decode(membership)
        body = self._write.find_records("users", [link["user_id"]]).get(link["user_id"])
        if body is not None and _USER.decode(body).default_group_id == link["group_id"]:
            self._set_default_group(link["user_id"], None)

    def _set_default_group(self, user_id: int, group_id: int | None) -> None:
        users = RecordWriter(self._write, self._account, self._actor, "users")
        body = self._write.find_records("users", [user_id])[user_id]
        users._put({**split_record(body), "default_group_id": group_id})

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


def _object(value: Raw | None) -> dict[str, Raw]:
    return (msgspec.json.decode(value, type=dict[str, Raw] | None) if value is not None else None) or {}


def _with_option_ids(options: Raw) -> list[dict[str, Any]]:
    """Each option of a drop-down has an id of its own."""
    given: list[dict[str, Any]] = msgspec.json.decode(options)
    used = max([option["id"] for option in given if isinstance(option.get("id"), int)], default=0)
    for option in given:
        if not isinstance(option.get("id"), int):
            used += 1
            option["id"] = used
    return given
