"""Looks up the users, groups and fields that a change of a ticket refers to, inside its write."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec import UNSET

from ticketfeed.protocol.errors import BadRecord, RecordInvalid
from ticketfeed.protocol.model import Identity
from ticketfeed.protocol.record_types import TicketFieldRecord, UserRecord
from ticketfeed.protocol.records import is_deleted, make_record, split_record
from ticketfeed.protocol.stored_records import StoredDecoder
from ticketfeed.protocol.ticket_input import Comment, Person, TicketInput
from ticketfeed.protocol.ticket_rules import Related
from ticketfeed.storage.write_contract import WriteTransaction
from ticketfeed.writing.identities import find_person_record

__all__ = ["Lookups"]

_UNKNOWN = ("is invalid", "InvalidValue")
# Keys of a change that name one record each -> its kind.
_LINKS = (("group_id", "groups"), ("organization_id", "organizations"), ("brand_id", "brands"))
# Fields whose options put tags on a ticket.
# The types of the fields that every ticket has as keys of its own.
_SYSTEM_FIELDS = {
    "subject",
    "description",
    "status",
    "custom_status",
    "tickettype",
    "priority",
    "basic_priority",
    "group",
    "assignee",
}
_DROP_DOWNS = ("tagger", "multiselect")


_USER = StoredDecoder(UserRecord)
_FIELD = StoredDecoder(TicketFieldRecord)


class Lookups:
    """The lookups of one write, in the name of one user."""

    def __init__(self, write: WriteTransaction, account: str, actor: Identity) -> None:
        self._write, self._account, self._actor = write, account, actor

    def related(
        self,
        change: TicketInput,
        comment: Comment | None,
        requester_id: int | None,
        *,
        is_new: bool,
        is_import: bool = False,
    ) -> Related:
        """What `change` refers to. `requester_id`: of the ticket before. Raises RecordInvalid for what is not there.

        An import may name people who are not there: whoever imports takes their place. Other records that are not there
        are left out of it.
        """
        users = self._users(change, comment, is_new)
        replaced: dict[str, Any] = {}
        if is_import:
            change = self._with_known_people(change, users)
            if change.submitter_id is not UNSET:
                replaced["submitter_id"] = change.submitter_id
        requester = self._requester(change, users, is_new)
        assignee = self._assignee(change, users)
        for name, kind in _LINKS:
            id = getattr(change, name)
            if isinstance(id, int) and not self._has(kind, id):
                if not is_import:
                    raise RecordInvalid(**{name: _UNKNOWN})
                replaced[name] = None
        author_id = (comment.author_id if comment else None) or self._actor.user_id
        if comment is not None and comment.author_id is not None and comment.author_id not in users and not is_import:
            raise RecordInvalid(author_id=_UNKNOWN)
        added, removed = self._followers(change)
        if change.collaborators is not UNSET:
            replaced["collaborator_ids"] = [self._person(each).id for each in change.collaborators]
        is_public = comment is not None and comment.public is not False
        return Related(
            actor_id=self._actor.user_id,
            requester_id=requester.id if requester else UNSET,
            requesters_organization_id=requester.organization_id if requester else None,
            assignee_id=assignee.id if isinstance(assignee, UserRecord) else assignee,
            assignees_group_id=assignee.default_group_id if isinstance(assignee, UserRecord) else None,
            comment_is_requesters=is_public and author_id == requester_id,
            option_tags=self._option_tags([each.id for each in change.sent_fields]) if change.sent_fields else {},
            field_ids=self._custom_field_ids() if is_new else (),
            replaced=replaced,
            added=added,
            removed=removed,
        )

    def _has(self, kind: str, id: int) -> bool:
        """Whether there is a record with this id, and it is not deleted."""
        body = self._write.find_records(kind, [id]).get(id)
        return body is not None and not is_deleted(kind, body)

    def known_users(self, ids: Sequence[int]) -> dict[int | None, int]:
        """Each of these ids -> the same, or the id of the acting user where no user has it."""
        found = self._write.find_records("users", sorted(set(ids))) if ids else {}
        return {id: id if id in found else self._actor.user_id for id in ids}

    def _with_known_people(self, change: TicketInput, users: dict[int, UserRecord]) -> TicketInput:
        """The change of an import, in which the acting user stands for everybody who is not there."""
        actor_id = self._actor.user_id
        users.setdefault(actor_id, UserRecord(actor_id, role="admin"))
        known: dict[str, Any] = {}
        for name in ("requester_id", "submitter_id", "assignee_id"):
            id = getattr(change, name)
            known[name] = id if not isinstance(id, int) or id in users else actor_id
        assignee = users.get(known["assignee_id"])
        if assignee is not None and (assignee.role == "end-user" or not assignee.active):
            known["assignee_id"] = actor_id
        if change.assignee_email is not None:
            found = find_person_record(self._write, change.assignee_email)
            user = found and found[1]
            if user is None or not (user.active and user.role != "end-user"):
                known |= {"assignee_email": None, "assignee_id": actor_id}
        if isinstance(change.requester, int) and not self._write.find_records("users", [change.requester]):
            known |= {"requester": None, "requester_id": actor_id}
        return msgspec.structs.replace(change, **known)

    def _followers(self, change: TicketInput) -> tuple[dict[str, list[int]], dict[str, list[int]]]:
        """Those that the change adds, and removes, by the key of the ticket that names them. Raises RecordInvalid."""
        added = {"collaborator_ids": [self._person(each).id for each in change.additional_collaborators]}
        removed: dict[str, list[int]] = {}
        for name, followers in (("follower_ids", change.followers), ("email_cc_ids", change.email_ccs)):
            for follower in followers:
                ids = (added if follower.action == "put" else removed).setdefault(name, [])
                ids.append(self._person(follower.person()).id)
        return {name: ids for name, ids in added.items() if ids}, removed

    def _custom_field_ids(self) -> list[int]:
        """Of the custom fields that every new ticket has."""
        bodies = self._write.find_all("ticket_fields")
        fields = _FIELD.decode_all(bodies)
        return [field.id for field in fields if field.active and field.type not in _SYSTEM_FIELDS]

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
            change.submitter_id,
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
            return self._person(change.requester)
        if change.requester_id is not UNSET:
            if change.requester_id not in users:
                raise RecordInvalid(requester_id=_UNKNOWN)
            return users[change.requester_id]
        return users.get(self._actor.user_id, UserRecord(self._actor.user_id)) if is_new else None

    def _assignee(self, change: TicketInput, users: Mapping[int, UserRecord]) -> Any:
        """The assignee that the change sets: a user, None for nobody; UNSET if it sets none."""
        if change.assignee_email is not None:
            found = find_person_record(self._write, change.assignee_email)
            user = found and found[1]
        elif isinstance(change.assignee_id, int):
            user = users.get(change.assignee_id)
            if user is None:
                raise RecordInvalid(assignee_id=_UNKNOWN)
        else:
            return change.assignee_id
        if user is None or user.role == "end-user" or not user.active:
            raise RecordInvalid(assignee_id=("must be an agent", "InvalidValue"))
        return user

    def _person(self, sent: Person | str | int) -> UserRecord:
        """The user that was sent as an id, an email, a name or all of these; one who is not there yet is created."""
        if isinstance(sent, int):
            sent = Person(id=sent)
        elif isinstance(sent, str):
            sent = Person(email=sent) if "@" in sent else Person(name=sent)
        email = (sent.email or "").strip()
        if sent.id is not None:
            body = self._write.find_records("users", [sent.id]).get(sent.id)
            user = _USER.decode(body) if body else None
        else:
            found = find_person_record(self._write, email) if email else None
            user = found and found[1]
        if user is not None:
            return user
        if sent.id is not None:
            raise RecordInvalid(requester=_UNKNOWN)
        name = (sent.name or email.partition("@")[0]).strip()
        if not name or (email and "@" not in email):
            raise RecordInvalid(requester=("has no valid email", "InvalidValue"))
        address = {"email": email} if email else {}
        return self._put_user({"id": self._write.next_id("users"), "name": name, **address})

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
