"""One write of the store in memory: on a copy of all that the account holds, which takes its place at the end."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from operator import attrgetter, itemgetter

from ticketfeed.protocol import watermark
from ticketfeed.protocol.errors import BadInput
from ticketfeed.protocol.idempotency import IDEMPOTENCY_SECONDS, IdempotentAnswer
from ticketfeed.protocol.invalidations import InvalidationLog
from ticketfeed.protocol.jobs import Job
from ticketfeed.protocol.model import FeedState, Position, Token
from ticketfeed.protocol.records import RecordDraft
from ticketfeed.protocol.sideloads import SIDELOADED_KINDS
from ticketfeed.protocol.tickets import TicketDraft
from ticketfeed.storage.contract import CredentialKind

__all__ = ["Held", "MemoryTransaction"]


@dataclass
class Held:
    """All that one account holds. Values are never changed in place, so a shallow copy is a snapshot."""

    state: FeedState = field(default_factory=FeedState)
    record_state: FeedState = field(default_factory=FeedState)
    tickets: dict[int, tuple[int, TicketDraft]] = field(default_factory=dict)
    records: dict[tuple[str, int], tuple[int, RecordDraft]] = field(default_factory=dict)
    credentials: dict[int, tuple[Token, str]] = field(default_factory=dict)
    invalidations: tuple[tuple[int, int, int], ...] = ()

    jobs: dict[str, tuple[Job, list[tuple[bytes, bytes | None]]]] = field(default_factory=dict)
    answers: dict[str, IdempotentAnswer] = field(default_factory=dict)

    def snapshot(self) -> "Held":
        parts = dict(self.tickets), dict(self.records), dict(self.credentials)
        jobs = {id: (job, items.copy()) for id, (job, items) in self.jobs.items()}
        return Held(self.state, self.record_state, *parts, self.invalidations, jobs, dict(self.answers))


class MemoryTransaction:
    def __init__(self, held: Held, now: int) -> None:
        self._held, self.now = held, now
        self.state = held.state
        self._invalidations = InvalidationLog(held.state)
        self._newest: int | None = None
        self._newest_record: int | None = None
        self._beside = False

    @property
    def second(self) -> int:
        return watermark.next_generated_timestamp(self.state, self.now)

    def put_tickets(self, drafts: Iterable[TicketDraft], *, keep_generated_timestamp: bool = False) -> int:
        if keep_generated_timestamp and not watermark.can_keep(self.state):
            raise ValueError("only an account without tickets, never fenced, keeps their generated_timestamp")
        second = self.second
        given: dict[int, int] = {}
        count = 0
        for draft in drafts:
            count += 1
            if draft.generated_timestamp < given.get(draft.id, 0):
                continue
            given[draft.id] = draft.generated_timestamp
            carried = draft.generated_timestamp if keep_generated_timestamp else second
            if draft.id in self._held.tickets:
                self._invalidations.note(Position(self._held.tickets[draft.id][0], draft.id))
            self._held.tickets[draft.id] = (carried, draft)
            self._newest = max(carried, self._newest or 0)
        return count

    def put_records(self, drafts: Iterable[RecordDraft]) -> int:
        state, count = self._held.record_state, 0
        second = watermark.next_generated_timestamp(state, self.now)
        for count, draft in enumerate(drafts, 1):  # noqa: B007
            carried = draft.generated_timestamp if watermark.can_keep_records(state) else second
            self._held.records[draft.kind, draft.id] = (carried, draft)
            self._beside |= draft.kind in SIDELOADED_KINDS
            self._newest_record = max(carried, self._newest_record or 0)
        return count

    def find_user(self, email: str) -> bytes | None:
        email = email.strip().lower()
        users = (draft for (kind, _), (_, draft) in self._held.records.items() if kind == "users")
        return _first(draft for draft in users if draft.email == email)

    def find_tickets(self, ids: Sequence[int]) -> dict[int, bytes]:
        held = self._held.tickets
        return {id: held[id][1].body(held[id][0]) for id in ids if id in held}

    def find_records(self, kind: str, ids: Sequence[int]) -> dict[int, bytes]:
        held = self._held.records
        return {id: held[kind, id][1].body for id in ids if (kind, id) in held}

    def find_of_ticket(self, kind: str, ticket_id: int) -> list[bytes]:
        drafts = (draft for (of, _), (_, draft) in sorted(self._held.records.items(), key=itemgetter(0)) if of == kind)
        return [draft.body for draft in drafts if draft.ticket_id == ticket_id]

    def find_external(self, kind: str, external_id: str) -> bytes | None:
        records = (draft for (of, _), (_, draft) in self._held.records.items() if of == kind)
        return _first(draft for draft in records if draft.external_id == external_id)

    def next_id(self, kind: str) -> int:
        ids = self._held.tickets if kind == "tickets" else [id for of, id in self._held.records if of == kind]
        return max(ids, default=0) + 1

    def find_idempotent_answer(self, key: str) -> IdempotentAnswer | None:
        answer = self._held.answers.get(key)
        return answer if answer and answer.stored_at > self.now - IDEMPOTENCY_SECONDS else None

    def put_idempotent_answer(self, key: str, answer: IdempotentAnswer) -> None:
        kept = self._held.answers.items()
        since = answer.stored_at - IDEMPOTENCY_SECONDS
        self._held.answers = {name: other for name, other in kept if other.stored_at > since} | {key: answer}

    def add_job(self, job: Job, items: Sequence[bytes]) -> None:
        self._held.jobs[job.id] = job, [(item, None) for item in items]

    def next_item(self, job_id: str) -> tuple[Job, int, bytes] | None:
        if job_id not in self._held.jobs:
            return None
        job, items = self._held.jobs[job_id]
        return next(((job, number, item) for number, (item, result) in enumerate(items) if result is None), None)

    def put_result(self, job_id: str, number: int, result: bytes) -> None:
        items = self._held.jobs[job_id][1]
        items[number] = items[number][0], result

    def finish_job(self, job_id: str) -> None:
        job, items = self._held.jobs[job_id]
        self._held.jobs[job_id] = replace(job, finished_at=self.now), items

    def add_credential(self, user_id: int, kind: CredentialKind, secret_hash: str) -> int:
        self._beside = True
        in_force = (stored for token, stored in self._held.credentials.values() if token.revoked_at is None)
        if secret_hash in in_force:
            raise BadInput("this token is in use already")
        credential_id = max(self._held.credentials, default=0) + 1
        token = Token(credential_id, user_id, "", kind, self.now, None)
        self._held.credentials[credential_id] = (token, secret_hash)
        return credential_id

    def revoke_credential(self, credential_id: int) -> bool:
        token, stored = self._held.credentials.get(credential_id, (None, ""))
        if token is None or token.revoked_at is not None:
            return False
        self._beside = True
        self._held.credentials[credential_id] = (replace(token, revoked_at=self.now), stored)
        return True

    def finish(self) -> Held:
        before = self.state, self._held.record_state
        added = len(self._held.tickets) - self.state.ticket_count
        left = self._invalidations
        after = watermark.after_write(
            before, self._newest, self._newest_record, self.now, added, left.count, bumps_record_changes=self._beside
        )
        noted = (*self._held.invalidations, *left.numbered())
        self._held.invalidations = tuple(invalidation for invalidation in noted if invalidation[0] > left.forgotten)
        self._held.state, self._held.record_state = after
        return self._held


def _first(drafts: Iterable[RecordDraft]) -> bytes | None:
    found = min(drafts, key=attrgetter("is_deleted", "id"), default=None)
    return found.body if found else None
