"""A write transaction on an engine with SQL: all of the WriteTransaction but how a batch of tickets is stored."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import TypeVar

import msgspec

from ticketfeed.protocol import watermark
from ticketfeed.protocol.errors import BadInput
from ticketfeed.protocol.idempotency import IDEMPOTENCY_SECONDS, IdempotentAnswer
from ticketfeed.protocol.invalidations import Invalidation, InvalidationLog
from ticketfeed.protocol.jobs import ERASED_ITEM, Job
from ticketfeed.protocol.mirrors import LOCAL_ID_MIN, Mirror, decode_mirror, encode_mirror
from ticketfeed.protocol.model import NEW_ID_MAX, Account, FeedState, Position
from ticketfeed.protocol.moved_clock import MovedClock
from ticketfeed.protocol.paging import position_of
from ticketfeed.protocol.records import RecordDraft
from ticketfeed.protocol.rows import BodyRow, ChangeRow, RecordRow, TicketRecordRow, TicketRow
from ticketfeed.protocol.search_index import INDEXED_KINDS, WORDLESS_KINDS, SearchEntry, indexed_record, indexed_ticket
from ticketfeed.protocol.sideloads import SIDELOADED_KINDS
from ticketfeed.protocol.tickets import TicketDraft
from ticketfeed.protocol.watermark import States
from ticketfeed.storage.account_size import AccountQuota, AccountSize
from ticketfeed.storage.dedup import LastWins, batches
from ticketfeed.storage.mirror_writes import MirrorWrites
from ticketfeed.storage.search_changes import EntryKey, SearchChanges
from ticketfeed.storage.sql_oauth import SqlOauthTransaction
from ticketfeed.storage.sql_saved import SqlSavedWrites
from ticketfeed.storage.sql_session import SqlSession, find_clock
from ticketfeed.storage.write_contract import CredentialKind, JobItem

__all__ = ["BATCH", "SqlTransaction", "rewound_key"]

T = TypeVar("T")

# Tickets found and stored at once: some hundred kilobytes, and a few thousand parameters of one statement.
BATCH = 250


class SqlTransaction(MirrorWrites, SqlSavedWrites, SqlOauthTransaction, ABC):
    """A WriteTransaction whose account row is locked. `finish` returns the row after it, for the caller to store."""

    def __init__(self, session: SqlSession, account: Account, states: States, now: int) -> None:
        MirrorWrites.__init__(self)
        SqlSavedWrites.__init__(self, account)
        SqlOauthTransaction.__init__(self, session, account, now)
        self._state, self._record_state = states
        self._invalidations = InvalidationLog(self._state)
        self._search_changes = SearchChanges(self._write_entries)
        self._newest: int | None = None
        self._newest_record: int | None = None
        self._added = 0
        self.erased_users: set[int] | None = None

    @abstractmethod
    def _store_tickets(self, rows: list[TicketRow]) -> None:
        """Store rows, each of another ticket, and tell `_count_stored` of them.

        Adds those that existed to the changes of the search index, where the engine needs them.
        """

    @abstractmethod
    def _find_indexed(self, keys: Iterable[EntryKey]) -> list[RecordRow]:
        """Those of these records that exist, where the engine needs them to remove their entries."""

    @abstractmethod
    def _write_entries(
        self, old: Mapping[EntryKey, SearchEntry | None], new: Mapping[EntryKey, SearchEntry | None]
    ) -> None:
        """Replace entries of the search index. `old`: those of records that were stored before, where the engine needs
        them; None: there is none."""

    def put_tickets(self, drafts: Iterable[TicketDraft], *, keep_generated_timestamp: bool = False) -> int:
        return self.load(drafts, keep_generated_timestamp=keep_generated_timestamp)

    def load(self, drafts: Iterable[TicketDraft | RecordDraft], *, keep_generated_timestamp: bool = False) -> int:
        self._check_writable()
        if keep_generated_timestamp and not self._copies and not watermark.allows_own_times(self._state):
            raise ValueError("only an account without tickets, never fenced, keeps their generated_timestamp")
        last_wins, count = LastWins(_WrittenTable(self._session)), 0
        for batch in batches(drafts, BATCH):
            records = self.put_records([draft for draft in batch if isinstance(draft, RecordRow)])
            tickets = last_wins.newest([draft for draft in batch if isinstance(draft, TicketDraft)])
            if self._copies:
                stored = self._rows("find_tickets", ChangeRow, ids=self._list([draft.id for draft in tickets]))
                rows = self._choose_tickets(tickets, {row.id: row for row in stored})
                count += records + len(rows)
            else:
                rows = [draft.row if keep_generated_timestamp else draft.row_at(self.second) for draft in tickets]
                count += len(batch)
            self._put_tickets(rows)
        return count

    def _put_tickets(self, rows: list[TicketRow]) -> None:
        """Store rows of different tickets."""
        if not rows:
            return
        self._store_tickets(rows)
        for row in rows:
            self._search_changes.add(("tickets", row.id), indexed_ticket(row.id, row.status, row.body))
        self._search_changes.write_batch()
        self._newest = max(self._newest or 0, *(row.generated_timestamp for row in rows))

    def _count_stored(self, count: int, left: Sequence[Position]) -> None:
        """Count tickets that were stored. `left`: the positions that those had which existed."""
        for position in left:
            self._invalidations.add(position)
        self._added += count - len(left)

    def put_rows(self, rows: Sequence[TicketRow | RecordRow]) -> None:
        """Store rows of another store as they are. The account's row stays as it was."""
        self._rewound = self._state, self._record_state
        self._put_tickets([row for row in rows if isinstance(row, TicketRow)])
        self._store_records([row for row in rows if isinstance(row, RecordRow)])

    def remove_rows(self, kind: str, ids: Sequence[int]) -> None:
        """Delete tickets ("tickets") or records as if they had never been. The account's row stays as it was."""
        self._rewound = self._state, self._record_state
        if kind == "tickets":
            self._remove_tickets(ids)
        else:
            self._remove_records(kind, ids)

    def put_records(self, drafts: Iterable[RecordDraft]) -> int:
        second, count = watermark.next_generated_timestamp(self._record_state, self.now), 0
        keep = watermark.allows_own_record_times(self._record_state)
        for batch in batches(drafts, BATCH):
            if self._copies:
                rows = self._choose_records(batch, self._find_changes(batch))
            elif self._state.is_mirror:
                rows = self._check_own_users(batch)
            else:
                rows = batch if keep else [_at(draft, second) for draft in batch]
                self._newest_record = max(self._newest_record or 0, *(row.generated_timestamp for row in rows))
            count += len(rows)
            self._store_records(rows)
            self._bumps_record_changes |= any(row.kind in SIDELOADED_KINDS for row in rows)
        return count

    def _store_records(self, rows: Sequence[RecordRow]) -> None:
        """Store rows as they are."""
        indexed = [row for row in rows if row.kind in INDEXED_KINDS]
        for row in self._find_indexed(self._search_changes.missing((row.kind, row.id) for row in indexed)):
            self._search_changes.add_stored((row.kind, row.id), indexed_record(row))
        self._session.put_rows("record", RecordRow, self._account_id, rows, ("kind", "id"))
        for row in indexed:
            self._search_changes.add((row.kind, row.id), indexed_record(row))
        self._search_changes.write_batch()

    def _find_changes(self, drafts: Sequence[RecordDraft]) -> dict[tuple[str, int], ChangeRow]:
        """What is stored of these records."""
        ids: dict[str, list[int]] = {}
        for draft in drafts:
            ids.setdefault(draft.kind, []).append(draft.id)
        return {
            (kind, row.id): row
            for kind, wanted in ids.items()
            for row in self._rows("find_record_rows", ChangeRow, kind=kind, ids=self._list(wanted))
        }

    def delete_tickets(self, ids: Sequence[int]) -> int:
        self._check_copies()
        return self._remove_tickets(ids)

    def _remove_tickets(self, ids: Sequence[int]) -> int:
        count = 0
        for batch in batches(ids, BATCH):
            rows = self._rows("find_tickets", TicketRow, ids=self._list(batch))
            for row in rows:
                self._search_changes.add_stored(("tickets", row.id), indexed_ticket(row.id, row.status, row.body))
                self._search_changes.add(("tickets", row.id), None)
                self._invalidations.add(position_of(row))
            self._execute("remove_tickets", ids=self._list(batch))
            count += len(rows)
        self._added -= count
        return count

    def delete_records(self, kind: str, ids: Sequence[int]) -> int:
        self._check_copies()
        return self._remove_records(kind, [id for id in ids if kind != "users" or id < LOCAL_ID_MIN])

    def _remove_records(self, kind: str, ids: Sequence[int]) -> int:
        count = 0
        for batch in batches(ids, BATCH):
            rows = self._rows("find_record_rows", RecordRow, kind=kind, ids=self._list(batch))
            for row in rows if kind in INDEXED_KINDS else ():
                if kind not in WORDLESS_KINDS:
                    self._search_changes.add_stored((kind, row.id), indexed_record(row))
                self._search_changes.add((kind, row.id), None)
            self._execute("remove_records", kind=kind, ids=self._list(batch))
            count += len(rows)
        self._bumps_record_changes |= bool(count) and kind in SIDELOADED_KINDS
        return count

    def list_ids(self, kind: str) -> list[int]:
        return [id for (id,) in self._fetch("list_record_ids", kind=kind, id_max=LOCAL_ID_MIN - 1)]

    def _find_mirror(self) -> Mirror | None:
        body = self._value("find_mirror")
        return None if body is None else decode_mirror(body)

    def _store_mirror(self, mirror: Mirror) -> None:
        self._execute("put_mirror", body=encode_mirror(mirror))

    def _find_kind_states(self) -> dict[str, FeedState]:
        rows = self._fetch("find_kind_states")
        return {kind: FeedState(last, closed, is_mirror=True) for kind, last, closed in rows}

    def _store_kind_states(self, states: Mapping[str, FeedState]) -> None:
        for kind, state in states.items():
            seconds = {"last_generated_timestamp": state.last_generated_timestamp, "watermark": state.watermark}
            self._execute("put_kind_state", kind=kind, **seconds)

    def find_user(self, email: str) -> bytes | None:
        return self._body("find_user", email=email.strip().lower())

    def find_external(self, kind: str, external_id: str) -> bytes | None:
        return self._body("find_external", kind=kind, external_id=external_id)

    def find_tickets(self, ids: Sequence[int]) -> dict[int, bytes]:
        rows = self._rows("find_tickets", BodyRow, ids=self._list(ids))
        return {row.id: row.body for row in rows}

    def find_records(self, kind: str, ids: Sequence[int]) -> dict[int, bytes]:
        rows = self._rows("read_records", BodyRow, kind=kind, ids=self._list(ids))
        return {row.id: row.body for row in rows}

    def find_all(self, kind: str) -> list[bytes]:
        return [row.body for row in self._rows("find_all", BodyRow, kind=kind)]

    def find_of_ticket(self, kind: str, ticket_id: int) -> list[bytes]:
        return self.find_of_tickets(kind, [ticket_id]).get(ticket_id, [])

    def find_of_tickets(self, kind: str, ticket_ids: Sequence[int]) -> dict[int, list[bytes]]:
        found: dict[int, list[bytes]] = {}
        for row in self._rows("read_of_tickets", TicketRecordRow, kind=kind, ids=self._list(ticket_ids)):
            found.setdefault(row.ticket_id, []).append(row.body)
        return found

    def find_of_user(self, kind: str, user_id: int, *, deleted: bool | None = False) -> list[bytes]:
        states = self._list([0, 1] if deleted is None else [int(deleted)])
        return [body for (body,) in self._fetch("find_of_user", kind=kind, user_id=user_id, states=states)]

    def find_by_key(self, kind: str, keys: Sequence[str]) -> list[bytes]:
        return [row.body for row in self._rows("read_by_key", BodyRow, kind=kind, keys=self._list(keys))]

    def find_of_organization(self, kind: str, organization_id: int) -> list[bytes]:
        return [body for (body,) in self._fetch("find_of_organization", kind=kind, organization_id=organization_id)]

    def find_users_without_membership(self, after_id: int, limit: int) -> list[bytes]:
        return [body for (body,) in self._fetch("find_users_without_membership", after_id=after_id, limit=limit)]

    def find_repeated_memberships(self, limit: int) -> list[bytes]:
        return [body for (body,) in self._fetch("find_repeated_memberships", limit=limit)]

    def find_metric_state(self, ticket_id: int) -> tuple[bytes | None, int]:
        state: bytes | None = self._value("find_metric_state", ticket_id=ticket_id)
        return state, int(self._value("count_records_of_ticket", kind="audits", ticket_id=ticket_id))

    def find_metric_states(self, ticket_ids: Sequence[int]) -> dict[int, bytes | None]:
        return dict(self._fetch("find_metric_states", kind="ticket_metrics", ids=self._list(ticket_ids)))

    def find_tickets_after(self, after: Position, limit: int) -> list[TicketRow]:
        return self._rows("find_tickets_after", TicketRow, limit=limit, **_after(after))

    def find_records_after(self, kind: str, after: Position, limit: int) -> list[RecordRow]:
        return self._rows("find_records_after", RecordRow, kind=kind, limit=limit, **_after(after))

    def rewind(self, clock_error_seconds: int) -> int | None:
        self._check_writable()
        self._start_alone()
        before = self._state, self._record_state
        self._state, self._record_state = watermark.rewind_states(before, self.now, clock_error_seconds)
        if before == (self._state, self._record_state):
            return None
        self._invalidations = InvalidationLog(self._state)
        second = self.now + clock_error_seconds
        self._leave_saved()
        self._session.execute("put_rewound_at", {"name": rewound_key(self.account_id), "value": str(second)})
        return second

    def find_clock(self) -> MovedClock:
        return find_clock(self._session, self.account_id)

    def put_clock(self, clock: MovedClock) -> None:
        self._execute("put_clock", **clock._asdict())

    def find_containing(self, kind: str, needles: Sequence[bytes]) -> list[int]:
        name = "find_tickets_containing" if kind == "tickets" else "find_records_containing"
        return sorted({id for needle in needles for (id,) in self._fetch(name, kind=kind, needle=needle)})

    def next_id(self, kind: str) -> int:
        if kind == "tickets":
            return int(self._value("max_ticket_id", id_max=NEW_ID_MAX)) + 1
        return int(self._value("max_record_id", kind=kind, id_max=NEW_ID_MAX)) + 1

    def find_idempotent_answer(self, key: str) -> IdempotentAnswer | None:
        since = self.now - IDEMPOTENCY_SECONDS
        return next(iter(self._rows("find_idempotent_answer", IdempotentAnswer, key=key, since=since)), None)

    def put_idempotent_answer(self, key: str, answer: IdempotentAnswer) -> None:
        self._execute("forget_answers", since=answer.stored_at - IDEMPOTENCY_SECONDS)
        self._execute("put_idempotent_answer", key=key, **asdict(answer))

    def add_job(self, job: Job, items: Sequence[bytes]) -> None:
        self._check_writable()
        self.delete_expired()
        self._execute("add_job", **asdict(job))
        for number, item in enumerate(items):
            self._execute("add_job_item", job_id=job.id, number=number, item=item)

    def next_item(self, job_id: str) -> JobItem | None:
        for number, item in self._fetch("next_item", job_id=job_id):
            (job,) = self._rows("find_job", Job, job_id=job_id)
            return JobItem(job, number, item)
        return None

    def put_result(self, job_id: str, number: int, result: bytes) -> None:
        self._execute("put_result", job_id=job_id, number=number, result=result, item=ERASED_ITEM)

    def finish_job(self, job_id: str) -> None:
        self._execute("finish_job", job_id=job_id, finished_at=self.now)

    def put_size(self, size: AccountSize) -> None:
        self._execute("put_size", **size._asdict())

    def put_quota(self, quota: AccountQuota) -> None:
        self._execute("put_quota", **quota._asdict())

    def put_scrubbed_until(self, until: int) -> None:
        self._execute("write_scrubbed", until=until)

    def delete_expired(self) -> None:
        since = self.now - IDEMPOTENCY_SECONDS
        self._execute("forget_answers", since=since)
        self._execute("delete_items", since=since)
        self._execute("delete_jobs", since=since)

    def erase_copies(self, erase: Callable[[bytes], bytes], user_id: int | None = None) -> None:
        self._execute("add_erasure")
        self.erased_users = (self.erased_users or set()) | ({user_id} if user_id is not None else set())
        for key, body in self._fetch("read_answers"):
            if (erased := erase(body)) != body:
                self._execute("write_answer", key=key, body=erased)
        for job_id, number, result in self._fetch("read_all_results"):
            if (erased := erase(result)) != result:
                self.put_result(job_id, number, erased)

    def add_credential(
        self, user_id: int, kind: CredentialKind, secret_hash: str, description: str | None = None
    ) -> int:
        if self._value("find_secret", secret_hash=secret_hash) is not None:
            raise BadInput("this token is in use already")
        id = int(self._value("next_credential_id"))
        values = {"user_id": user_id, "kind": kind, "secret_hash": secret_hash, "description": description}
        self._execute("add_credential", id=id, created_at=self.now, **values)
        self._bumps_record_changes = True
        return id

    def use_credential(self, credential_id: int, used_at: int) -> None:
        self._execute("use_credential", id=credential_id, used_at=used_at)
        self._bumps_record_changes = True

    def revoke_credential(self, credential_id: int) -> bool:
        was_in_force = self._count("revoke_credential", id=credential_id, revoked_at=self.now) > 0
        self._bumps_record_changes |= was_in_force
        return was_in_force

    def finish(self) -> States:
        """Store the invalidations and what is left of the search index; returns the states after the transaction."""
        self._write_search_changes()
        if self._rewound is not None:
            return self._rewound
        self._write_invalidations()
        if self._copies:
            return self._after_copy(self._newest, self._added, bumps_record_changes=self._bumps_record_changes)
        return watermark.after_write(
            (self._state, self._record_state),
            self._newest,
            self._newest_record,
            self.now,
            self._added,
            self._invalidations.count,
            bumps_record_changes=self._bumps_record_changes,
        )

    def _write_search_changes(self) -> None:
        self._search_changes.write()

    def _write_invalidations(self) -> None:
        if self._invalidations.count:
            self._execute("forget_invalidations", forgotten=self._invalidations.forgotten)
            self._session.put_rows("invalidation", Invalidation, self._account_id, self._invalidations.entries())


def _at(draft: RecordDraft, second: int) -> RecordDraft:
    """The draft, carrying this second; most drafts of a write do already."""
    return draft if draft.generated_timestamp == second else draft._replace(generated_timestamp=second)


class _WrittenTable:
    """The table of LastWins, in the engine."""

    def __init__(self, session: SqlSession) -> None:
        self._session = session

    def start(self) -> None:
        self._session.execute("start_written", {})
        self._session.execute("clear_written", {})

    def find(self, ids: Sequence[int]) -> dict[int, int]:
        queries = self._session.queries
        return dict(self._session.fetch(queries["find_written"], {"ids": queries.bind_list(ids)}))

    def add(self, written: Mapping[int, int]) -> None:
        self._session.execute("add_written", {"written": msgspec.json.encode(written).decode()})


def rewound_key(account_id: int) -> str:
    """Under which the second is stored that an account was brought back to."""
    return f"rewound_at_{account_id}"


def _after(position: Position) -> dict[str, int]:
    return {"after_timestamp": position.generated_timestamp, "after_id": position.id}
