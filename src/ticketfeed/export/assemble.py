"""A page out of pieces: runs that are kept where there are any, and rows of the store, made into runs, where not.

What is read is what `read_page` would have read, but for the instant: each piece is the content of its own range, as
it was when the page was asked for or later. All of it is closed, so nothing is missed.
"""

from dataclasses import dataclass

from ticketfeed.export.fragments import RUN_TICKETS, Run, Runs, Shelf
from ticketfeed.export.source import Source
from ticketfeed.protocol.gzip_splice import Coding, Piece
from ticketfeed.protocol.model import Position
from ticketfeed.protocol.paging import position_of, rows_after, rows_until
from ticketfeed.storage.contract import FeedRows

__all__ = ["PiecePage", "read_pieces"]

# Read at once of a gap between runs, most of which are one run long.
GAP_TICKETS = RUN_TICKETS * 3 // 2


@dataclass(slots=True)
class PiecePage:
    """Pieces in feed order, each with at least one ticket. `runs` are those it rests on, None where one is not kept."""

    pieces: list[Piece]
    after: Position
    end_of_stream: bool
    runs: list[Run | None]


async def read_pieces(runs: Runs, source: Source, after: Position, limit: int, coding: Coding) -> PiecePage:
    """The next page behind `after`.

    The loop ends, whatever the clock does. Each step either sets `more`, which ends it, or takes a piece up to an end
    that lies strictly behind the position (`_Walk.take` insists on that): the end of a run found there, which `find`
    gives only when it lies behind; the start of the next run, behind by `next_after`; or a row, and rows are read
    from behind the position. Positions only grow, and none lies behind `until` but the end of a last run or gap; so
    after finitely many steps nothing is left to read, and that step sets `more`.
    """
    shelf = await runs.shelf(source.account, source.filters, coding)
    walk = _Walk(runs, shelf, source, after, limit)
    while walk.wanted and walk.more is None:
        run = shelf.find(walk.position)
        if run is None:
            await walk.fill_gap(shelf.next_after(walk.position))
        elif run.end.generated_timestamp > source.until:  # the clock went back: what can be read ends inside this run
            await walk.fill_gap(None)
        elif not run.is_kept or not runs.file.holds(run.whole):
            await walk.remake(run)
        elif run.after == walk.position and run.whole.count <= walk.wanted:
            walk.take(run.whole, run.end, run)
        else:
            await walk.clip(run)
    if walk.more is None:
        walk.more = await walk.is_more()
    pieces = [piece for piece in walk.pieces if piece.count]
    return PiecePage(pieces, pieces[-1].last if pieces else after, not walk.more, walk.runs)


class _Walk:
    """Where a page has come to. `more` says whether anything follows, as soon as that is known."""

    def __init__(self, runs: Runs, shelf: Shelf, source: Source, position: Position, wanted: int) -> None:
        self._kept, self._shelf, self._source = runs, shelf, source
        self.position, self.wanted = position, wanted
        self.pieces: list[Piece] = []
        self.runs: list[Run | None] = []
        self.more: bool | None = None

    def take(self, piece: Piece, end: Position, run: Run | None) -> None:
        if end <= self.position:
            raise RuntimeError(f"a page that does not advance: {end} after {self.position}")
        self.pieces.append(piece)
        self.runs.append(run)
        self.wanted -= piece.count
        self.position = end

    async def fill_gap(self, end: Position | None) -> None:
        """Rows up to `end`, where the next run begins, or the page is full, or the stream ends; or a part of a large
        gap."""
        limit = min(self.wanted, GAP_TICKETS) if end else self.wanted
        rows = await self._source.read(self.position, limit + 1)
        inside = rows_until(rows, end) if end else rows
        if len(inside) > limit:
            self.more = True if limit == self.wanted else None
            self._take_rows(inside[:limit], None)
        elif end and len(inside) < len(rows):
            self._take_rows(inside, end)
        else:
            whole = len(rows) - len(rows) % RUN_TICKETS  # what is left will grow, and is not kept
            self._take_rows(rows[:whole], None)
            if rows[whole:]:
                self.take(self._make(rows[whole:], self.position), position_of(rows[-1]), None)
            self.more = False

    async def remake(self, run: Run) -> None:
        """Read a run again that a ticket has left, and go on from where the page is."""
        inside = await self._read_run(run, run.after, run.whole.count)
        if inside is None:
            return
        piece = self._make(inside, run.after)
        new = self._kept.keep(self._shelf, run.after, run.end, piece, run) if self._is_new() else None
        if run.after == self.position and piece.count <= self.wanted:
            self.take(piece, run.end, new)
        else:
            self._clip_rows(new, rows_after(inside, self.position), run.end)

    async def clip(self, run: Run) -> None:
        """The part of a run behind the position, as far as wanted."""
        after, wanted = self.position, self.wanted
        found = run.clips.get((after, wanted))
        if found is not None and self._kept.file.holds(found[0]):
            self.take(*found, run)
            return
        inside = await self._read_run(run, after, min(wanted, run.whole.count) + 1)
        if inside is not None:
            self._clip_rows(run, inside, run.end)

    async def _read_run(self, run: Run, after: Position, limit: int) -> FeedRows | None:
        """Rows of a run; None where the store, which may be a replica, has not come so far: then the page ends."""
        rows = await self._source.read(after, limit)
        if self._source.state.watermark >= run.end.generated_timestamp:
            return rows_until(rows, run.end)
        behind = rows_after(rows, self.position)[: self.wanted]
        if behind:
            self.take(self._make(behind, self.position), position_of(behind[-1]), None)
        self.more = False
        return None

    def _clip_rows(self, run: Run | None, inside: FeedRows, end: Position) -> None:
        """Take as many as are wanted of the rows of a run behind the position."""
        after, wanted, taken = self.position, self.wanted, inside[: self.wanted]
        if len(inside) > wanted:
            end, self.more = position_of(taken[-1]), True
        piece = self._make(taken, after)
        is_kept = (
            run is not None and self._is_new() and self._kept.keep_clip(self._shelf, run, after, wanted, piece, end)
        )
        self.take(piece, end, run if is_kept else None)

    async def is_more(self) -> bool:
        """Whether anything follows a page that is full."""
        run = self._shelf.find(self.position)
        begins_here = run is not None and run.after == self.position and run.whole.count
        if run is not None and begins_here and run.end.generated_timestamp <= self._source.until:
            return True
        return bool(await self._source.read(self.position, 1))

    def _take_rows(self, rows: FeedRows, end: Position | None) -> None:
        """Make them into runs; the last one reaches to `end`, where nothing else is before it."""
        for begin in range(0, max(len(rows), end is not None), RUN_TICKETS):
            part, after = rows[begin : begin + RUN_TICKETS], self.position
            piece = self._make(part, after)
            is_last = begin + RUN_TICKETS >= len(rows)
            reach = end if end and is_last else piece.last
            self.take(piece, reach, self._kept.keep(self._shelf, after, reach, piece, None) if self._is_new() else None)

    def _make(self, rows: FeedRows, after: Position) -> Piece:
        return self._kept.make(rows, self._shelf.coding) if rows else Piece(0, 0, after, 0, 0, 0, b"")

    def _is_new(self) -> bool:
        """Whether the rows were read from a store that knew of all departures that we have heard of."""
        return self._source.state.invalidations >= self._kept.heard(self._source.account).invalidations
