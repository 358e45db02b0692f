"""Organization memberships inside one write: they follow the organization of their user, and it follows them.

A user's `organization_id` is that of the default membership. So a user who names an organization has a membership of
it, also where only the user was loaded: such a membership has the id of its user, if that is free, and gives way to
one that is loaded for the same two.
"""

from typing import Any

import msgspec
from msgspec import Raw

from ticketfeed.protocol.errors import BadRecord, RecordInvalid, RecordNotFound
from ticketfeed.protocol.record_types import OrganizationMembershipRecord
from ticketfeed.protocol.records import RecordDraft, make_record, parse_record, split_record, wire_second
from ticketfeed.protocol.stored_records import StoredDecoder
from ticketfeed.storage.write_contract import WriteTransaction

__all__ = ["Memberships", "derive_memberships"]

KIND = "organization_memberships"
# Users read at once.
BATCH = 250


class _User(msgspec.Struct):
    id: int
    organization_id: int | None = None
    created_at: str | None = None


_USER = StoredDecoder(_User)
_MEMBERSHIP = StoredDecoder(OrganizationMembershipRecord)


def derive_memberships(write: WriteTransaction, account: str) -> None:
    """Add the memberships that users lack, and remove those derived earlier that were loaded since."""
    while repeated := write.find_repeated_memberships(BATCH):
        removed = ({**split_record(body), "deleted": True} for body in repeated)
        write.put_records([make_record(KIND, values, account=account, now=write.now) for values in removed])
    after_id = -1
    while users := [_USER.decode(body) for body in write.find_users_without_membership(after_id, BATCH)]:
        taken = write.find_records(KIND, [user.id for user in users])
        next_id = write.next_id(KIND)
        drafts = []
        for user in users:
            id = user.id
            if id in taken:
                id, next_id = next_id, next_id + 1
            next_id = max(next_id, id + 1)
            drafts.append(_derived(write, account, user, id))
        write.put_records(drafts)
        after_id = users[-1].id


def _derived(write: WriteTransaction, account: str, user: _User, id: int) -> RecordDraft:
    others = [_MEMBERSHIP.decode(body) for body in write.find_of_user(KIND, user.id)]
    values: dict[str, Any] = {
        "id": id,
        "user_id": user.id,
        "organization_id": user.organization_id,
        "default": not any(membership.default for membership in others),
    }
    if user.created_at is not None:
        values |= {"created_at": user.created_at, "updated_at": min(user.created_at, wire_second(write.now))}
    return parse_record(KIND, msgspec.json.encode(values), account=account, now=write.now)


class Memberships:
    """The organization memberships of users, in one write."""

    def __init__(self, write: WriteTransaction, account: str) -> None:
        self._write, self._account = write, account

    def check_new(self, user_id: int, organization_id: int) -> None:
        """Refuse a second membership of one user in one organization. Raises RecordInvalid."""
        if self._find(user_id, organization_id=organization_id) is not None:
            raise RecordInvalid(user_id=("is already a member of this organization", "DuplicateValue"))

    def is_first(self, user_id: int) -> bool:
        """Whether the user has no membership yet."""
        return not self._write.find_of_user(KIND, user_id)

    def joined(self, user_id: int, organization_id: int) -> None:
        """Make the membership of this organization, which is stored, the default one, also in the user."""
        self._set_default(user_id, organization_id)
        self._set_organization(user_id, organization_id)

    def left(self, user_id: int, organization_id: int) -> None:
        """After a membership was removed: if it was the default one, the user's oldest other one becomes it."""
        body = self._write.find_records("users", [user_id]).get(user_id)
        if body is None or _USER.decode(body).organization_id != organization_id:
            return
        others = self._of_user(user_id)
        following = min(others, key=lambda membership: membership.id).organization_id if others else None
        self._set_default(user_id, following)
        self._set_organization(user_id, following)

    def follow(self, user_id: int, before: int | None, after: int | None) -> None:
        """After the user's own `organization_id` changed: a new organization takes the place of the one before."""
        if after == before:
            return
        is_member = after is not None and self._find(user_id, organization_id=after) is not None
        if before is not None and not is_member:
            self.remove(self._find(user_id, organization_id=before))
        if after is not None and not is_member:
            id = self._write.next_id(KIND)
            self._put({"id": id, "user_id": user_id, "organization_id": after, "default": True})
        self._set_default(user_id, after)

    def leave_all(self, user_id: int) -> None:
        """Remove every membership of a user."""
        for membership in self._of_user(user_id):
            self.remove(membership)

    def end_all(self, organization_id: int) -> None:
        """Remove every membership of an organization, which is deleted; its users change over to another of theirs."""
        for body in self._write.find_of_organization(KIND, organization_id):
            membership = _MEMBERSHIP.decode(body)
            self.remove(membership)
            self.left(membership.user_id, organization_id)
        for body in self._write.find_of_organization("users", organization_id):  # without a membership
            self.left(_USER.decode(body).id, organization_id)

    def make_default(self, user_id: int, *, id: int | None = None, organization_id: int | None = None) -> list[bytes]:
        """Make the membership with this id or organization the default one; returns all. Raises RecordNotFound."""
        membership = self._find(user_id, id=id, organization_id=organization_id)
        if membership is None:
            raise RecordNotFound
        self.joined(user_id, membership.organization_id)
        return self._write.find_of_user(KIND, user_id)

    def id_of(self, user_id: int, *, id: int | None = None, organization_id: int | None = None) -> int:
        """The id of the user's membership with this id or organization. Raises RecordNotFound."""
        membership = self._find(user_id, id=id, organization_id=organization_id)
        if membership is None:
            raise RecordNotFound
        return membership.id

    def remove(self, membership: OrganizationMembershipRecord | None) -> None:
        """Mark a membership as deleted."""
        if membership is not None:
            self._change(membership.id, deleted=True)

    def _of_user(self, user_id: int) -> list[OrganizationMembershipRecord]:
        return [_MEMBERSHIP.decode(body) for body in self._write.find_of_user(KIND, user_id)]

    def _find(
        self, user_id: int, *, id: int | None = None, organization_id: int | None = None
    ) -> OrganizationMembershipRecord | None:
        found = self._of_user(user_id)
        return next((each for each in found if each.id == id or each.organization_id == organization_id), None)

    def _set_default(self, user_id: int, organization_id: int | None) -> None:
        for membership in self._of_user(user_id):
            is_default = membership.organization_id == organization_id
            if (membership.default is True) != is_default:
                self._change(membership.id, default=is_default)

    def _set_organization(self, user_id: int, organization_id: int | None) -> None:
        body = self._write.find_records("users", [user_id]).get(user_id)
        if body is not None and _USER.decode(body).organization_id != organization_id:
            self._store("users", {**split_record(body), "organization_id": organization_id})

    def _change(self, id: int, **values: Any) -> None:
        stored: dict[str, Raw] = split_record(self._write.find_records(KIND, [id])[id])
        self._put({**stored, **values})

    def _put(self, values: dict[str, Any]) -> None:
        self._store(KIND, values)

    def _store(self, kind: str, values: dict[str, Any]) -> None:
        """Raises RecordInvalid for a record that an older release stored and that can no longer be written."""
        try:
            draft = make_record(kind, values, account=self._account, now=self._write.now)
        except BadRecord as error:
            raise RecordInvalid(base=(str(error), "InvalidValue")) from None
        self._write.put_records([draft])
