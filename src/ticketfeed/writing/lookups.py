"""Who and what a change of a ticket means: people by id or email, made where need be; groups of agents; drop-downs."""

from typing import Any

import msgspec
from msgspec import UNSET

from ticketfeed.protocol.errors import RecordInvalid
from ticketfeed.protocol.model import Identity
from ticketfeed.protocol.records import parse_record, wire_second
from ticketfeed.protocol.ticket_input import Comment, Person, TicketInput
from ticketfeed.protocol.ticket_rules import Found
from ticketfeed.storage.contract import WriteTransaction

__all__ = ["Lookups"]

_NO_SUCH = ("is invalid", "InvalidValue")
_LINKS = (("group_id", "groups"), ("organization_id", "organizations"), ("brand_id", "brands"))


class _User(msgspec.Struct):
    id: int
    role: str = "end-user"
    active: bool = True
    organization_id: int | None = None
    default_group_id: int | None = None


class _Option(msgspec.Struct):
    value: str | None = None


class _Field(msgspec.Struct):
    type: str = "text"
    custom_field_options: list[_Option] | None = None


_USER = msgspec.json.Decoder(_User)
_FIELD = msgspec.json.Decoder(_Field)


class Lookups:
    """Looks up what one write needs."""

    def __init__(self, write: WriteTransaction, account: str, actor: Identity) -> None:
        self._write, self._account, self._actor = write, account, actor

    def find(self, asked: TicketInput, comment: Comment | None, requester_id: int | None, *, is_new: bool) -> Found:
        """Raises RecordInvalid, where somebody or something is meant that is not there."""
        requester = self._requester(asked, is_new)
        assignee = self._assignee(asked)
        for name, kind in _LINKS:
            value = getattr(asked, name)
            if isinstance(value, int) and not self._write.find_records(kind, [value]):
                raise RecordInvalid(**{name: _NO_SUCH})
        author_id = (comment.author_id if comment else None) or self._actor.user_id
        if comment is not None and comment.author_id is not None:
            self._user(comment.author_id, "author_id")
        is_public = comment is not None and comment.public is not False
        return Found(
            actor_id=self._actor.user_id,
            requester_id=requester.id if requester else UNSET,
            requesters_organization_id=requester.organization_id if requester else None,
            assignee_id=assignee.id if isinstance(assignee, _User) else assignee,
            assignees_group_id=assignee.default_group_id if isinstance(assignee, _User) else None,
            comment_is_requesters=is_public and author_id == requester_id,
            option_tags=self._option_tags(asked),
        )

    def suspend(self, user_id: int | None) -> None:
        """Nothing is taken from this user any more; agents and admins stay."""
        body = self._write.find_records("users", [user_id]).get(user_id) if user_id is not None else None
        if body is not None and _USER.decode(body).role == "end-user":
            self._put_user({**msgspec.json.decode(body), "suspended": True})

    def _requester(self, asked: TicketInput, is_new: bool) -> _User | None:
        if asked.requester is not None:
            return self._person(asked.requester)
        if asked.requester_id is not UNSET:
            return self._user(asked.requester_id, "requester_id")
        if not is_new:
            return None
        body = self._write.find_records("users", [self._actor.user_id]).get(self._actor.user_id)
        return _USER.decode(body) if body else _User(self._actor.user_id)

    def _assignee(self, asked: TicketInput) -> Any:
        """A user, None for nobody, UNSET where it was not asked for."""
        if asked.assignee_email is not None:
            body = self._write.find_user(asked.assignee_email)
            user = _USER.decode(body) if body else None
        elif isinstance(asked.assignee_id, int):
            user = self._user(asked.assignee_id, "assignee_id")
        else:
            return asked.assignee_id
        if user is None or user.role == "end-user" or not user.active:
            raise RecordInvalid(assignee_id=("must be an agent", "InvalidValue"))
        return user

    def _person(self, person: Person) -> _User:
        body = self._write.find_user(person.email)
        if body is None:
            if "@" not in person.email:
                raise RecordInvalid(requester=("has no valid email", "InvalidValue"))
            name = person.name or person.email.partition("@")[0]
            made = {"id": self._write.next_id("users"), "name": name, "email": person.email.strip()}
            return self._put_user(made)
        return _USER.decode(body)

    def _user(self, user_id: int, name: str) -> _User:
        body = self._write.find_records("users", [user_id]).get(user_id)
        if body is None:
            raise RecordInvalid(**{name: _NO_SUCH})
        return _USER.decode(body)

    def _put_user(self, values: dict[str, Any]) -> _User:
        values["updated_at"] = wire_second(self._write.now)
        draft = parse_record("users", msgspec.json.encode(values), account=self._account, now=self._write.now)
        self._write.put_records([draft])
        return _USER.decode(draft.body)

    def _option_tags(self, asked: TicketInput) -> dict[int, frozenset[str]]:
        if asked.custom_fields is UNSET:
            return {}
        bodies = self._write.find_records("ticket_fields", [field.id for field in asked.custom_fields])
        found = {id: _FIELD.decode(body) for id, body in bodies.items()}
        return {
            id: frozenset(option.value for option in field.custom_field_options or () if option.value)
            for id, field in found.items()
            if field.type in ("tagger", "multiselect")
        }
