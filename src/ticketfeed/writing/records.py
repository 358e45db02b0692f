"""Writes users, groups, organizations and the other records inside one write: created, changed, deleted.

A deleted record stays in the store, marked: exports and sideloads still have it, lists do not.
"""

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import UNSET, Raw

from ticketfeed.protocol.errors import BadRecord, RecordInvalid, RecordNotFound, RoleTooLow
from ticketfeed.protocol.model import Identity
from ticketfeed.protocol.record_input import WRITES, RecordChange, RecordKeys, parse_new_record
from ticketfeed.protocol.record_types import GroupMembershipRecord, NamedRecord, UserRecord
from ticketfeed.protocol.records import (
    RecordDraft,
    is_deleted,
    make_lookup_key,
    make_record,
    split_record,
    wire_second,
)
from ticketfeed.protocol.stored_records import StoredDecoder
from ticketfeed.storage.write_contract import WriteTransaction
from ticketfeed.writing.identities import IdentityWriter, find_person
from ticketfeed.writing.memberships import Memberships

__all__ = ["RecordWriter"]

_UNKNOWN = ("is invalid", "InvalidValue")
# Keys that name a record -> its kind.
_LINKS = {"organization_id": "organizations", "group_id": "groups", "default_group_id": "groups", "user_id": "users"}
# Keys whose value is an object of fields, of which a change names some.
_FIELD_VALUES = ("user_fields", "organization_fields")


class _FieldValues(msgspec.Struct):
    user_fields: dict[str, Raw] | None = None
    organization_fields: dict[str, Raw] | None = None


class _Record(msgspec.Struct):
    id: int = 0


_NAMED = StoredDecoder(NamedRecord)
_RECORD = msgspec.json.Decoder(_Record)
_USER = StoredDecoder(UserRecord)
_MEMBERSHIP = StoredDecoder(GroupMembershipRecord)
_FIELDS = msgspec.json.Decoder(dict[str, Raw] | None)
_STORED_FIELDS = StoredDecoder(_FieldValues)


class RecordWriter:
    """Writes records of one kind, by one user, in one write."""

    def __init__(self, write: WriteTransaction, account: str, actor: Identity, kind: str) -> None:
        self._write, self._account, self._actor, self._kind = write, account, actor, kind
        self._memberships = Memberships(write, account)

    def create(self, record: RecordChange) -> RecordDraft:
        """Create a record, checked as a new one. Raises RecordInvalid, RoleTooLow."""
        self._check_links(record)
        self._check_unique(record, None)
        self._check_name(record, None)
        self._check_role(None, record)
        values: dict[str, Any] = {"id": self._write.next_id(self._kind), **record.values, **self._organization(record)}
        if self._kind == "group_memberships" and self._join_group(record):
            values["default"] = True
        if self._kind == "organization_memberships":
            return self._join_organization(record, values)
        draft = self._put(values)
        if self._kind == "users":
            self._memberships.follow(draft.id, None, draft.organization_id)
        return self._with_identities(draft, record)

    def update(self, id: int, change: RecordChange) -> RecordDraft:
        """Change a record. Raises RecordNotFound, RecordInvalid, RoleTooLow."""
        body = self.find(id)
        self._check_links(change)
        self._check_unique(change, id)
        self._check_name(change, id)
        self._check_role(_USER.decode(body) if self._kind == "users" else None, change)
        values: dict[str, Any] = {**split_record(body), **change.values, **self._organization(change)}
        for name in _FIELD_VALUES:  # the fields that are not named keep their values
            if name in change.values:
                stored = getattr(_STORED_FIELDS.decode(body), name)
                values[name] = {**(stored or {}), **(_FIELDS.decode(change.values[name]) or {})}
        draft = self._put(values)
        if self._kind == "users":
            self._memberships.follow(id, _USER.decode(body).organization_id, draft.organization_id)
        return self._with_identities(draft, change)

    def create_or_update(self, keys: RecordKeys, record: RecordChange) -> tuple[RecordDraft, bool]:
        """Change the record with this id, external_id or email, or create one; and whether it is new.

        Raises RecordInvalid, RoleTooLow.
        """
        body = self._write.find_records(self._kind, [keys.id]).get(keys.id) if keys.id is not None else None
        if body is None and keys.external_id:
            body = self._write.find_external(self._kind, str(keys.external_id))
        if body is None and self._kind == "users" and keys.email:
            body = find_person(self._write, keys.email)
        if body is None and self._kind == "organizations" and isinstance(record.declared.name, str):
            id = self._id_of_name(record.declared.name)
            body = self._write.find_records(self._kind, [id]).get(id) if id is not None else None
        is_new = body is None or is_deleted(self._kind, body)
        record.check(is_new=is_new)
        if body is None or is_new:
            return self.create(record), True
        return self.update(_RECORD.decode(body).id, record), False

    def delete(self, id: int) -> RecordDraft:
        """Mark a record as deleted; a user may no longer sign in. Raises RecordNotFound, RecordInvalid, RoleTooLow."""
        body = self.find(id)
        if self._kind == "users":
            self._check_role(_USER.decode(body), None)
            if id == self._actor.user_id:
                raise RecordInvalid(base=("you cannot delete yourself", "InvalidValue"))
        draft = self._mark_deleted(body)
        if self._kind == "group_memberships":
            self._leave_group(_MEMBERSHIP.decode(body))
        if self._kind == "users":
            self._memberships.leave_all(id)
            for membership in self._write.find_of_user("group_memberships", id):
                self._of_kind("group_memberships")._mark_deleted(membership)
        if self._kind == "organizations":
            self._memberships.end_all(id)
        if self._kind == "groups":
            self._end_group(id)
        if self._kind == "organization_memberships":
            self._memberships.left(draft.user_id or 0, draft.organization_id or 0)
        return draft

    def _end_group(self, group_id: int) -> None:
        """Remove the memberships of a group, which is deleted."""
        memberships = self._of_kind("group_memberships")
        for body in self._write.find_all("group_memberships"):
            membership = _MEMBERSHIP.decode(body)
            if membership.group_id == group_id:
                memberships._mark_deleted(body)
                memberships._leave_group(membership)

    def _of_kind(self, kind: str) -> "RecordWriter":
        return RecordWriter(self._write, self._account, self._actor, kind)

    def _mark_deleted(self, body: bytes) -> RecordDraft:
        deletion = WRITES[self._kind].deletion
        value = wire_second(self._write.now) if deletion.value is None else deletion.value
        return self._put({**split_record(body), deletion.key: value})

    def find(self, id: int) -> bytes:
        """The body of a record that is not deleted. Raises RecordNotFound."""
        body = self._write.find_records(self._kind, [id]).get(id)
        if body is None or is_deleted(self._kind, body):
            raise RecordNotFound
        return body

    def id_of(self, external_id: str) -> int:
        """The id of a record that is not deleted. Raises RecordNotFound."""
        body = self._write.find_external(self._kind, external_id)
        if body is None or is_deleted(self._kind, body):
            raise RecordNotFound
        return _RECORD.decode(body).id

    def _with_identities(self, user: RecordDraft, change: RecordChange) -> RecordDraft:
        """Add the identities that were sent with a user; returns the user after it. Raises RecordInvalid."""
        if not change.identities:
            return user
        identities = IdentityWriter(self._write, self._account, user.id)
        for identity in change.identities:
            try:
                identities.add(identity)
            except RecordInvalid as error:
                raise RecordInvalid(identities=(error.reason(), "InvalidValue")) from None
        return user._replace(body=identities.user)

    def _check_links(self, change: RecordChange) -> None:
        """Each record that the change names must exist."""
        for name, kind in _LINKS.items():
            id = getattr(change.declared, name, UNSET) if name in change.values else UNSET
            if isinstance(id, int):
                body = self._write.find_records(kind, [id]).get(id)
                if body is None or is_deleted(kind, body):
                    raise RecordInvalid(**{name: _UNKNOWN})

    def _check_unique(self, change: RecordChange, id: int | None) -> None:
        """No other record may have the same email or external_id. `id`: of the record that is changed."""
        email, external_id = (getattr(change.declared, name, UNSET) for name in ("email", "external_id"))
        if email and self._is_taken(find_person(self._write, email), id):
            raise RecordInvalid(email=(f"{email} is already being used by another user", "DuplicateValue"))
        if external_id not in (UNSET, None, "") and self._is_taken(
            self._write.find_external(self._kind, str(external_id)), id
        ):
            raise RecordInvalid(external_id=(f"{external_id} has already been taken", "DuplicateValue"))

    def _organization(self, change: RecordChange) -> dict[str, int]:
        """The organization that a user has by its name, which is created where there is none."""
        named = change.declared.organization if self._kind == "users" else UNSET
        if named is UNSET or named is None or isinstance(change.declared.organization_id, int):
            return {}
        if not named.name.strip():
            raise RecordInvalid(organization=("cannot be blank", "BlankValue"))
        organizations = self._of_kind("organizations")
        id = organizations._id_of_name(named.name)
        if id is None:
            new = parse_new_record("organizations", msgspec.json.encode({"name": named.name.strip()}))
            id = organizations.create(new).id
        return {"organization_id": id}

    def _check_name(self, change: RecordChange, id: int | None) -> None:
        """No other organization may have the same name, in any case. Raises RecordInvalid."""
        name = change.declared.name if self._kind == "organizations" else UNSET
        if isinstance(name, str) and self._id_of_name(name) not in (None, id):
            raise RecordInvalid(name=(f"{name} has already been taken", "DuplicateValue"))

    def _id_of_name(self, name: str) -> int | None:
        """The organization with this name that is not deleted."""
        named = _NAMED.decode_all(self._write.find_by_key("organizations", [make_lookup_key(name)]))
        wanted = make_lookup_key(name)
        return next((each.id for each in named if make_lookup_key(str(each.name or "")) == wanted), None)

    def _is_taken(self, body: bytes | None, id: int | None) -> bool:
        return body is not None and _RECORD.decode(body).id != id and not is_deleted(self._kind, body)

    def _check_role(self, before: UserRecord | None, change: RecordChange | None) -> None:
        """An agent writes end users and the own record, and changes nobody's role. `before`: None for a new user."""
        if self._kind != "users" or self._actor.role == "admin":
            return
        role_before = before.role if before else "end-user"
        role = UNSET if change is None else change.declared.role
        is_own = before is not None and before.id == self._actor.user_id
        if role not in (UNSET, role_before) or (role_before != "end-user" and not is_own):
            raise RoleTooLow

    def _join_group(self, membership: RecordChange) -> bool:
        """Whether a new membership is the default one; the first of an agent is. Raises RecordInvalid."""
        user_id, group_id = membership.declared.user_id, membership.declared.group_id
        body = self._write.find_records("users", [user_id])[user_id]
        user = _USER.decode(body)
        if user.role == "end-user":
            raise RecordInvalid(user_id=("must be an agent", "InvalidValue"))
        others = _MEMBERSHIP.decode_all(self._write.find_of_user("group_memberships", user_id))
        if any(each.group_id == group_id for each in others):
            raise RecordInvalid(user_id=("is already a member of this group", "DuplicateValue"))
        is_default = user.default_group_id is None or membership.declared.default is True
        if is_default:
            self._set_default_group(body, group_id)
        return is_default

    def _join_organization(self, membership: RecordChange, values: dict[str, Any]) -> RecordDraft:
        """Add a membership; the first of a user is the default one. Raises RecordInvalid."""
        user_id, organization_id = membership.declared.user_id, membership.declared.organization_id
        self._memberships.check_new(user_id, organization_id)
        is_default = self._memberships.is_first(user_id) or membership.declared.default is True
        draft = self._put({**values, "default": is_default})
        if is_default:
            self._memberships.joined(user_id, organization_id)
        return draft

    def _leave_group(self, membership: GroupMembershipRecord) -> None:
        """After a membership was deleted: if its group was the user's default one, the oldest other one becomes it."""
        if membership.user_id is None:
            return
        body = self._write.find_records("users", [membership.user_id]).get(membership.user_id)
        if body is None or _USER.decode(body).default_group_id != membership.group_id:
            return
        others = self._write.find_of_user("group_memberships", membership.user_id)
        if others:
            self._put({**split_record(others[0]), "default": True})
        self._set_default_group(body, _MEMBERSHIP.decode(others[0]).group_id if others else None)

    def _set_default_group(self, user: bytes, group_id: int | None) -> None:
        values = {**split_record(user), "default_group_id": group_id}
        self._write.put_records([make_record("users", values, account=self._account, now=self._write.now)])

    def _put(self, values: Mapping[str, Any]) -> RecordDraft:
        if self._kind == "ticket_fields" and "custom_field_options" in values:
            values = {**values, "custom_field_options": _with_ids(values["custom_field_options"])}
        try:
            draft = make_record(self._kind, values, account=self._account, now=self._write.now)
        except BadRecord as error:
            raise RecordInvalid(base=(str(error), "InvalidValue")) from None
        self._write.put_records([draft])
        return draft


def _with_ids(data: Raw) -> Any:
    """The options of a drop-down, those numbered that have no id."""
    options = msgspec.json.decode(data)
    if not isinstance(options, list) or not all(isinstance(option, dict) for option in options):
        return data  # as it was loaded
    highest = max([option["id"] for option in options if isinstance(option.get("id"), int)], default=0)
    for option in options:
        if not isinstance(option.get("id"), int):
            highest += 1
            option["id"] = highest
    return options
