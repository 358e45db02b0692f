"""The life of a ticket inside one write: it is made, changed, deleted, restored, scrubbed.

Whatever happens to a ticket puts it at the end of the feed. What its people see of that has an audit, and moves
`updated_at`; what the system does by itself does neither.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from msgspec import UNSET, Raw

from ticketfeed.protocol.audit_views import deletion_of
from ticketfeed.protocol.audits import (
    AUDIT_IDS,
    Event,
    audit_of,
    change_events,
    comment_event,
    scrubbed_audit,
)
from ticketfeed.protocol.errors import BadRecord, RecordInvalid, RecordNotFound, UpdateConflict
from ticketfeed.protocol.model import Identity, Position
from ticketfeed.protocol.records import parse_record, split_record, wire_second, wire_time
from ticketfeed.protocol.ticket_input import Comment, ImportedTicket, TicketInput, decode_input
from ticketfeed.protocol.ticket_rules import AUDITED, Values, changed_values
from ticketfeed.protocol.tickets import TicketDraft, parse_ticket
from ticketfeed.storage.contract import WriteTransaction
from ticketfeed.writing.lookups import Lookups
from ticketfeed.writing.metric_updates import follow_metrics

__all__ = ["Changed", "TicketWriter"]

_INPUT = msgspec.json.Decoder(TicketInput)
_IMPORT = msgspec.json.Decoder(ImportedTicket)
_CLOSED = ("closed prevents ticket update", "InvalidValue")


@dataclass(frozen=True, slots=True)
class Changed:
    """A ticket as it is after a change, and the audit of that; None where nothing was audited."""

    draft: TicketDraft
    generated_timestamp: int
    audit: bytes | None

    @property
    def body(self) -> bytes:
        return self.draft.body(self.generated_timestamp)


class TicketWriter:
    """Changes of tickets of one account, by one user, in one write."""

    def __init__(self, write: WriteTransaction, account: str, actor: Identity) -> None:
        self._write, self._account, self._actor = write, account, actor
        self._finder = Lookups(write, account, actor)

    def create(self, given: bytes) -> Changed:
        """A new ticket. Raises RecordInvalid, MalformedRequest."""
        asked = decode_input(_INPUT, given)
        comment = _comment(asked)
        if comment is None or not comment.text.strip():
            raise RecordInvalid(base=("cannot be blank", "BlankValue"), description=("cannot be blank", "BlankValue"))
        return self._make(asked, comment, [], self._write.now)

    def import_ticket(self, given: bytes) -> Changed:
        """A ticket with the history it had elsewhere: its comments become audits of their own times."""
        asked = decode_input(_IMPORT, given)
        first = _comment(asked)
        comments = [first, *asked.comments] if first else asked.comments
        if not comments:
            raise RecordInvalid(base=("cannot be blank", "BlankValue"), description=("cannot be blank", "BlankValue"))
        created = int(asked.created_at.timestamp()) if asked.created_at else self._write.now
        return self._make(asked, comments[0], comments[1:], min(created, self._write.now))

    def update(self, ticket_id: int, given: bytes) -> Changed:
        """Change a ticket. Raises RecordNotFound, RecordInvalid, UpdateConflict, MalformedRequest."""
        asked = decode_input(_INPUT, given)
        raw, before = self._alive(ticket_id)
        if asked.safe_update and (
            asked.updated_stamp is None or wire_time(asked.updated_stamp) != before["updated_at"]
        ):
            raise UpdateConflict
        comment = _comment(asked)
        found = self._finder.find(asked, comment, before.get("requester_id"), is_new=False)
        after = changed_values(before, asked, found, is_new=False)
        events = self._comment_events(comment, after) if comment and comment.text.strip() else []
        return self._store(ticket_id, raw, before, after, events)

    def set_tags(self, ticket_id: int, tags: Sequence[str], how: str) -> list[str]:
        """`how`: tags, additional_tags or remove_tags. Returns those that the ticket has then."""
        changed = self.update(ticket_id, msgspec.json.encode({how: list(tags)}))
        return list(msgspec.json.decode(changed.body)["tags"])

    def delete(self, ticket_id: int) -> None:
        """Raises RecordNotFound. A closed ticket can be deleted, too."""
        raw, before = self._alive(ticket_id)
        self._store(ticket_id, raw, before, {**before, "status": "deleted"}, [])

    def mark_as_spam(self, ticket_id: int) -> None:
        """Delete the ticket, and suspend who asked."""
        _, before = self._alive(ticket_id)
        self.delete(ticket_id)
        self._finder.suspend(before.get("requester_id"))

    def restore(self, ticket_id: int) -> None:
        """Give a deleted ticket the status back that it had. Raises RecordNotFound."""
        raw, before = self._deleted(ticket_id)
        _, status = deletion_of(self._write.find_of_ticket("audits", ticket_id))
        self._store(ticket_id, raw, before, {**before, "status": status}, [])

    def scrub(self, ticket_id: int) -> None:
        """Delete for good: the ticket stays in the feed, and nothing of what it said. Raises RecordNotFound."""
        raw, _ = self._deleted(ticket_id)
        gone = {"subject": "SCRUBBED", "raw_subject": "SCRUBBED", "description": "X", "external_id": None}
        self._put(raw, {**gone, "tags": [], "custom_fields": [], "fields": []})
        audits = [scrubbed_audit(body) for body in self._write.find_of_ticket("audits", ticket_id)]
        self._put_audits(audits)

    def close(self, ticket_id: int) -> None:
        """What the system does to a solved ticket after a while: no audit, and `updated_at` stays."""
        raw, _ = self._alive(ticket_id)
        self._put(raw, {"status": "closed"})

    def is_at(self, position: Position, status: str) -> bool:
        """Whether nothing has happened to a ticket since it was put there with this status."""
        _, values = self._find(position.id)
        return (values["generated_timestamp"], values["status"]) == (position.generated_timestamp, status)

    def is_open(self, ticket_id: int) -> bool:
        """Whether a ticket can be changed."""
        _, values = self._find(ticket_id)
        return values["status"] not in ("closed", "deleted")

    def merge(self, target_id: int, source_ids: Sequence[int], target_text: str, source_text: str) -> None:
        """Close the sources, and say so in all of them. Raises RecordNotFound, RecordInvalid."""
        if not source_ids or target_id in source_ids:
            raise RecordInvalid(ids=("must name other tickets", "InvalidValue"))
        _, target = self._alive(target_id)
        if target["status"] == "closed":
            raise RecordInvalid(status=_CLOSED)
        for source_id in source_ids:
            raw, before = self._alive(source_id)
            if before["status"] == "closed":
                raise RecordInvalid(status=_CLOSED)
            tags = sorted({*before.get("tags", ()), "closed_by_merge"})
            after = {**before, "status": "closed", "tags": tags}
            after["assignee_id"] = before.get("assignee_id") or self._actor.user_id
            comment = Comment(body=source_text or f"Merged into #{target_id}.", public=False)
            self._store(source_id, raw, before, after, self._comment_events(comment, after))
        names = ", ".join(f"#{source_id}" for source_id in source_ids)
        told = {"body": target_text or f"{names} merged into this ticket.", "public": False}
        self.update(target_id, msgspec.json.encode({"comment": told}))

    def _make(self, asked: TicketInput, first: Comment, later: Sequence[Comment], created: int) -> Changed:
        ticket_id = self._write.next_id("tickets")
        found = self._finder.find(asked, first, None, is_new=True)
        imported = isinstance(asked, ImportedTicket)
        blank: Values = {"status": "new", "tags": [], "custom_fields": [], "is_public": first.public is not False}
        after = changed_values(blank, asked, found, is_new=True)
        author = first.author_id or (after["submitter_id"] if imported else None) or after["requester_id"]
        updated = self._write.now
        if isinstance(asked, ImportedTicket):
            updated = min(int(asked.updated_at.timestamp()), updated) if asked.updated_at else created
        after |= {
            "id": ticket_id,
            "description": first.text,
            "created_at": wire_second(created),
            "updated_at": wire_second(max(created, updated)),
        }
        events = [comment_event(first.text, first.html_body, author, public=after["is_public"])]
        events += change_events(None, after, AUDITED)
        audits = [self._audit(ticket_id, created, author, events)]
        for comment in later:
            at = int(comment.created_at.timestamp()) if comment.created_at else created
            said_by = comment.author_id or after["requester_id"]
            event = comment_event(comment.text, comment.html_body, said_by, public=comment.public is not False)
            audits.append(self._audit(ticket_id, max(created, min(at, self._write.now)), said_by, [event], len(audits)))
        self._put_audits(audits)
        changed = self._put({}, after, audits[0])
        follow_metrics(self._write, self._account, ticket_id, after["requester_id"])
        return changed

    def _store(
        self, ticket_id: int, raw: dict[str, Raw], before: Values, after: Values, events: list[Event]
    ) -> Changed:
        """Put what has changed, with an audit; nothing where nothing has."""
        for event in events:
            after["is_public"] = bool(after.get("is_public")) or event["public"]
        events = events + change_events(before, after, AUDITED)
        changes = {name: value for name, value in after.items() if value != before.get(name)}
        if not events and not changes:
            draft = parse_ticket(_encoded(raw), account=self._account, now=self._write.now)
            return Changed(draft, draft.generated_timestamp, None)
        changes["updated_at"] = wire_second(self._write.now)
        author = events[0]["author_id"] if events and events[0]["type"] == "Comment" else self._actor.user_id
        audit = self._audit(ticket_id, self._write.now, author, events)
        self._put_audits([audit])
        changed = self._put(raw, changes, audit)
        follow_metrics(self._write, self._account, ticket_id, before.get("requester_id"))
        return changed

    def _put(self, raw: dict[str, Raw], changes: Values, audit: bytes | None = None) -> Changed:
        values = {**raw, **changes}
        values.pop("generated_timestamp", None)
        try:
            draft = parse_ticket(_encoded(values), account=self._account, now=self._write.now)
        except BadRecord as error:  # such as a time far away: what was asked for is of the right type, and no ticket
            raise RecordInvalid(base=(str(error), "InvalidValue")) from None
        self._write.put_tickets([draft])
        return Changed(draft, self._write.second, audit)

    def _audit(self, ticket_id: int, at: int, author_id: int, events: list[Event], place: int = 0) -> bytes:
        first_free = -(-self._write.next_id("audits") // AUDIT_IDS) * AUDIT_IDS
        return msgspec.json.encode(audit_of(first_free + place * AUDIT_IDS, ticket_id, at, author_id, events))

    def _put_audits(self, audits: Sequence[bytes]) -> None:
        self._write.put_records(
            parse_record("audits", audit, account=self._account, now=self._write.now) for audit in audits
        )

    def _comment_events(self, comment: Comment, values: Values) -> list[Event]:
        author = comment.author_id or self._actor.user_id
        public = bool(values.get("is_public", True)) if comment.public is None else comment.public
        return [comment_event(comment.text, comment.html_body, author, public=public)]

    def _alive(self, ticket_id: int) -> tuple[dict[str, Raw], Values]:
        raw, values = self._find(ticket_id)
        if values["status"] == "deleted":
            raise RecordNotFound
        return raw, values

    def _deleted(self, ticket_id: int) -> tuple[dict[str, Raw], Values]:
        """A ticket that can still be restored."""
        raw, values = self._find(ticket_id)
        if values["status"] != "deleted" or values.get("subject") == "SCRUBBED":
            raise RecordNotFound
        return raw, values

    def _find(self, ticket_id: int) -> tuple[dict[str, Raw], Values]:
        body = self._write.find_tickets([ticket_id]).get(ticket_id)
        if body is None:
            raise RecordNotFound
        return split_record(body), msgspec.json.decode(body)


def _comment(asked: TicketInput) -> Comment | None:
    if isinstance(asked.comment, str):
        return Comment(body=asked.comment)
    if asked.comment is None and asked.description is not UNSET:
        return Comment(body=asked.description)
    return asked.comment


def _encoded(values: Any) -> bytes:
    return msgspec.json.encode(values)
