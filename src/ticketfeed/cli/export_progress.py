"""Progress of an export on standard error: one line that is kept up to date on a terminal, JSON lines elsewhere."""

import json
import shutil
import sys
import threading
import time
from collections import deque
from collections.abc import Set
from types import TracebackType
from typing import Any, Self

from ticketfeed.cli.output import write_err
from ticketfeed.client.session import Session
from ticketfeed.client.steps import ExportPage, Wait
from ticketfeed.client.totals import RunCounts
from ticketfeed.clock import system_clock
from ticketfeed.protocol.records import wire_second

__all__ = ["ExportProgress", "duration_text", "summary_text"]

TERMINAL_SECONDS, JSON_SECONDS = 0.5, 10.0
# A wait of this length has a line at once when its reason is a new one.
WAIT_SECONDS_MIN = 5.0
# The rate is that of the last pages only, so that it follows a change of pace within a minute or so.
_RATE_PAGES = 20
# Below this share of the time span an estimate would be a guess.
_SHARE_MIN = 0.02


class ExportProgress:
    """Shows what a run does while it lasts. `rate_limit`: requests a minute that it may make."""

    def __init__(self, counts: RunCounts, session: Session, rate_limit: int | None) -> None:
        self._counts, self._session, self._limit = counts, session, rate_limit
        self._is_terminal = sys.stderr.isatty()
        self._began = time.monotonic()
        self._pages: deque[tuple[float, int]] = deque([(self._began, 0)], maxlen=_RATE_PAGES)
        self._wait: tuple[str, float] | None = None
        self._stream = self._reason = ""
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._show_regularly, name="ticketfeed-progress", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._end()

    def leave(self, text: str) -> None:
        """Show nothing more but this line, if any."""
        self._end()
        write_err(f"{text}\n" if text else "")

    def _end(self) -> None:
        if not self._ended.is_set():
            self._ended.set()
            self._thread.join()
            write_err("\r\x1b[K" if self._is_terminal else "")

    def seen(self, page: ExportPage, held: Set[Any] | None) -> None:
        """A page was stored; `held` as Sink.write returns it."""
        self._counts.add(page, held)
        self._stream = page.stream
        self._pages.append((time.monotonic(), self._counts.records.total()))

    def sleep(self, step: Wait) -> None:
        """Sleep as the flow says, and say why."""
        self._wait = step.reason, time.monotonic() + step.seconds
        if step.seconds >= WAIT_SECONDS_MIN and step.reason != self._reason:
            self._reason = step.reason
            self._show()
        try:
            time.sleep(step.seconds)
        finally:
            self._wait = None

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._began

    def _show_regularly(self) -> None:
        interval = TERMINAL_SECONDS if self._is_terminal else JSON_SECONDS
        while not self._ended.wait(interval):
            self._show()

    def _show(self) -> None:
        if self._is_terminal:
            width = shutil.get_terminal_size().columns - 1
            write_err("\r\x1b[K" + self._line()[:width])
        else:
            write_err(json.dumps(self._values()) + "\n")

    def _values(self) -> dict[str, Any]:
        now = time.monotonic()
        (then, before), total = self._pages[0], self._counts.records.total()
        wait = self._wait
        return {
            "event": "progress",
            "stream": self._stream,
            "records": total,
            "records_per_second": round((total - before) / max(now - then, 0.001), 1),
            "requests": self._session.requests,
            "requests_per_minute": self._limit,
            "position": wire_second(self._counts.last_second) if self._counts.last_second else None,
            "state": "waiting" if wait else "reading",
            "reason": wait[0] if wait else None,
            "wait_seconds": round(max(0.0, wait[1] - now)) if wait else 0,
            "left_seconds": self._left_seconds(now),
        }

    def _left_seconds(self, now: float) -> int | None:
        """By the share of the time between the first ticket and now that is exported."""
        counts = self._counts
        span = system_clock() - counts.first_second
        if not counts.last_second or span <= 0 or counts.records.total() != counts.records["tickets"]:
            return None
        share = (counts.last_second - counts.first_second) / span
        return None if share < _SHARE_MIN else max(0, round((now - self._began) * (1 - share) / share))

    def _line(self) -> str:
        values = self._values()
        parts = [
            f"{values['stream'] or 'export'}: {values['records']:,} records",
            f"{values['records_per_second']:,.0f}/s",
            f"{values['requests']:,} requests" + (f" ({self._limit}/min)" if self._limit else ""),
        ]
        if values["position"]:
            parts.append(f"at {values['position']}")
        if values["left_seconds"] is not None:
            parts.append(f"left {duration_text(values['left_seconds'])}")
        if values["reason"]:
            parts.append(f"waiting {duration_text(values['wait_seconds'])}: {values['reason']}")
        return "; ".join(parts)


def duration_text(seconds: float) -> str:
    """`42 s`, `3 min 10 s`, `2 h 5 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def summary_text(counts: RunCounts, session: Session, seconds: float) -> str:
    """What a run has done, in one line."""
    parts = [f"{count:,} {stream}" for stream, count in counts.records.items()] or ["nothing"]
    text = ", ".join(parts)
    if counts.records["tickets"]:
        text += f" ({counts.new:,} new, {counts.changed:,} changed, {counts.deleted:,} deleted)"
    text += f"; {counts.repeated:,} unchanged" if counts.repeated else ""
    return f"{text}; {seconds:.1f} s, {session.requests:,} requests, waited {session.waited_seconds:.1f} s"
