"""How many changes a mirror is behind its source, and how long it will take: estimates, for people."""

from collections import deque
from dataclasses import dataclass, field

from ticketfeed.client.steps import ExportPage
from ticketfeed.protocol.mirrors import StreamState

__all__ = ["Progress"]

_PAGES = 20
# What a request takes where nothing limits them, until pages tell.
_REQUEST_SECONDS = 1.0


@dataclass
class Progress:
    """`total`: how many tickets the source counts; None if that is not known."""

    per_page: int
    total: int | None = None
    # Of the last pages of tickets: records, seconds of the source that they span, and when they were asked for.
    _pages: deque[tuple[int, int, float]] = field(default_factory=lambda: deque(maxlen=_PAGES))

    def add(self, page: ExportPage, before: StreamState, after: StreamState) -> None:
        """A page was applied."""
        if page.stream == "tickets" and page.records:
            self._pages.append((len(page.records), max(0, after.passed - before.passed), after.asked_at))

    def behind_changes(self, tickets: StreamState, now: float) -> int | None:
        """While tickets are copied, those that are missing; later by how many change in a second, lately."""
        if tickets.has_ended:
            return 0
        if not tickets.is_copied:
            return None if self.total is None else max(0, self.total - tickets.copied)
        records, seconds = sum(page[0] for page in self._pages), sum(page[1] for page in self._pages)
        return round(records / seconds * max(0.0, now - tickets.passed)) if seconds else None

    def left_seconds(self, tickets: StreamState, now: float, requests_per_minute: int | None) -> int | None:
        """Until the tickets are caught up with."""
        changes = self.behind_changes(tickets, now)
        if changes is None:
            return None
        pages = -(-changes // self.per_page)
        if requests_per_minute is not None:
            return round(pages * 60 / requests_per_minute)
        times = [page[2] for page in self._pages]
        pace = (times[-1] - times[0]) / (len(times) - 1) if len(times) > 1 else _REQUEST_SECONDS
        return round(pages * pace)
