"""Writes tickets inside one write: created, changed, deleted, restored, scrubbed.

Every write of a ticket puts it at the end of the feed. What users do has an audit and moves `updated_at`; what the
system does by itself has neither.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from msgspec import Raw

from ticketfeed.protocol.audit_views import deletion_of
from ticketfeed.protocol.audits import (
    AUDIT_IDS,
    Event,
    audit_draft,
    audit_of,
    change_events,
    comment_event,
    field_events,
    step_of,
)
from ticketfeed.protocol.erasure import (
    TICKET_KINDS,
    erase_ticket_copy,
    erased_record,
    erased_ticket,
    is_erased_ticket,
    without_subject_of,
)
from ticketfeed.protocol.errors import BadRecord, RecordInvalid, RecordNotFound, UpdateConflict
from ticketfeed.protocol.model import Identity, Position
from ticketfeed.protocol.records import RecordDraft, encode, parse_stored, split_record, wire_second, wire_time
from ticketfeed.protocol.stored_records import StoredDecoder
from ticketfeed.protocol.ticket_input import Comment, ImportedTicket, TicketInput
from ticketfeed.protocol.ticket_metrics import Step
from ticketfeed.protocol.ticket_rules import AUDITED_FIELDS, CLOSED, Values, changed_values
from ticketfeed.protocol.tickets import TicketDraft, decode_ticket, make_ticket
from ticketfeed.storage.write_contract import WriteTransaction
from ticketfeed.writing.lookups import Lookups
from ticketfeed.writing.metric_updates import changed_metrics, new_metrics

__all__ = ["TicketWriter", "WrittenTicket"]

_VALUES = StoredDecoder(dict[str, Any])


@dataclass(frozen=True, slots=True)
class WrittenTicket:
    """A ticket after a write, and the body of the audit; None for a write without one. `values`: what it has now."""

    draft: TicketDraft
    values: Values
    audit: bytes | None = None

    @property
    def body(self) -> bytes:
        return self.draft.row.body


@dataclass(frozen=True, slots=True)
class _Stored:
    """A stored ticket: its values, and the same as they are stored, or nothing if some values were mended."""

    values: Values
    raw: dict[str, Raw]


def _event(comment: Comment, author_id: int, *, public: bool) -> Event:
    return comment_event(comment.text, comment.html_body, author_id, public=public, call=comment.data)


class TicketWriter:
    """Writes tickets of one account, by one user, in one write."""

    def __init__(self, write: WriteTransaction, account: str, actor: Identity) -> None:
        self._write, self._account, self._actor = write, account, actor
        self._lookups = Lookups(write, account, actor)

    def create(self, ticket: TicketInput) -> WrittenTicket:
        """Create a ticket, which has a comment. Raises RecordInvalid."""
        comment = ticket.new_comment()
        assert comment is not None
        values = self._new_values(ticket, comment)
        values |= dict.fromkeys(("created_at", "updated_at"), wire_second(self._write.now))
        author_id = comment.author_id or values["requester_id"]
        events = [_event(comment, author_id, public=values["is_public"])]
        source = self._followed(ticket.via_followup_source_id, values) if ticket.via_followup_source_id else None
        written = self._put_new(values, [(self._write.now, author_id, events)], ticket.custom_metadata)
        if source is not None:
            self._put(source, {"followup_ids": [*(source.values.get("followup_ids") or ()), written.draft.id]})
        return written

    def import_ticket(self, ticket: ImportedTicket) -> WrittenTicket:
        """Create a ticket with a history: its comments, at least one, become audits of their own times."""
        first, *others = ticket.all_comments()
        now = self._write.now
        created = min(int(ticket.created_at.timestamp()), now) if ticket.created_at else now
        updated = min(int(ticket.updated_at.timestamp()), now) if ticket.updated_at else created
        values = self._new_values(ticket, first, is_import=True)
        known = self._lookups.known_users([comment.author_id for comment in (first, *others) if comment.author_id])
        values |= {"created_at": wire_second(created), "updated_at": wire_second(max(created, updated))}
        author_id: int = known.get(first.author_id) or values["submitter_id"] or values["requester_id"]
        events = [_event(first, author_id, public=values["is_public"])]
        audits = [(created, author_id, events)]
        for comment in others:
            moment = int(comment.created_at.timestamp()) if comment.created_at else created
            author_id = known.get(comment.author_id) or values["requester_id"]
            event = _event(comment, author_id, public=comment.public is not False)
            audits.append((max(created, min(moment, now)), author_id, [event]))
        return self._put_new(values, audits, ticket.custom_metadata)

    def update(self, ticket_id: int, change: TicketInput) -> WrittenTicket:
        """Change a ticket. Raises RecordNotFound, RecordInvalid, UpdateConflict."""
        stored = self._find_present(ticket_id)
        before = stored.values
        if change.safe_update and (
            change.updated_stamp is None or wire_time(change.updated_stamp) != before["updated_at"]
        ):
            raise UpdateConflict
        comment = change.new_comment()
        related = self._lookups.related(change, comment, before.get("requester_id"), is_new=False)
        after = changed_values(before, change, related, is_new=False)
        if change.via_followup_source_id is not None:
            raise RecordInvalid(via_followup_source_id=("is for new tickets alone", "InvalidValue"))
        said = comment if comment and comment.text.strip() else None
        return self._put_changed(stored, after, said, change.custom_metadata)

    def delete(self, ticket_id: int) -> None:
        """Delete a ticket, which may be closed. Raises RecordNotFound."""
        stored = self._find_present(ticket_id)
        self._put_changed(stored, {**stored.values, "status": "deleted"})

    def mark_as_spam(self, ticket_id: int) -> None:
        """Delete a ticket and suspend its requester. Raises RecordNotFound."""
        stored = self._find_present(ticket_id)
        self._put_changed(stored, {**stored.values, "status": "deleted"})
        self._lookups.suspend(stored.values.get("requester_id"))

    def restore(self, ticket_id: int) -> None:
        """Give a deleted ticket the status back that it had. Raises RecordNotFound."""
        stored = self._find_deleted(ticket_id)
        _, status = deletion_of(self._write.find_of_ticket("audits", ticket_id))
        self._put_changed(stored, {**stored.values, "status": status})

    def scrub(self, ticket_id: int) -> None:
        """Delete a ticket permanently: it stays in the feed without its content. Raises RecordNotFound."""
        stored = self._find_deleted(ticket_id)
        written = self._put(_Stored(erased_ticket(stored.values), {}), {})
        self.scrub_copies(ticket_id, written.values["followup_ids"], written.draft)

    def scrub_copies(self, ticket_id: int, followup_ids: Sequence[int], scrubbed: TicketDraft) -> None:
        """Erase what belongs to a ticket that was deleted permanently, and what repeats it elsewhere."""
        records = [
            self._parse(kind, erased_record(kind, body))
            for kind in TICKET_KINDS
            for body in self._records_of(kind, ticket_id)
        ]
        self._write.put_records(records)
        for followup_id in followup_ids:
            self._erase_subject(ticket_id, followup_id)
        body = scrubbed.body(0)  # as an answer to its creation shows it
        self._write.erase_copies(lambda copy: erase_ticket_copy(copy, ticket_id, body))

    def rewrite(self, ticket_id: int, change: Callable[[Any], Any]) -> None:
        """Replace the values of a ticket as the system does: without an audit, and `updated_at` stays."""
        stored = self._find(ticket_id)
        changed = change(stored.values)
        if changed != stored.values or stored.values.keys() != stored.raw.keys():
            same = {key for key, value in changed.items() if value == stored.values[key]}
            self._put(_Stored(changed, {key: text for key, text in stored.raw.items() if key in same}), {})

    def _records_of(self, kind: str, ticket_id: int) -> Iterable[bytes]:
        if kind == "ticket_metrics":
            return self._write.find_records(kind, [ticket_id]).values()
        return self._write.find_of_ticket(kind, ticket_id)

    def _erase_subject(self, ticket_id: int, followup_id: int) -> None:
        """Erase the subject of a ticket in the follow-up ticket that repeats it, and in the audits of that."""
        body = self._write.find_tickets([followup_id]).get(followup_id)
        if body is None:
            return
        stored = self._find(followup_id)
        via = stored.values.get("via")
        if (without := without_subject_of(ticket_id, via)) != via:
            self._put(stored, {"via": without})
        for audit in self._write.find_of_ticket("audits", followup_id):
            values = _VALUES.decode(audit)
            if (changed := without_subject_of(ticket_id, values)) != values:
                self._write.put_records([self._parse("audits", encode(changed))])

    def _parse(self, kind: str, body: bytes) -> RecordDraft:
        return parse_stored(kind, body, account=self._account, now=self._write.now)

    def close(self, ticket_id: int) -> None:
        """Close a ticket as the system does after a while: without an audit, and `updated_at` stays."""
        self._put(self._find_present(ticket_id), {"status": "closed"})

    def is_at(self, position: Position, status: str) -> bool:
        """Whether a ticket has this status and was not written since it was put at `position`."""
        values = self._find(position.id).values
        return (values["generated_timestamp"], values["status"]) == (position.generated_timestamp, status)

    def is_open(self, ticket_id: int) -> bool:
        """Whether a ticket can be changed."""
        return self._find(ticket_id).values["status"] not in ("closed", "deleted")

    def merge(self, target_id: int, source_ids: Sequence[int], target_text: str, source_text: str) -> None:
        """Close the sources, with a comment in each ticket. Raises RecordNotFound, RecordInvalid."""
        if not source_ids or target_id in source_ids:
            raise RecordInvalid(ids=("must name other tickets", "InvalidValue"))
        if self._find_present(target_id).values["status"] == "closed":
            raise RecordInvalid(status=CLOSED)
        for source_id in source_ids:
            source = self._find_present(source_id)
            before = source.values
            if before["status"] == "closed":
                raise RecordInvalid(status=CLOSED)
            after = {**before, "status": "closed", "tags": sorted({*before.get("tags", ()), "closed_by_merge"})}
            after["assignee_id"] = before.get("assignee_id") or self._actor.user_id
            self._put_changed(source, after, Comment(body=source_text or f"Merged into #{target_id}.", public=False))
        names = ", ".join(f"#{source_id}" for source_id in source_ids)
        comment = Comment(body=target_text or f"{names} merged into this ticket.", public=False)
        self.update(target_id, TicketInput(comment=comment))

    def _followed(self, source_id: int, values: Values) -> _Stored:
        """The closed ticket that a new one, of these values, follows. Raises RecordInvalid."""
        try:
            source = self._find_present(source_id)
        except RecordNotFound:
            raise RecordInvalid(via_followup_source_id=("is invalid", "InvalidValue")) from None
        if source.values["status"] != "closed":
            raise RecordInvalid(via_followup_source_id=("must be a closed ticket", "InvalidValue"))
        via = source.values.get("via") or {}
        origin = {"ticket_id": source_id, "subject": source.values.get("subject"), "channel": via.get("channel", "api")}
        values["via"] = {"channel": "web", "source": {"from": origin, "to": {}, "rel": "follow_up"}}
        return source

    def _new_values(self, ticket: TicketInput, comment: Comment, *, is_import: bool = False) -> Values:
        related = self._lookups.related(ticket, comment, None, is_new=True, is_import=is_import)
        is_public = comment.public is not False
        blank: Values = {"status": "new", "tags": [], "custom_fields": [], "fields": [], "is_public": is_public}
        values = changed_values(blank, ticket, related, is_new=True)
        return values | {"id": self._write.next_id("tickets"), "description": comment.text}

    def _put_new(
        self, values: Values, audits: Sequence[tuple[int, int, list[Event]]], metadata: Mapping[str, Any]
    ) -> WrittenTicket:
        """`audits`: of each its moment, its author and its comment. `metadata`: of the first."""
        audits[0][2].extend([*change_events(None, values, AUDITED_FIELDS), *field_events(None, values)])
        audit_id = self._next_audit_id()
        records = [
            audit_draft(
                audit_of(
                    audit_id + place * AUDIT_IDS, values["id"], moment, author_id, events, None if place else metadata
                ),
                moment,
            )
            for place, (moment, author_id, events) in enumerate(audits)
        ]
        steps: list[Step] = []
        for moment, author_id, events in audits:
            steps.append(step_of(steps[-1] if steps else None, moment, author_id, events))
        metrics = new_metrics(self._write, self._account, values["id"], values["requester_id"], steps)
        self._write.put_records([*records, *metrics])
        return self._put(_Stored(values, {}), {}, records[0].body)

    def _put_changed(
        self,
        stored: _Stored,
        after: Values,
        comment: Comment | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> WrittenTicket:
        """Put what differs from the stored values, with an audit; nothing if nothing does."""
        before, now = stored.values, self._write.now
        author_id = self._actor.user_id
        events: list[Event] = []
        if comment is not None:
            author_id = comment.author_id or author_id
            public = bool(after.get("is_public", True)) if comment.public is None else comment.public
            events.append(_event(comment, author_id, public=public))
            after["is_public"] = bool(after.get("is_public")) or public
        events += [*change_events(before, after, AUDITED_FIELDS), *field_events(before, after)]
        changes = {name: value for name, value in after.items() if value != before.get(name)}
        if not events and not changes:
            return WrittenTicket(self._make(before, stored.raw, before["generated_timestamp"]), before)
        ticket_id = before["id"]
        audit = audit_draft(audit_of(self._next_audit_id(), ticket_id, now, author_id, events, metadata), now)
        requester_id = before.get("requester_id")
        metrics = changed_metrics(self._write, self._account, ticket_id, requester_id, author_id, events)
        self._write.put_records([audit, *metrics])
        return self._put(stored, {**changes, "updated_at": wire_second(now)}, audit.body)

    def _put(self, stored: _Stored, changes: Mapping[str, Any], audit: bytes | None = None) -> WrittenTicket:
        values = {**stored.values, **changes}
        unchanged = {name: value for name, value in stored.raw.items() if name not in changes}
        draft = self._make(values, unchanged, self._write.second)
        self._write.put_tickets([draft])
        return WrittenTicket(draft, values, audit)

    def _make(self, values: Mapping[str, Any], unchanged: Mapping[str, Raw], second: int) -> TicketDraft:
        try:
            return make_ticket(values, unchanged, account=self._account, generated_timestamp=second)
        except BadRecord as error:  # values of the right types that make no ticket
            raise RecordInvalid(base=(str(error), "InvalidValue")) from None

    def _next_audit_id(self) -> int:
        return -(-self._write.next_id("audits") // AUDIT_IDS) * AUDIT_IDS

    def _find_present(self, ticket_id: int) -> _Stored:
        stored = self._find(ticket_id)
        if stored.values["status"] == "deleted":
            raise RecordNotFound
        return stored

    def _find_deleted(self, ticket_id: int) -> _Stored:
        """A ticket that can still be restored."""
        stored = self._find(ticket_id)
        if stored.values["status"] != "deleted" or is_erased_ticket(stored.values):
            raise RecordNotFound
        return stored

    def _find(self, ticket_id: int) -> _Stored:
        body = self._write.find_tickets([ticket_id]).get(ticket_id)
        if body is None:
            raise RecordNotFound
        values, is_mended = decode_ticket(body)
        return _Stored(values, {} if is_mended else split_record(body))
