"""Runs: neighbouring tickets whose bytes are kept as they are sent, so that a page asked for again is a copy.

A shelf is one form of one account's feed: its filters and its coding. Its runs never overlap, and each holds what
stands in its range. Nothing ever arrives in a range that is closed, so a run stays right until a ticket leaves it;
the store tells which have left, and the run that covers such a place is made anew when somebody asks.
A page that begins or ends inside a run takes a clip of it, kept with the run. A page with sideloads is kept whole:
what stands beside its tickets belongs to just these.
"""

from bisect import bisect_left, bisect_right
from collections import deque
from dataclasses import dataclass, field

from ticketfeed.export.fragment_file import PieceFile
from ticketfeed.protocol.gzip_splice import Coding, Piece
from ticketfeed.protocol.model import INT64_MAX, Account, FeedState, Filters, Position
from ticketfeed.protocol.paging import position_of
from ticketfeed.protocol.rows import column
from ticketfeed.storage.contract import FeedRows, FeedStore

__all__ = ["RUN_TICKETS", "Run", "Runs", "Shelf", "Whole"]

# Longer runs compress a little better, and cost more to make anew.
RUN_TICKETS = 50
# Clips of one run: for as many ways to cut the feed into pages.
CLIPS_MAX = 8
# Pieces of one process, whose places cost it memory: 0.6 KB each, and enough for half a million tickets.
PIECES_MAX = 10_000
# Pages with sideloads, of one account.
WHOLES_MAX = 500


@dataclass(slots=True, eq=False)
class Run:
    """The tickets with after < position <= end, while `is_kept`. `clips`: (begin, wanted) -> (piece, where it ends)."""

    after: Position
    end: Position
    whole: Piece
    clips: dict[tuple[Position, int], tuple[Piece, Position]] = field(default_factory=dict)
    is_kept: bool = True


@dataclass(frozen=True, slots=True)
class Whole:
    """A page with sideloads: its run is all of its body. `record_changes`: of the state that it was read at."""

    run: Run
    etag: str
    record_changes: int


class Shelf:
    """Runs in order."""

    def __init__(self, coding: Coding) -> None:
        self.coding = coding
        self._afters: list[Position] = []
        self._runs: list[Run] = []

    def find(self, position: Position) -> Run | None:
        """The run that tells what stands right behind `position`."""
        number = bisect_right(self._afters, position) - 1
        return self._runs[number] if number >= 0 and position < self._runs[number].end else None

    def next_after(self, position: Position) -> Position | None:
        """Where the next run strictly behind `position` begins."""
        number = bisect_right(self._afters, position)
        return self._afters[number] if number < len(self._afters) else None

    def add(self, run: Run) -> Run | None:
        """None if it overlaps with another, that somebody else has put there meanwhile."""
        number = bisect_left(self._afters, run.after)
        follows = number == 0 or self._runs[number - 1].end <= run.after
        if follows and (number == len(self._runs) or run.end <= self._runs[number].after):
            self._afters.insert(number, run.after)
            self._runs.insert(number, run)
            return run
        return None

    def replace(self, old: Run, new: Run) -> Run | None:
        """Put a run where another one of the same range was; None if somebody else has done so already."""
        number = bisect_left(self._afters, old.after)
        if number < len(self._runs) and self._runs[number] is old:
            old.is_kept = False
            self._runs[number] = new
            return new
        return None

    def remove(self, run: Run) -> None:
        """Forget a run, if it is still there."""
        run.is_kept = False
        number = bisect_left(self._afters, run.after)
        if number < len(self._runs) and self._runs[number] is run:
            del self._afters[number], self._runs[number]

    def leave(self, position: Position) -> None:
        """A ticket has left this place."""
        number = bisect_left(self._afters, position) - 1
        if number >= 0 and position <= self._runs[number].end:
            self._runs[number].is_kept = False

    def clear(self) -> None:
        for run in self._runs:
            run.is_kept = False
        self._afters.clear()
        self._runs.clear()


class Runs:
    """What one process keeps of a store."""

    def __init__(self, store: FeedStore, capacity: int) -> None:
        self._store = store
        self.file = PieceFile(capacity)
        self._shelves: dict[int, dict[tuple[Filters, str], Shelf]] = {}
        # Oldest first, as in the file.
        self._order: deque[tuple[Shelf, Run]] = deque()
        self._pieces = 0
        # Pages with sideloads, each whole.
        self._wholes: dict[int, dict[tuple[object, ...], Whole]] = {}
        self._heard: dict[int, FeedState] = {}
        self._change_counters: dict[int, int | None] = {}

    async def shelf(self, account: Account, filters: Filters, coding: Coding) -> Shelf:
        """The shelf of this form, from which all is gone that has changed in the store."""
        await self.catch_up(account)
        shelves = self._shelves.setdefault(account.account_id, {})
        return shelves.get((filters, coding.name)) or shelves.setdefault((filters, coding.name), Shelf(coding))

    def heard(self, account: Account) -> FeedState:
        """The account row as it was when the store was last asked what has left."""
        return self._heard[account.account_id]

    def make(self, rows: FeedRows, coding: Coding) -> Piece:
        """A piece of these rows, of which there must be one."""
        data, size, crc = coding.encode(column(rows, "body"))
        id_sum = sum(column(rows, "id"))
        return Piece(len(rows), id_sum, position_of(rows[-1]), size, crc, len(data), data)

    def keep(self, shelf: Shelf, after: Position, end: Position, piece: Piece, old: Run | None) -> Run | None:
        """Put it on the shelf as a run, in place of `old`; None if it cannot be kept."""
        if not self.file.keep(piece, shelf.coding.comma):
            return None
        run = Run(after, end, piece)
        placed = shelf.add(run) if old is None else shelf.replace(old, run)
        if placed is not None:
            self._order.append((shelf, run))
            self._count_piece()
        return placed

    def keep_clip(self, shelf: Shelf, run: Run, after: Position, wanted: int, piece: Piece, end: Position) -> bool:
        """Put it beside its run, unless that has gone."""
        if not run.is_kept or not self.file.keep(piece, shelf.coding.comma):
            return False
        if len(run.clips) >= CLIPS_MAX:
            self._pieces -= len(run.clips)
            run.clips.clear()
        run.clips[after, wanted] = piece, end
        self._count_piece()
        return True

    def _count_piece(self) -> None:
        self._pieces += 1
        while self._pieces > PIECES_MAX:
            shelf, run = self._order.popleft()
            self._pieces -= 1 + len(run.clips)
            shelf.remove(run)

    def find_whole(self, account: Account, key: tuple[object, ...]) -> Whole | None:
        """The page with sideloads that is kept under this key, if it is right."""
        whole = self._wholes.get(account.account_id, {}).get(key)
        return whole if whole and self.is_right(account, whole) and self.file.holds(whole.run.whole) else None

    def keep_whole(self, account: Account, key: tuple[object, ...], whole: Whole) -> bool:
        """Keep it, unless the file cannot; the oldest goes where there are too many."""
        if not self.file.keep(whole.run.whole, b""):
            return False
        wholes = self._wholes.setdefault(account.account_id, {})
        wholes.pop(key, None)
        wholes[key] = whole
        if len(wholes) > WHOLES_MAX:
            del wholes[next(iter(wholes))]
        return True

    def is_right(self, account: Account, whole: Whole) -> bool:
        """Whether no ticket has left it, and nothing has changed that stands beside tickets."""
        return whole.run.is_kept and whole.record_changes == self.heard(account).record_changes

    async def catch_up(self, account: Account) -> None:
        """Let go of all that has changed in the store."""
        key, change_counter = account.account_id, self._store.change_counter()
        if change_counter is not None and change_counter == self._change_counters.get(key):
            return
        heard = self._heard.get(key)
        state, places = await self._store.read_invalidations(
            account, INT64_MAX if heard is None else heard.invalidations
        )
        all_known = heard is not None and state.invalidations - heard.invalidations == len(places)
        for shelf in self._shelves.get(key, {}).values():
            if all_known:
                for place in places:
                    shelf.leave(place)
            else:
                shelf.clear()
        for whole in self._wholes.get(key, {}).values() if places or not all_known else ():
            if not all_known or any(whole.run.after < place <= whole.run.end for place in places):
                whole.run.is_kept = False
        self._heard[key], self._change_counters[key] = state, change_counter
