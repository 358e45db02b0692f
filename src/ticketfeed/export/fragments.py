"""The fragment cache: encoded ranges of the feed, from which pages are assembled without reading the store.

A fragment holds the encoded tickets of one range of positions. Nothing ever appears in a range at or before the
watermark, so a fragment stays valid until one of its tickets is changed and moves to the end of the feed. The store
numbers these moves (`FeedState.invalidations`); `refresh` reads the new ones and invalidates the fragments that
contained such a ticket. Invalid fragments are encoded again when a page needs them.

A fragment index holds the fragments of one form of one account's feed: its filters and its content coding. They never
overlap. A page that begins or ends inside a fragment uses a slice of it, which is cached with the fragment. A page with
sideloads is one fragment of its own, outside of the indexes, since its records belong to exactly its tickets.
"""

from bisect import bisect_left, bisect_right
from collections import deque
from dataclasses import dataclass, field
from typing import ClassVar
from weakref import WeakSet

from ticketfeed.export.fragment_file import FragmentFile
from ticketfeed.protocol.gzip_splice import Coding, Segment
from ticketfeed.protocol.model import INT64_MAX, Account, FeedState, Filters, Position
from ticketfeed.storage.contract import FeedStore

__all__ = ["Fragment", "FragmentCache", "FragmentIndex"]

# Slices of one fragment: enough for readers that walk the feed with eight different page boundaries.
SLICES_MAX = 8
# Segments of one process. Each takes 0.6 KB of memory for its bookkeeping; enough for half a million tickets.
SEGMENTS_MAX = 10_000


@dataclass(slots=True, eq=False, weakref_slot=True)
class Fragment:
    """The tickets with after < position <= end, as long as `is_valid`.

    `slices`: (after, limit) -> (segment, end), for pages that need the first `limit` tickets after `after` only.
    """

    after: Position
    end: Position
    segment: Segment
    slices: dict[tuple[Position, int], tuple[Segment, Position]] = field(default_factory=dict)
    is_valid: bool = True

    def invalidate(self, position: Position) -> None:
        """A ticket was moved away from this position."""
        if self.after < position <= self.end:
            self.is_valid = False


class FragmentIndex:
    """Fragments in feed order, without overlaps."""

    def __init__(self, coding: Coding) -> None:
        self.coding = coding
        self._afters: list[Position] = []
        self._fragments: list[Fragment] = []

    def find(self, position: Position) -> Fragment | None:
        """The fragment that contains the place right after `position`."""
        number = bisect_right(self._afters, position) - 1
        return self._fragments[number] if number >= 0 and position < self._fragments[number].end else None

    def next_after(self, position: Position) -> Position | None:
        """Where the first fragment that begins strictly after `position` begins."""
        number = bisect_right(self._afters, position)
        return self._afters[number] if number < len(self._afters) else None

    def add(self, fragment: Fragment) -> bool:
        """Insert a fragment, unless it overlaps with one that another request has inserted meanwhile."""
        number = bisect_left(self._afters, fragment.after)
        if number and self._fragments[number - 1].end > fragment.after:
            return False
        if number < len(self._fragments) and self._fragments[number].after < fragment.end:
            return False
        self._afters.insert(number, fragment.after)
        self._fragments.insert(number, fragment)
        return True

    def replace(self, old: Fragment, new: Fragment) -> bool:
        """Replace a fragment by one of the same range, unless another request has done so meanwhile."""
        number = bisect_left(self._afters, old.after)
        if number == len(self._fragments) or self._fragments[number] is not old:
            return False
        old.is_valid = False
        self._fragments[number] = new
        return True

    def remove(self, fragment: Fragment) -> None:
        """Remove a fragment, if it is still in the index."""
        fragment.is_valid = False
        number = bisect_left(self._afters, fragment.after)
        if number < len(self._fragments) and self._fragments[number] is fragment:
            del self._afters[number], self._fragments[number]

    def invalidate(self, position: Position) -> None:
        """A ticket was moved away from this position."""
        number = bisect_left(self._afters, position) - 1
        if number >= 0:
            self._fragments[number].invalidate(position)

    def clear(self) -> None:
        """Invalidate and remove all fragments."""
        for fragment in self._fragments:
            fragment.is_valid = False
        self._afters.clear()
        self._fragments.clear()


class FragmentCache:
    """The fragments of one store in this process."""

    # Longer fragments compress a little better and cost more to encode again. Measured with tickets of 2.4 KB: pages
    # made of fragments of 125 tickets are 2 % larger than pages compressed whole, of 10 tickets 29 %.
    fragment_tickets: ClassVar[int] = 50

    def __init__(self, store: FeedStore, capacity: int) -> None:
        self._store = store
        self.file = FragmentFile(capacity)
        self._indexes: dict[int, dict[tuple[Filters, str], FragmentIndex]] = {}
        # Oldest first, as in the file.
        self._oldest: deque[tuple[FragmentIndex, Fragment]] = deque()
        self._segments = 0
        # Fragments outside of the indexes, for as long as anybody uses them.
        self._tracked: dict[int, WeakSet[Fragment]] = {}
        # The account row at the last refresh, and the store's change counter just before it was read.
        self._known: dict[int, tuple[FeedState, int | None]] = {}

    def index(self, account: Account, filters: Filters, coding: Coding) -> FragmentIndex:
        """The index of this form of the account's feed."""
        indexes = self._indexes.setdefault(account.account_id, {})
        return indexes.get((filters, coding.name)) or indexes.setdefault((filters, coding.name), FragmentIndex(coding))

    def known_state(self, account: Account) -> FeedState:
        """The account row as of the last refresh."""
        return self._known[account.account_id][0]

    def is_current(self, account: Account, state: FeedState) -> bool:
        """Whether rows read together with `state` reflect all invalidations up to the last refresh.

        Rows of a replica that lags, or that were read before another request refreshed, do not. They can be served,
        and must not be cached: their invalidation has been applied already and will not come again.
        """
        return state.invalidations >= self.known_state(account).invalidations

    def add(
        self, index: FragmentIndex, after: Position, end: Position, segment: Segment, old: Fragment | None = None
    ) -> Fragment | None:
        """Cache a segment as a fragment, in place of `old`; None if that is not possible."""
        if not self.file.store(segment, index.coding.separator):
            return None
        fragment = Fragment(after, end, segment)
        if not (index.add(fragment) if old is None else index.replace(old, fragment)):
            return None
        self._oldest.append((index, fragment))
        self._count_segment()
        return fragment

    def add_slice(
        self, index: FragmentIndex, fragment: Fragment, after: Position, limit: int, segment: Segment, end: Position
    ) -> bool:
        """Cache a slice with its fragment; False if that is not possible."""
        if not fragment.is_valid or not self.file.store(segment, index.coding.separator):
            return False
        if len(fragment.slices) >= SLICES_MAX:
            self._segments -= len(fragment.slices)
            fragment.slices.clear()
        fragment.slices[after, limit] = segment, end
        self._count_segment()
        return True

    def track(self, account: Account, fragment: Fragment) -> None:
        """Invalidate this fragment too, which is in no index, for as long as it is referenced elsewhere."""
        self._tracked.setdefault(account.account_id, WeakSet()).add(fragment)

    def _count_segment(self) -> None:
        self._segments += 1
        while self._segments > SEGMENTS_MAX:
            index, fragment = self._oldest.popleft()
            self._segments -= 1 + len(fragment.slices)
            index.remove(fragment)

    async def refresh(self, account: Account) -> None:
        """Invalidate every fragment whose tickets have changed in the store since the last refresh.

        When the store no longer remembers all of the changes, everything cached of the account is invalidated.
        """
        key, change_counter = account.account_id, self._store.change_counter()
        known, last_counter = self._known.get(key, (None, None))
        if change_counter is not None and change_counter == last_counter:
            return
        since = INT64_MAX if known is None else known.invalidations
        state, positions = await self._store.read_invalidations(account, since)
        self._known[key] = state, change_counter
        if known is not None and state.invalidations - known.invalidations == len(positions):
            self._invalidate(key, positions)
        else:
            self._invalidate_all(key)

    def clear(self) -> None:
        """Invalidate all fragments, and drop the bytes of the file."""
        for account_id in {*self._indexes, *self._tracked}:
            self._invalidate_all(account_id)
        self.file.clear()

    def _invalidate(self, account_id: int, positions: list[Position]) -> None:
        for position in positions:
            for index in self._indexes.get(account_id, {}).values():
                index.invalidate(position)
            for fragment in self._tracked.get(account_id, ()):
                fragment.invalidate(position)

    def _invalidate_all(self, account_id: int) -> None:
        for index in self._indexes.get(account_id, {}).values():
            index.clear()
        for fragment in self._tracked.get(account_id, ()):
            fragment.is_valid = False
