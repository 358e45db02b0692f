"""A write transaction of the store in memory: on a copy of the account's data, which replaces it at the end."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from operator import attrgetter

from ticketfeed.protocol import watermark
from ticketfeed.protocol.errors import BadInput
from ticketfeed.protocol.idempotency import IDEMPOTENCY_SECONDS, IdempotentAnswer
from ticketfeed.protocol.invalidations import Invalidation, InvalidationLog
from ticketfeed.protocol.jobs import ERASED_ITEM, Job
from ticketfeed.protocol.mirrors import LOCAL_ID_MIN, Mirror
from ticketfeed.protocol.model import NEW_ID_MAX, Account, FeedState, Position, Token
from ticketfeed.protocol.moved_clock import MovedClock
from ticketfeed.protocol.paging import position_of
from ticketfeed.protocol.records import RecordDraft
from ticketfeed.protocol.rows import ChangeRow, RecordRow, TicketRow
from ticketfeed.protocol.saved_accounts import (
    SAVED_MAX,
    SavedAccount,
    check_saved_name,
    find_saved,
    rewound_states,
)
from ticketfeed.protocol.search_index import INDEXED_KINDS, SearchEntry, indexed_record, indexed_ticket
from ticketfeed.protocol.sideloads import SIDELOADED_KINDS
from ticketfeed.protocol.tickets import TicketDraft
from ticketfeed.storage.account_size import AccountQuota, AccountSize
from ticketfeed.storage.memory_oauth import MemoryOauthTransaction, OauthData
from ticketfeed.storage.mirror_writes import MirrorWrites
from ticketfeed.storage.search_changes import EntryKey, SearchChanges
from ticketfeed.storage.write_contract import CredentialKind, JobItem

__all__ = ["AccountData", "MemoryTransaction"]


@dataclass
class AccountData:
    """Everything stored for one account. Rows are never changed in place, so a shallow copy is a snapshot."""

    state: FeedState = field(default_factory=FeedState)
    record_state: FeedState = field(default_factory=FeedState)
    tickets: dict[int, TicketRow] = field(default_factory=dict)
    records: dict[tuple[str, int], RecordRow] = field(default_factory=dict)
    entries: dict[tuple[str, int], SearchEntry] = field(default_factory=dict)
    credentials: dict[int, tuple[Token, str]] = field(default_factory=dict)
    invalidations: tuple[Invalidation, ...] = ()
    jobs: dict[str, tuple[Job, list[tuple[bytes, bytes | None]]]] = field(default_factory=dict)
    answers: dict[str, IdempotentAnswer] = field(default_factory=dict)
    oauth: OauthData = field(default_factory=OauthData)
    rewound_at: int = 0
    clock: MovedClock = MovedClock()  # noqa: RUF009 - never changed in place
    mirror: Mirror | None = None
    kind_states: dict[str, FeedState] = field(default_factory=dict)
    size: AccountSize | None = None
    quota: AccountQuota = AccountQuota()  # noqa: RUF009 - never changed in place
    scrubbed_until: int = -1
    saved: "dict[str, tuple[SavedAccount, AccountData]]" = field(default_factory=dict)

    def snapshot(self) -> "AccountData":
        parts = dict(self.tickets), dict(self.records), dict(self.entries), dict(self.credentials)
        jobs = {id: (job, items.copy()) for id, (job, items) in self.jobs.items()}
        answers, oauth = dict(self.answers), self.oauth.snapshot()
        rest = self.rewound_at, self.clock, self.mirror, dict(self.kind_states)
        copied = AccountData(self.state, self.record_state, *parts, self.invalidations, jobs, answers, oauth, *rest)
        copied.saved, copied.size, copied.quota = dict(self.saved), self.size, self.quota
        copied.scrubbed_until = self.scrubbed_until
        return copied


class MemoryTransaction(MirrorWrites, MemoryOauthTransaction):
    """A WriteTransaction. `finish` returns the account's data after it."""

    def __init__(self, account_id: int, data: AccountData, now: int) -> None:
        MirrorWrites.__init__(self)
        MemoryOauthTransaction.__init__(self, data.oauth, now)
        self.account_id, self._data = account_id, data
        self._state, self._record_state = data.state, data.record_state
        self._invalidations = InvalidationLog(data.state)
        self._search_changes = SearchChanges(self._write_entries)
        self._newest: int | None = None
        self._newest_record: int | None = None
        self.erased_users: set[int] | None = None
        # The name of an account that is to be made, and what it holds.
        self.forked: tuple[str, AccountData] | None = None
        self._is_rewound = False

    def put_tickets(self, drafts: Iterable[TicketDraft], *, keep_generated_timestamp: bool = False) -> int:
        return self.load(drafts, keep_generated_timestamp=keep_generated_timestamp)

    def put_records(self, drafts: Iterable[RecordDraft]) -> int:
        return self.load(drafts)

    def load(self, drafts: Iterable[TicketDraft | RecordDraft], *, keep_generated_timestamp: bool = False) -> int:
        if self._copies:
            return self._copy(list(drafts))
        if keep_generated_timestamp and not watermark.allows_own_times(self._state):
            raise ValueError("only an account without tickets, never fenced, keeps their generated_timestamp")
        newest_by_id: dict[int, int] = {}
        count = 0
        for draft in drafts:
            count += 1
            if not isinstance(draft, TicketDraft):
                self._write_record(draft)
            elif draft.generated_timestamp >= newest_by_id.get(draft.id, 0):
                newest_by_id[draft.id] = draft.generated_timestamp
                self._put_ticket(draft.row if keep_generated_timestamp else draft.row_at(self.second))
        return count

    def _copy(self, drafts: Sequence[TicketDraft | RecordDraft]) -> int:
        tickets: dict[int, TicketDraft] = {}
        for draft in drafts:
            if isinstance(draft, TicketDraft) and (
                draft.id not in tickets or draft.generated_timestamp >= tickets[draft.id].generated_timestamp
            ):
                tickets[draft.id] = draft
        stored = {id: _stored(self._data.tickets[id]) for id in tickets if id in self._data.tickets}
        rows = self._choose_tickets(list(tickets.values()), stored)
        for row in rows:
            self._put_ticket(row)
        records = [draft for draft in drafts if isinstance(draft, RecordRow)]
        keys = ((draft.kind, draft.id) for draft in records)
        found = {key: _stored(self._data.records[key]) for key in keys if key in self._data.records}
        chosen = self._choose_records(records, found)
        for record in chosen:
            self._put_record(record)
        return len(rows) + len(chosen)

    def _put_ticket(self, row: TicketRow) -> None:
        self._check_writable()
        if before := self._data.tickets.get(row.id):
            self._invalidations.add(position_of(before))
        self._data.tickets[row.id] = row
        self._search_changes.add(("tickets", row.id), indexed_ticket(row.id, row.status, row.body))
        self._search_changes.write_batch()
        self._newest = max(row.generated_timestamp, self._newest or 0)

    def _write_record(self, draft: RecordDraft) -> None:
        state = self._record_state
        second = watermark.next_generated_timestamp(state, self.now)
        if state.is_mirror:
            (row,) = self._check_own_users([draft])
            self._put_record(row)
            return
        row = draft if watermark.allows_own_record_times(state) else draft._replace(generated_timestamp=second)
        self._put_record(row)
        self._newest_record = max(row.generated_timestamp, self._newest_record or 0)

    def _put_record(self, row: RecordDraft) -> None:
        self._data.records[row.kind, row.id] = row
        if row.kind in INDEXED_KINDS:
            self._search_changes.add((row.kind, row.id), indexed_record(row))
            self._search_changes.write_batch()
        self._bumps_record_changes |= row.kind in SIDELOADED_KINDS

    def delete_tickets(self, ids: Sequence[int]) -> int:
        self._check_copies()
        found = [id for id in set(ids) if id in self._data.tickets]
        for id in found:
            self._invalidations.add(position_of(self._data.tickets.pop(id)))
            self._search_changes.add(("tickets", id), None)
        return len(found)

    def delete_records(self, kind: str, ids: Sequence[int]) -> int:
        self._check_copies()
        found = [id for id in set(ids) if (kind, id) in self._data.records and not _is_own_user(kind, id)]
        for id in found:
            del self._data.records[kind, id]
            self._search_changes.add((kind, id), None)
        self._bumps_record_changes |= bool(found) and kind in SIDELOADED_KINDS
        return len(found)

    def list_ids(self, kind: str) -> list[int]:
        return [row.id for row in self._records(kind) if not row.is_deleted and not _is_own_user(kind, row.id)]

    def _find_mirror(self) -> Mirror | None:
        return self._data.mirror

    def _store_mirror(self, mirror: Mirror) -> None:
        self._data.mirror = mirror

    def _find_kind_states(self) -> dict[str, FeedState]:
        return dict(self._data.kind_states)

    def _store_kind_states(self, states: Mapping[str, FeedState]) -> None:
        self._data.kind_states |= states

    def _write_entries(
        self,
        old: Mapping[EntryKey, SearchEntry | None],  # noqa: ARG002
        new: Mapping[EntryKey, SearchEntry | None],
    ) -> None:
        for key, entry in new.items():
            if entry is None:
                self._data.entries.pop(key, None)
            else:
                self._data.entries[key] = entry

    def find_user(self, email: str) -> bytes | None:
        email = email.strip().lower()
        return _first(row for row in self._records("users") if row.email == email)

    def find_tickets_after(self, after: Position, limit: int) -> list[TicketRow]:
        rows = sorted((row for row in self._data.tickets.values() if position_of(row) > after), key=position_of)
        return rows[:limit]

    def find_records_after(self, kind: str, after: Position, limit: int) -> list[RecordRow]:
        rows = sorted((row for row in self._records(kind) if position_of(row) > after), key=position_of)
        return rows[:limit]

    def rewind(self, clock_error_seconds: int) -> int | None:
        self._check_writable()
        before = self._state, self._record_state
        after = watermark.rewind_states(before, self.now, clock_error_seconds)
        if after == before:
            return None
        self._state, self._record_state = after
        self._invalidations = InvalidationLog(self._state)
        second = self.now + clock_error_seconds
        self._data.rewound_at = self._data.rewound_at or second
        return second

    def find_clock(self) -> MovedClock:
        return self._data.clock

    def put_clock(self, clock: MovedClock) -> None:
        self._data.clock = clock

    def find_tickets(self, ids: Sequence[int]) -> dict[int, bytes]:
        tickets = self._data.tickets
        return {id: tickets[id].body for id in ids if id in tickets}

    def find_records(self, kind: str, ids: Sequence[int]) -> dict[int, bytes]:
        records = self._data.records
        return {id: records[kind, id].body for id in ids if (kind, id) in records}

    def find_all(self, kind: str) -> list[bytes]:
        rows = sorted(self._records(kind), key=attrgetter("id"))
        return [row.body for row in rows if not row.is_deleted]

    def find_of_ticket(self, kind: str, ticket_id: int) -> list[bytes]:
        return [row.body for row in self._records(kind) if row.ticket_id == ticket_id]

    def find_of_tickets(self, kind: str, ticket_ids: Sequence[int]) -> dict[int, list[bytes]]:
        found = {id: self.find_of_ticket(kind, id) for id in ticket_ids}
        return {id: bodies for id, bodies in found.items() if bodies}

    def find_of_user(self, kind: str, user_id: int, *, deleted: bool | None = False) -> list[bytes]:
        of_user = (row for row in self._records(kind) if row.user_id == user_id)
        return [row.body for row in of_user if deleted in (None, bool(row.is_deleted))]

    def find_by_key(self, kind: str, keys: Sequence[str]) -> list[bytes]:
        return [row.body for row in self._records(kind) if row.lookup_key in keys and not row.is_deleted]

    def find_of_organization(self, kind: str, organization_id: int) -> list[bytes]:
        rows = self._records(kind)
        return [row.body for row in rows if row.organization_id == organization_id and not row.is_deleted]

    def find_users_without_membership(self, after_id: int, limit: int) -> list[bytes]:
        member = {(row.user_id, row.organization_id) for row in self._memberships()}
        users = (row for row in self._records("users") if row.organization_id is not None and not row.is_deleted)
        found = [row.body for row in users if row.id > after_id and (row.id, row.organization_id) not in member]
        return found[:limit]

    def find_repeated_memberships(self, limit: int) -> list[bytes]:
        counts = Counter((row.user_id, row.organization_id) for row in self._memberships())
        derived = (row for row in self._memberships() if row.user_id == row.id)
        return [row.body for row in derived if counts[row.user_id, row.organization_id] > 1][:limit]

    def _memberships(self) -> list[RecordRow]:
        return [row for row in self._records("organization_memberships") if not row.is_deleted]

    def find_metric_state(self, ticket_id: int) -> tuple[bytes | None, int]:
        metric_set = self._data.records.get(("ticket_metrics", ticket_id))
        state = None if metric_set is None else metric_set.metric_state
        return state, len(self.find_of_ticket("audits", ticket_id))

    def find_metric_states(self, ticket_ids: Sequence[int]) -> dict[int, bytes | None]:
        keys = (("ticket_metrics", id) for id in ticket_ids)
        return {key[1]: self._data.records[key].metric_state for key in keys if key in self._data.records}

    def find_external(self, kind: str, external_id: str) -> bytes | None:
        return _first(row for row in self._records(kind) if row.external_id == external_id)

    def find_containing(self, kind: str, needles: Sequence[bytes]) -> list[int]:
        rows = self._data.tickets.values() if kind == "tickets" else self._records(kind)
        return sorted(row.id for row in rows if any(needle in row.body for needle in needles))

    def next_id(self, kind: str) -> int:
        ids = self._data.tickets if kind == "tickets" else [row.id for row in self._records(kind)]
        return max((id for id in ids if id <= NEW_ID_MAX), default=0) + 1

    def find_idempotent_answer(self, key: str) -> IdempotentAnswer | None:
        answer = self._data.answers.get(key)
        return answer if answer and answer.stored_at > self.now - IDEMPOTENCY_SECONDS else None

    def put_idempotent_answer(self, key: str, answer: IdempotentAnswer) -> None:
        answers, since = self._data.answers, answer.stored_at - IDEMPOTENCY_SECONDS
        recent = {name: other for name, other in answers.items() if other.stored_at > since}
        self._data.answers = recent | {key: answer}

    def add_job(self, job: Job, items: Sequence[bytes]) -> None:
        self._check_writable()
        self.delete_expired()
        self._data.jobs[job.id] = job, [(item, None) for item in items]

    def put_size(self, size: AccountSize) -> None:
        self._data.size = size

    def put_quota(self, quota: AccountQuota) -> None:
        self._data.quota = quota

    def put_scrubbed_until(self, until: int) -> None:
        self._data.scrubbed_until = until

    def delete_expired(self) -> None:
        data, since = self._data, self.now - IDEMPOTENCY_SECONDS
        data.answers = {key: answer for key, answer in data.answers.items() if answer.stored_at > since}
        is_expired = (
            job.id for job, _ in data.jobs.values() if job.finished_at is not None and job.finished_at <= since
        )
        for job_id in list(is_expired):
            del data.jobs[job_id]

    def erase_copies(self, erase: Callable[[bytes], bytes], user_id: int | None = None) -> None:
        self.erased_users = (self.erased_users or set()) | ({user_id} if user_id is not None else set())
        data = self._data
        data.answers = {key: replace(answer, body=erase(answer.body)) for key, answer in data.answers.items()}
        data.jobs = {
            id: (job, [(item, None if result is None else erase(result)) for item, result in items])
            for id, (job, items) in data.jobs.items()
        }

    def next_item(self, job_id: str) -> JobItem | None:
        if job_id not in self._data.jobs:
            return None
        job, items = self._data.jobs[job_id]
        return next((JobItem(job, number, item) for number, (item, result) in enumerate(items) if result is None), None)

    def put_result(self, job_id: str, number: int, result: bytes) -> None:
        items = self._data.jobs[job_id][1]
        items[number] = ERASED_ITEM, result

    def finish_job(self, job_id: str) -> None:
        job, items = self._data.jobs[job_id]
        self._data.jobs[job_id] = replace(job, finished_at=self.now), items

    def add_credential(
        self, user_id: int, kind: CredentialKind, secret_hash: str, description: str | None = None
    ) -> int:
        self._bumps_record_changes = True
        in_force = (stored for token, stored in self._data.credentials.values() if token.revoked_at is None)
        if secret_hash in in_force:
            raise BadInput("this token is in use already")
        credential_id = max(self._data.credentials, default=0) + 1
        token = Token(credential_id, user_id, "", kind, self.now, None, self.now, description)
        self._data.credentials[credential_id] = (token, secret_hash)
        return credential_id

    def use_credential(self, credential_id: int, used_at: int) -> None:
        token, stored = self._data.credentials[credential_id]
        self._data.credentials[credential_id] = (replace(token, used_at=used_at), stored)
        self._bumps_record_changes = True

    def revoke_credential(self, credential_id: int) -> bool:
        token, stored = self._data.credentials.get(credential_id, (None, ""))
        if token is None or token.revoked_at is not None:
            return False
        self._bumps_record_changes = True
        self._data.credentials[credential_id] = (replace(token, revoked_at=self.now), stored)
        return True

    def list_saved(self) -> list[SavedAccount]:
        return [saved for saved, _ in self._data.saved.values()]

    def save_account(self, name: str) -> SavedAccount:
        self._check_writable()
        known = self.list_saved()
        check_saved_name(name, known)
        closed = watermark.close_states((self._state, self._record_state), self.now)
        if closed is not None:
            self._state, self._record_state = self._data.state, self._data.record_state = closed
        used = {each.account.account_id for each in known}
        free = next(id for id in count(-self.account_id * SAVED_MAX, -1) if id not in used)
        saved = SavedAccount(name, self.now, self._state.ticket_count, Account(free, name))
        copied = replace(self._data.snapshot(), saved={})
        self._data.saved[name] = saved, copied
        return saved

    def rewind_account(self, name: str, *, fences: bool) -> None:
        self._check_writable()
        before, copied = self._data, self._find_copy(name)
        states = (copied.state, copied.record_state)
        copied.state, copied.record_state = rewound_states((self._state, self._record_state), states, fences=fences)
        self._data = replace(copied, saved=before.saved, rewound_at=before.rewound_at)
        self._is_rewound = True

    def fork_account(self, name: str, subdomain: str) -> None:
        self.forked = subdomain, replace(self._find_copy(name), rewound_at=0)

    def delete_saved(self, name: str) -> SavedAccount:
        saved = find_saved(name, self.list_saved())
        del self._data.saved[name]
        return saved

    def _find_copy(self, name: str) -> AccountData:
        """What was saved, for an account of its own: of an invalidation log nobody has read there."""
        find_saved(name, self.list_saved())
        return replace(self._data.saved[name][1].snapshot(), invalidations=())

    def finish(self) -> AccountData:
        if self._is_rewound:
            return self._data
        self._search_changes.write()
        data, log = self._data, self._invalidations
        added = len(data.tickets) - self._state.ticket_count
        if self._copies:
            after = self._after_copy(self._newest, added, bumps_record_changes=self._bumps_record_changes)
        else:
            after = watermark.after_write(
                (self._state, self._record_state),
                self._newest,
                self._newest_record,
                self.now,
                added,
                log.count,
                bumps_record_changes=self._bumps_record_changes,
            )
        entries = (*data.invalidations, *log.entries())
        data.invalidations = tuple(entry for entry in entries if entry.number > log.forgotten)
        data.state, data.record_state = after
        return data

    def _records(self, kind: str) -> Iterator[RecordRow]:
        """Those of one kind, by id."""
        rows = (row for (of_kind, _), row in self._data.records.items() if of_kind == kind)
        return iter(sorted(rows, key=attrgetter("id")))


def _stored(row: TicketRow | RecordRow) -> ChangeRow:
    return ChangeRow(row.generated_timestamp, row.id, row.body)


def _is_own_user(kind: str, id: int) -> bool:
    return kind == "users" and id >= LOCAL_ID_MIN


def _first(rows: Iterable[RecordRow]) -> bytes | None:
    row = min(rows, key=attrgetter("is_deleted", "id"), default=None)
    return row.body if row else None
