"""The part of a write transaction that is about mirrors, the same on all engines but for how rows are stored."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from ticketfeed.protocol import watermark
from ticketfeed.protocol.errors import BadInput
from ticketfeed.protocol.invalidations import InvalidationLog
from ticketfeed.protocol.mirrors import FEED_KINDS, LOCAL_ID_MIN, Mirror, choose_record, choose_ticket
from ticketfeed.protocol.model import INT64_MAX, FeedState
from ticketfeed.protocol.records import RecordDraft
from ticketfeed.protocol.rows import ChangeRow, TicketRow
from ticketfeed.protocol.tickets import TicketDraft
from ticketfeed.protocol.watermark import States
from ticketfeed.storage.write_contract import WriteTransaction

__all__ = ["MirrorWrites", "with_copies"]

T = TypeVar("T")


def with_copies(work: Callable[[WriteTransaction], T]) -> Callable[[WriteTransaction], T]:
    """The work of a write with `mirror=True`."""

    def copy(transaction: WriteTransaction) -> T:
        transaction.start_copying()
        return work(transaction)

    return copy


class MirrorWrites(ABC):
    """A MirrorTransaction, but for the deletions.

    `_state`, `_record_state`: the account's row when the transaction locked it.
    """

    _state: FeedState
    now: int
    _record_state: FeedState
    _invalidations: InvalidationLog
    _newest: int | None

    def __init__(self) -> None:
        self._copies = self._overwrites = False
        self._put: Mirror | None = None
        self._kinds: dict[str, FeedState] | None = None
        self._kinds_before: dict[str, FeedState] = {}
        # The newest second that was put, by kind.
        self._newest_of: dict[str, int] = {}

    @abstractmethod
    def _find_mirror(self) -> Mirror | None:
        """What is stored."""

    @abstractmethod
    def _store_mirror(self, mirror: Mirror) -> None:
        """Store it."""

    @abstractmethod
    def _find_kind_states(self) -> dict[str, FeedState]:
        """The states of the feeds of single kinds of records, by kind."""

    @abstractmethod
    def _store_kind_states(self, states: Mapping[str, FeedState]) -> None:
        """Store these."""

    @property
    def state(self) -> FeedState:
        """As WriteTransaction."""
        return self._state

    @property
    def second(self) -> int:
        """Of a mirror: the end of what is stored, where what an erasure rewrites is put."""
        if self._state.is_mirror:
            return max(self._state.last_generated_timestamp, self._state.watermark + 1, self._newest or 0)
        return watermark.next_generated_timestamp(self._state, self.now)

    def start_copying(self) -> None:
        """Make this the write of a mirror, before its work begins."""
        self._copies = True

    @property
    def mirror(self) -> Mirror | None:
        if self._put is None and self._state.is_mirror:
            self._put = self._find_mirror()
        return self._put

    def put_mirror(self, mirror: Mirror) -> None:
        self._check_copies()
        if not self._state.is_mirror:
            if self._state.ticket_count or self._record_state.last_generated_timestamp:
                raise BadInput("the account holds tickets or records of its own, and cannot be a mirror; name another")
            # A fence protects what was given out before; a source gives it again as it was.
            self._state = replace(self._state, last_generated_timestamp=0, watermark=0, is_mirror=True)
            self._record_state = FeedState(is_mirror=True)
            self._invalidations = InvalidationLog(self._state)
        self._put = mirror
        self._store_mirror(mirror)

    def fence_mirror(self, clock_error_seconds: int) -> None:
        self._check_copies()
        self._state = watermark.fence(self._state, self.now, clock_error_seconds)
        self._invalidations = InvalidationLog(self._state)
        for kind in FEED_KINDS.values():
            fenced = watermark.fence(self._state_of(kind), self.now, clock_error_seconds)
            self._kind_states()[kind] = replace(fenced, invalidations=0, record_changes=0)

    @property
    def _is_archive(self) -> bool:
        return self.mirror is not None and self.mirror.closed_at is not None

    def _check_copies(self) -> None:
        if not self._copies:
            raise ValueError("only a write with mirror=True may do this")

    def _check_writable(self) -> None:
        """Raises AccountIsMirror if the account is a mirror, and this is no write of it."""
        if self._state.is_mirror and not self._copies:
            mirror = self.mirror
            assert mirror is not None
            raise mirror.refusal()

    def _check_own_users(self, drafts: Sequence[RecordDraft]) -> list[RecordDraft]:
        """The users that only the mirror has, where no export reads. Raises AccountIsMirror for any other record."""
        if not all(draft.kind == "users" and draft.id >= LOCAL_ID_MIN for draft in drafts):
            self._check_writable()
        return [draft._replace(generated_timestamp=INT64_MAX) for draft in drafts]

    def _choose_tickets(self, drafts: Sequence[TicketDraft], stored: Mapping[int, ChangeRow]) -> list[TicketRow]:
        """The rows of a batch that are to be stored; of each id there is one."""
        options = {"overwrites": self._overwrites, "is_archive": self._is_archive}
        chosen = (choose_ticket(draft, stored.get(draft.id), self._state, **options) for draft in drafts)
        return [row for row in chosen if row is not None]

    def _choose_records(
        self, drafts: Sequence[RecordDraft], stored: Mapping[tuple[str, int], ChangeRow]
    ) -> list[RecordDraft]:
        last = {(draft.kind, draft.id): draft for draft in drafts}
        chosen = (
            choose_record(draft, stored.get(key), self._state_of(draft.kind), is_archive=self._is_archive)
            for key, draft in last.items()
        )
        rows = [row for row in chosen if row is not None]
        for row in rows:
            self._newest_of[row.kind] = max(row.generated_timestamp, self._newest_of.get(row.kind, 0))
        return rows

    def _state_of(self, kind: str) -> FeedState:
        return self._kind_states().get(kind, FeedState(is_mirror=True))

    def _kind_states(self) -> dict[str, FeedState]:
        if self._kinds is None:
            self._kinds = self._find_kind_states()
            self._kinds_before = dict(self._kinds)
        return self._kinds

    def _after_copy(self, newest: int | None, added: int, *, bumps_record_changes: bool) -> States:
        """The account's row after the write of a mirror; stores the states of its kinds. `newest`: of tickets."""
        mirror = self.mirror
        if mirror is None:
            raise ValueError("the account is no mirror, and none was put")
        after = {
            kind: self._copied(stream, self._state_of(kind), self._newest_of.get(kind, 0), mirror)
            for stream, kind in FEED_KINDS.items()
        }
        self._store_kind_states({kind: each for kind, each in after.items() if each != self._kinds_before.get(kind)})
        tickets = self._copied("tickets", self._state, newest or 0, mirror)
        tickets = replace(
            tickets,
            ticket_count=tickets.ticket_count + added,
            invalidations=tickets.invalidations + self._invalidations.count,
            record_changes=tickets.record_changes + bumps_record_changes,
        )
        last = max(self._record_state.last_generated_timestamp, *self._newest_of.values(), 0)
        return tickets, replace(self._record_state, last_generated_timestamp=last)

    def _copied(self, stream: str, state: FeedState, newest: int, mirror: Mirror) -> FeedState:
        walked = mirror.stream(stream)
        if mirror.closed_at is not None:  # the source gives nothing more
            return watermark.copied(state, newest, walked.passed, INT64_MAX, has_ended=True)
        return watermark.copied(state, newest, walked.passed, self.now, has_ended=walked.has_ended)

    def overwrite(self, drafts: Iterable[TicketDraft | RecordDraft]) -> int:
        self._check_copies()
        self._overwrites = True
        try:
            return self.load(drafts)
        finally:
            self._overwrites = False

    @abstractmethod
    def load(self, drafts: Iterable[TicketDraft | RecordDraft], *, keep_generated_timestamp: bool = False) -> int:
        """As WriteTransaction."""
