"""The promise as a check, stated once: simulation, concurrency and crash tests all hand what they saw to an Observer.

After a page with a cursor for position P has been given out, no change at or before P ever becomes visible; so a
reader that walks to `end_of_stream` and goes on from its kept cursor holds the latest state of every ticket.

Nothing here asks the store or uses its rules: the Observer knows the pages that were given out, with their time
order, the writes that were tried and acknowledged, and, at the end, the rows as another driver finds them.
"""

import json
import math
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from hashlib import blake2b
from itertools import pairwise
from typing import NamedTuple

from ticketfeed.protocol.model import FeedState, Filters, Position

EVERYTHING = Filters(support_type_scope="all")
NEVER = math.inf


class Row(NamedTuple):
    """One change as a reader was given it; `version` stands for every byte of it but its second."""

    second: int
    id: int
    version: str


class GivenPage(NamedTuple):
    """A page that a reader was given. `began` before it was asked for, `ended` once it was all there."""

    reader: str
    account: str
    filters: Filters
    after: Position
    rows: tuple[Row, ...]
    cursor: Position
    end_of_stream: bool
    began: float
    ended: float


class Attempt(NamedTuple):
    """A write of these versions by ticket id. `ended` is NEVER where it was not acknowledged; `keeps`: each ticket
    kept its own second, as in a load of history."""

    writer: str
    account: str
    tickets: Mapping[int, str]
    began: float
    ended: float
    keeps: bool = False


@dataclass
class Figures:
    """What a run did. Sums up."""

    seeds: int = 0
    steps: int = 0
    pages: int = 0
    writes: int = 0
    kills: int = 0
    acknowledged: int = 0
    violations: int = 0

    def __iadd__(self, other: "Figures") -> "Figures":
        for each in fields(self):
            setattr(self, each.name, getattr(self, each.name) + getattr(other, each.name))
        return self


def version_of(body: bytes, second: int) -> str:
    """A fingerprint of the body with its second taken out: the same for every second it may carry.

    A body that does not carry `second` has a fingerprint of its own, which no writer wrote.
    """
    without = body.replace(b'"generated_timestamp":%d,' % second, b"", 1)
    return blake2b(without, digest_size=9).hexdigest() + ("" if len(without) < len(body) else "!")


def passes(filters: Filters, body: bytes) -> bool:
    """Whether a reader with these filters wants this ticket, judged by its JSON."""
    ticket = json.loads(body)
    if filters.exclude_deleted and ticket["status"] == "deleted":
        return False
    scope = "ai_agent" if ticket["support_type"] == "ai_agent" else "agent"
    return filters.support_type_scope in ("all", scope)


class Observer:
    """Collects violations as text. Pages and states are told in time order; the rest at the end.

    `has_replicas`: a replica that is behind may show a state of a ticket that has left its position since. Whoever was
    given a cursor behind that position is given the later state, so this is no violation; `superseded` counts them.
    """

    def __init__(self, *, has_replicas: bool = False) -> None:
        self.violations: list[str] = []
        self.superseded = 0
        self._has_replicas = has_replicas
        # By account: rows that were shown behind a cursor given out, when, and to whom.
        self._behind: dict[str, list[tuple[Row, float, str]]] = defaultdict(list)
        self.held: dict[str, dict[int, Row]] = defaultdict(dict)
        self._covered: dict[tuple[str, Filters], _Ranges] = defaultdict(_Ranges)
        self._shown: dict[tuple[str, Filters], set[Position]] = defaultdict(set)
        self._versions: dict[str, dict[Position, str]] = defaultdict(dict)
        self._states: dict[str, FeedState] = {}
        self._kept: dict[str, Position] = {}
        self._starts: dict[str, Position] = {}

    def state(self, account: str, state: FeedState) -> None:
        """The account row as it is now: neither of its seconds ever goes back, and no ticket is lost."""
        before = self._states.get(account, FeedState())
        if state.watermark < before.watermark:
            self._say(f"{account}: the watermark went back from {before.watermark} to {state.watermark}")
        if state.last_generated_timestamp < before.last_generated_timestamp or state.ticket_count < before.ticket_count:
            self._say(f"{account}: the account row went back from {before} to {state}")
        self._states[account] = state

    def page(self, page: GivenPage) -> None:
        """A page that was given out before the next one is asked for."""
        self._began(page)
        self._ended(page)

    def pages(self, pages: Iterable[GivenPage]) -> None:
        """Pages of many readers at once: a range counts as given only from the moment its page was all there."""
        events = [event for page in pages for event in ((page.began, 0, page), (page.ended, 1, page))]
        for _, is_end, page in sorted(events, key=lambda event: event[:2]):
            (self._ended if is_end else self._began)(page)

    def stream_ended(self, reader: str, expected: Iterable[Row]) -> None:
        """A reader was told end_of_stream: it holds each of `expected`, the changes closed and wanted by then."""
        held, start = self.held[reader], self._starts[reader]
        for row in expected:
            if row[:2] > start and held.get(row.id) != row:
                self._say(f"{reader} was told end_of_stream without {row}; it holds {held.get(row.id)}")

    def drained(self, reader: str, filters: Filters, final: Mapping[int, tuple[int, bytes]]) -> None:
        """A reader went on to the end after the last write: it holds the latest state of every ticket it wants."""
        wanted = {id: row for id, row in final.items() if passes(filters, row[1])}
        self.stream_ended(reader, (Row(row[0], id, version_of(row[1], row[0])) for id, row in wanted.items()))

    def finished(self, account: str, final: Mapping[int, tuple[int, bytes]]) -> None:
        """The rows at the very end: every change that was ever shown is there, or a later one of its ticket."""
        for (second, id), version in self._versions[account].items():
            kept = final.get(id)
            if kept is None or kept[0] < second:
                self._say(f"{account}: {Row(second, id, version)} was shown, but the store ended with {kept}")
            elif kept[0] == second and version_of(kept[1], second) != version:
                self._say(f"{account}: ticket {id} has other bytes at {second} than a reader was given")

    def writes(self, account: str, attempts: Iterable[Attempt], final: Mapping[int, tuple[int, bytes]]) -> int:
        """Every acknowledged write is there, whole, or a later one; no other may be torn. Returns how many."""
        checked = _Writes(self, account, list(attempts), final)
        acknowledged = checked.check()
        for row, shown_at, reader in self._behind[account]:
            if checked.was_superseded(row, shown_at):
                self.superseded += 1
            else:
                self._say_behind(account, row, reader)
        return acknowledged

    def shown(self, account: str) -> dict[Position, str]:
        """Every change that any reader was given."""
        return self._versions[account]

    def _began(self, page: GivenPage) -> None:
        """What is shown now must have been shown to all who were given a cursor behind it before."""
        self._check_form(page)
        for filters in {page.filters, EVERYTHING}:
            covered, shown = self._covered[page.account, filters], self._shown[page.account, filters]
            for row in page.rows:
                position = Position(row.second, row.id)
                if position in covered and position not in shown:
                    if self._has_replicas:
                        self._behind[page.account].append((row, page.began, page.reader))
                    else:
                        self._say_behind(page.account, row, page.reader)
        versions = self._versions[page.account]
        for second, id, version in page.rows:
            if versions.setdefault(Position(second, id), version) != version:
                self._say(f"{page.account}: position {(second, id)} has had two states")

    def _ended(self, page: GivenPage) -> None:
        key = (page.account, page.filters)
        self._covered[key].add(page.after, page.cursor)
        self._shown[key].update(Position(row.second, row.id) for row in page.rows)
        self._kept[page.reader] = page.cursor
        self.held[page.reader].update((row.id, row) for row in page.rows)

    def _check_form(self, page: GivenPage) -> None:
        self._starts.setdefault(page.reader, page.after)
        if page.after != self._kept.get(page.reader, page.after):
            self._say(f"{page.reader} went on from {page.after}, not from {self._kept[page.reader]}")
        places = [page.after, *(Position(row.second, row.id) for row in page.rows)]
        if any(later <= earlier for earlier, later in pairwise(places)):
            self._say(f"{page.reader} was given rows out of order, or at or before its cursor {page.after}")
        if page.cursor != places[-1]:
            self._say(f"{page.reader} was given the cursor {page.cursor} after {places[-1]}")
        if not page.rows and not page.end_of_stream:
            self._say(f"{page.reader} was given an empty page that is not the end of the stream")

    def _say_behind(self, account: str, row: Row, reader: str) -> None:
        self._say(f"{account}: {row} became visible behind a cursor given out; seen by {reader}")

    def _say(self, violation: str) -> None:
        self.violations.append(violation)


class _Ranges:
    """Ranges (after, upto] of positions, apart from each other and in order."""

    def __init__(self) -> None:
        self._afters: list[Position] = []
        self._uptos: list[Position] = []

    def add(self, after: Position, upto: Position) -> None:
        if after >= upto:
            return
        first = bisect_left(self._uptos, after)
        behind = first
        while behind < len(self._afters) and self._afters[behind] <= upto:
            behind += 1
        joined = slice(first, behind)
        after = min([after, *self._afters[joined]])
        upto = max([upto, *self._uptos[joined]])
        self._afters[joined], self._uptos[joined] = [after], [upto]

    def __contains__(self, position: Position) -> bool:
        index = bisect_left(self._uptos, position)
        return index < len(self._afters) and self._afters[index] < position


class _Writes:
    """One account's writes against the rows at the end."""

    def __init__(
        self, observer: Observer, account: str, attempts: list[Attempt], final: Mapping[int, tuple[int, bytes]]
    ) -> None:
        self._observer, self._account, self._final = observer, account, final
        self._say = observer._say
        self._by_version = {(id, version): a for a in attempts for id, version in a.tickets.items()}
        self._attempts = attempts
        self._seconds: dict[int, int] = {}

    def check(self) -> int:
        for (second, ticket_id), version in self._observer.shown(self._account).items():
            self._place(Row(second, ticket_id, version))
        for ticket_id, (second, body) in self._final.items():
            self._place(Row(second, ticket_id, version_of(body, second)))
        visible = [a for a in self._attempts if a.ended < NEVER or id(a) in self._seconds]
        for attempt in visible:
            self._check_kept(attempt)
        self._check_order()
        return sum(a.ended < NEVER for a in self._attempts)

    def was_superseded(self, row: Row, shown_at: float) -> bool:
        """Whether a later write of the ticket had begun before its state `row` was shown."""
        owner = self._by_version[row.id, row.version]
        return any(
            row.id in attempt.tickets
            and attempt.began < shown_at
            and (self._seconds.get(id(attempt), 0) > row.second or owner.ended < attempt.began < attempt.ended < NEVER)
            for attempt in self._attempts
        )

    def _place(self, row: Row) -> None:
        """All tickets of one write carry one second, and nobody finds what nobody wrote."""
        attempt = self._by_version.get((row.id, row.version))
        if attempt is None:
            self._say(f"{self._account}: nobody wrote {row}")
        elif attempt.keeps:
            self._seconds[id(attempt)] = max(row.second, self._seconds.get(id(attempt), 0))
        elif self._seconds.setdefault(id(attempt), row.second) != row.second:
            self._say(f"{self._account}: one write is found at two seconds: {row} and {self._seconds[id(attempt)]}")

    def _check_kept(self, attempt: Attempt) -> None:
        """Each ticket of a write that was acknowledged or seen is as it left it, or as a later write did."""
        for ticket_id, version in attempt.tickets.items():
            if ticket_id not in self._final:
                self._say(f"{self._account}: ticket {ticket_id} is gone; {attempt.writer} wrote it")
                continue
            second, body = self._final[ticket_id]
            kept = self._by_version.get((ticket_id, version_of(body, second)))
            if kept is not None and kept is not attempt and kept.ended < attempt.began:
                self._say(
                    f"{self._account}: ticket {ticket_id} is as {kept.writer} left it before {attempt.writer} "
                    f"wrote {version}, which is lost (acknowledged: {attempt.ended < NEVER})"
                )

    def _check_order(self) -> None:
        """Writes that followed each other carry seconds in the same order."""
        known = [a for a in self._attempts if id(a) in self._seconds]
        acknowledged = sorted((a for a in known if a.ended < NEVER), key=lambda a: a.ended)
        newest, behind = -1, 0
        for attempt in sorted(known, key=lambda a: a.began):
            while behind < len(acknowledged) and acknowledged[behind].ended < attempt.began:
                newest = max(newest, self._seconds[id(acknowledged[behind])])
                behind += 1
            if self._seconds[id(attempt)] < newest:
                self._say(
                    f"{self._account}: a write of {attempt.writer} carries {self._seconds[id(attempt)]}, "
                    f"though one before it carries {newest}"
                )
