"""Writes the identities of one user inside one write. The primary email address is the user's `email`, too."""

from typing import Any

import msgspec

from ticketfeed.protocol.errors import BadRecord, RecordInvalid, RecordNotFound
from ticketfeed.protocol.identities import derived_identity
from ticketfeed.protocol.record_input import RecordChange
from ticketfeed.protocol.record_types import IdentityRecord, UserRecord
from ticketfeed.protocol.records import RecordDraft, is_deleted, make_lookup_key, make_record, split_record
from ticketfeed.protocol.stored_records import StoredDecoder
from ticketfeed.storage.write_contract import WriteTransaction

__all__ = ["IdentityWriter", "find_person", "find_person_record"]

KIND = "identities"


class _User(msgspec.Struct):
    id: int
    email: str | None = None


_USER = StoredDecoder(_User)
_PERSON = StoredDecoder(UserRecord)
_IDENTITY = StoredDecoder(IdentityRecord)


def find_person(write: WriteTransaction, email: str) -> bytes | None:
    """The body of the user with this email, or with this email as another identity; None if there is none."""
    found = find_person_record(write, email)
    return found and found[0]


def find_person_record(write: WriteTransaction, email: str) -> tuple[bytes, UserRecord] | None:
    """The same, and the user that the body is of."""
    body = write.find_user(email)
    found = None if body is None else (body, _PERSON.decode(body))
    if found is not None and found[1].active:
        return found
    identities = _IDENTITY.decode_all(write.find_by_key(KIND, [make_lookup_key(email)]))
    bodies = write.find_records("users", [each.user_id for each in identities if each.type == "email"]).values()
    users = zip(bodies, _PERSON.decode_all(bodies), strict=True)
    return next((user for user in users if user[1].active), found)


class IdentityWriter:
    """Writes identities of a user, who must exist. Raises RecordNotFound."""

    def __init__(self, write: WriteTransaction, account: str, user_id: int) -> None:
        self._write, self._account, self._user_id = write, account, user_id
        body = write.find_records("users", [user_id]).get(user_id)
        if body is None or is_deleted("users", body):
            raise RecordNotFound
        self._user = body
        # The id under which the email address was shown before it was stored -> its id in the store.
        self._stored_as: dict[int, int] = {}
        if values := derived_identity(body, write.find_of_user(KIND, user_id)):
            shown = values["id"]
            if write.find_records(KIND, [shown]):
                values["id"] = self._next_id()
            self._stored_as[shown] = self._put(values).id

    @property
    def user(self) -> bytes:
        """The body of the user."""
        return self._user

    def create(self, identity: RecordChange) -> RecordDraft:
        """Add an identity; as the primary one if it says so, or is the first email. Raises RecordInvalid."""
        self._check_value(identity.declared.type, identity.declared.value, None)
        values = {**identity.values, "id": self._next_id(), "user_id": self._user_id}
        draft = self._put(values)
        is_first_email = identity.declared.type == "email" and not _USER.decode(self._user).email
        return self._make_primary(draft.id) if identity.declared.primary is True or is_first_email else draft

    def add(self, identity: RecordChange) -> None:
        """Add an identity unless the user has it, and store what it says of itself. Raises RecordInvalid."""
        declared = identity.declared
        found = next((each for each in self._of_user() if _is_same(each, declared.type, declared.value)), None)
        if found is None:
            self.create(identity)
            return
        if isinstance(declared.verified, bool):
            self._change(found.id, verified=declared.verified)
        if declared.primary is True:
            self._make_primary(found.id)

    def update(self, id: int, change: RecordChange) -> RecordDraft:
        """Change the value of an identity, or whether it is verified. Raises RecordNotFound, RecordInvalid."""
        before = self._find(id)
        kept = {key: value for key, value in change.values.items() if key in ("value", "verified")}
        if "value" in kept:
            self._check_value(before.type, change.declared.value, before.id)
        draft = self._change(before.id, **kept)
        if before.type == "email" and self._is_email(before.value):
            self._change_user(email=_IDENTITY.decode(draft.body).value)
        return draft

    def verify(self, id: int) -> RecordDraft:
        """Mark an identity as verified, and the user if it is the primary one. Raises RecordNotFound."""
        identity = self._find(id)
        if identity.type == "email" and self._is_email(identity.value):
            self._change_user(verified=True)
        return self._change(identity.id, verified=True)

    def make_primary(self, id: int) -> None:
        """Make an identity the primary one of its type. Raises RecordNotFound."""
        self._make_primary(self._find(id).id)

    def request_verification(self, id: int) -> None:
        """Nothing is sent; the identity must exist. Raises RecordNotFound."""
        self._find(id)

    def delete(self, id: int) -> None:
        """Remove an identity; of the primary email address the oldest other one takes the place. Raises RecordNotFound.

        A user keeps the last one. Raises RecordInvalid.
        """
        identity = self._find(id)
        others = [each for each in self._of_user() if each.id != identity.id]
        if not others:
            raise RecordInvalid(base=("the last identity of a user cannot be deleted", "InvalidValue"))
        self._change(identity.id, deleted=True)
        if identity.type == "email" and self._is_email(identity.value):
            emails = [each for each in others if each.type == "email"]
            if emails:
                self._make_primary(emails[0].id)
            else:
                self._change_user(email=None)

    def _of_user(self) -> list[IdentityRecord]:
        return [_IDENTITY.decode(body) for body in self._write.find_of_user(KIND, self._user_id)]

    def _find(self, id: int) -> IdentityRecord:
        id = self._stored_as.get(id, id)
        found = next((each for each in self._of_user() if each.id == id), None)
        if found is None:
            raise RecordNotFound
        return found

    def _next_id(self) -> int:
        """Beyond the ids of users, too, whose email addresses have theirs until they are stored."""
        return max(self._write.next_id(KIND), self._write.next_id("users"))

    def _is_email(self, value: str) -> bool:
        return value.strip().lower() == (_USER.decode(self._user).email or "").strip().lower()

    def _check_value(self, type_: Any, value: Any, id: int | None) -> None:
        """No other user, and no other identity of this one, may have the same. Raises RecordInvalid."""
        taken = any(_is_same(each, type_, value) and each.id != id for each in self._of_user())
        if type_ == "email":
            if "@" not in value:
                raise RecordInvalid(value=(f"{value[:80]} is not properly formatted", "InvalidFormat"))
            found = find_person(self._write, value)
            owner = None if found is None or is_deleted("users", found) else _USER.decode(found).id
            taken = taken or owner not in (None, self._user_id)
        if taken:
            raise RecordInvalid(value=(f"{value[:80]} is already being used by another user", "DuplicateValue"))

    def _make_primary(self, id: int) -> RecordDraft:
        found = self._find(id)
        for other in self._of_user():
            if other.type == found.type and other.id != id and other.primary is True:
                self._change(other.id, primary=False)
        if found.type == "email":
            self._change_user(email=found.value, verified=found.verified is True)
        return self._change(id, primary=True)

    def _change_user(self, **values: Any) -> None:
        self._user = self._store("users", {**split_record(self._user), **values}).body

    def _change(self, id: int, **values: Any) -> RecordDraft:
        return self._put({**split_record(self._write.find_records(KIND, [id])[id]), **values})

    def _put(self, values: dict[str, Any]) -> RecordDraft:
        return self._store(KIND, values)

    def _store(self, kind: str, values: dict[str, Any]) -> RecordDraft:
        try:
            draft = make_record(kind, values, account=self._account, now=self._write.now)
        except BadRecord as error:
            raise RecordInvalid(base=(str(error), "InvalidValue")) from None
        self._write.put_records([draft])
        return draft


def _is_same(identity: IdentityRecord, type_: str, value: str) -> bool:
    """Whether an identity has this type and value; email addresses are the same in any case."""
    stored, sent = identity.value.strip(), value.strip()
    return identity.type == type_ and (stored == sent or (type_ == "email" and stored.lower() == sent.lower()))
