"""Looks up the users, groups and fields that a change of a ticket refers to, inside its write."""

from collections.abc import Mapping
from typing import Any

from msgspec import UNSET

from ticketfeed.protocol.errors import BadRecord, RecordInvalid
from ticketfeed.protocol.model import Identity
from ticketfeed.protocol.record_types import TicketFieldRecord, UserRecord
from ticketfeed.protocol.records import make_record, split_record
from ticketfeed.protocol.stored_records import StoredDecoder
from ticketfeed.protocol.ticket_input import Comment, Person, TicketInput
from ticketfeed.protocol.ticket_rules import Related
from ticketfeed.storage.contract import WriteTransaction

__all__ = ["Lookups"]

_UNKNOWN = ("is invalid", "InvalidValue")
# Keys of a change that name one record each -> its kind.
_LINKS = (("group_id", "groups"), ("organization_id", "organizations"), ("brand_id", "brands"))
# Fields whose options put tags on a ticket.
_DROP_DOWNS = ("tagger", "multiselect")


_USER = StoredDecoder(UserRecord)
_FIELD = StoredDecoder(TicketFieldRecord)


class Lookups:
    """The lookups of one write, in the name of one user."""

    def __init__(self, write: WriteTransaction, account: str, actor: Identity) -> None:
        self._write, self._account, self._actor = write, account, actor

    def related(
        self, change: TicketInput, comment: Comment | None, requester_id: int | None, *, is_new: bool
    ) -> Related:
        """What `change` refers to. `requester_id`: of the ticket before. Raises RecordInvalid for what is not there."""
        users = self._users(change, comment, is_new)
        requester = self._requester(change, users, is_new)
        assignee = self._assignee(change, users)
        for name, kind in _LINKS:
            id = getattr(change, name)
            if isinstance(id, int) and not self._write.find_records(kind, [id]):
                raise RecordInvalid(**{name: _UNKNOWN})
        author_id = (comment.author_id if comment else None) or self._actor.user_id
        if comment is not None and comment.author_id is not None and comment.author_id not in users:
            raise RecordInvalid(author_id=_UNKNOWN)
        is_public = comment is not None and comment.public is not False
        return Related(
            actor_id=self._actor.user_id,
            requester_id=requester.id if requester else UNSET,
            requesters_organization_id=requester.organization_id if requester else None,
            assignee_id=assignee.id if isinstance(assignee, UserRecord) else assignee,
            assignees_group_id=assignee.default_group_id if isinstance(assignee, UserRecord) else None,
            comment_is_requesters=is_public and author_id == requester_id,
            option_tags={}
            if change.custom_fields is UNSET
            else self._option_tags([f.id for f in change.custom_fields]),
        )

    def suspend(self, user_id: int | None) -> None:
        """Suspend an end user; agents and admins stay as they are."""
        body = self._write.find_records("users", [user_id]).get(user_id) if user_id is not None else None
        if body is not None and _USER.decode(body).role == "end-user":
            self._put_user({**split_record(body), "suspended": True})

    def _users(self, change: TicketInput, comment: Comment | None, is_new: bool) -> dict[int, UserRecord]:
        """Those that the change names by id, read at once; the actor, too, where nobody else is the requester."""
        names_nobody = change.requester is None and change.requester_id is UNSET
        named = (
            change.requester_id,
            change.assignee_id,
            comment.author_id if comment else None,
            self._actor.user_id if is_new and names_nobody else None,
        )
        ids = {id for id in named if isinstance(id, int)}
        if not ids:
            return {}
        bodies = self._write.find_records("users", sorted(ids))
        return {user.id: user for user in _USER.decode_all(bodies.values())}

    def _requester(self, change: TicketInput, users: Mapping[int, UserRecord], is_new: bool) -> UserRecord | None:
        """The requester that the change sets, None if it sets none."""
        if change.requester is not None:
            return self._find_or_create(change.requester)
        if change.requester_id is not UNSET:
            if change.requester_id not in users:
                raise RecordInvalid(requester_id=_UNKNOWN)
            return users[change.requester_id]
        return users.get(self._actor.user_id, UserRecord(self._actor.user_id)) if is_new else None

    def _assignee(self, change: TicketInput, users: Mapping[int, UserRecord]) -> Any:
        """The assignee that the change sets: a user, None for nobody; UNSET if it sets none."""
        if change.assignee_email is not None:
            body = self._write.find_user(change.assignee_email)
            user = _USER.decode(body) if body else None
        elif isinstance(change.assignee_id, int):
            user = users.get(change.assignee_id)
            if user is None:
                raise RecordInvalid(assignee_id=_UNKNOWN)
        else:
            return change.assignee_id
        if user is None or user.role == "end-user" or not user.active:
            raise RecordInvalid(assignee_id=("must be an agent", "InvalidValue"))
        return user

    def _find_or_create(self, person: Person) -> UserRecord:
        body = self._write.find_user(person.email)
        if body is not None:
            return _USER.decode(body)
        if "@" not in person.email:
            raise RecordInvalid(requester=("has no valid email", "InvalidValue"))
        name = person.name or person.email.partition("@")[0]
        return self._put_user({"id": self._write.next_id("users"), "name": name, "email": person.email.strip()})

    def _put_user(self, values: Mapping[str, Any]) -> UserRecord:
        try:
            draft = make_record("users", values, account=self._account, now=self._write.now)
        except BadRecord as error:  # one that an older release stored
            raise RecordInvalid(requester=(str(error), "InvalidValue")) from None
        self._write.put_records([draft])
        return UserRecord(draft.id)

    def _option_tags(self, field_ids: list[int]) -> dict[int, frozenset[str]]:
        bodies = self._write.find_records("ticket_fields", field_ids)
        fields = _FIELD.decode_all(bodies.values())
        return {
            field.id: frozenset(option.value for option in field.custom_field_options or () if option.value)
            for field in fields
            if field.type in _DROP_DOWNS
        }
