"""The requests of a run on a time line, as SVG."""

from collections.abc import Iterator, Sequence
from html import escape
from typing import NamedTuple

from ticketfeed.protocol.consumers import RequestRecord
from ticketfeed.torture.results import ScenarioRun

__all__ = ["REQUESTS_SHOWN", "draw_timeline", "status_text"]

# More than these make no better picture, only a larger file.
REQUESTS_SHOWN = 300
WIDTH, MARGIN, LANE, AXIS = 900, 24, 16, 26
LANES_MAX = 12
BAR_WIDTH_MIN = 4.0
TICKS = 6


class _Bar(NamedTuple):
    request: RequestRecord
    lane: int
    x: float
    width: float
    is_fault: bool


def draw_timeline(run: ScenarioRun, label: str) -> str:
    """An SVG element of a page; `label` names it to readers of screens. Empty without requests."""
    shown = run.requests[:REQUESTS_SHOWN]
    if not shown:
        return ""
    began = min([each.began_at for each in run.attempts] + [shown[0].started_at])
    seconds = max(max(each.at for each in shown) - began, 0.001)
    bars = list(_bars(shown, began, seconds, {each.request_id for each in run.firings}))
    height = AXIS + LANE * (1 + max(bar.lane for bar in bars)) + 8
    fired = sum(bar.is_fault for bar in bars)
    name = f"{label}: {len(shown)} requests in {seconds:.1f} seconds; the fault fired at {fired} of them"
    parts = [f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(name)}">']
    parts += _axis(seconds, height)
    for number, attempt in enumerate(run.attempts[1:], 2):
        x = _place(attempt.began_at, began, seconds)
        parts.append(f'<line class="run" x1="{x:.1f}" y1="12" x2="{x:.1f}" y2="{height}"/>')
        parts.append(f'<text x="{x + 3:.1f}" y="22">run {number}</text>')
    parts += map(_draw, bars)
    return "".join([*parts, "</svg>"])


def _bars(requests: Sequence[RequestRecord], began: float, seconds: float, faults: set[str]) -> Iterator[_Bar]:
    """Requests at the same time are below each other."""
    ends: list[float] = []
    for each in requests:
        x = _place(each.started_at, began, seconds)
        width = max(BAR_WIDTH_MIN, _place(each.at, began, seconds) - x)
        lane = next((number for number, end in enumerate(ends) if end <= x), len(ends))
        lane = min(lane, LANES_MAX - 1)
        ends[lane : lane + 1] = [x + width + 1]
        yield _Bar(each, lane, x, width, each.request_id in faults)


def _place(at: float, began: float, seconds: float) -> float:
    return MARGIN + (WIDTH - 2 * MARGIN) * min(1.0, max(0.0, at - began) / seconds)


def _axis(seconds: float, height: int) -> Iterator[str]:
    for tick in range(TICKS):
        x = MARGIN + (WIDTH - 2 * MARGIN) * tick / (TICKS - 1)
        anchor = "middle" if 0 < tick < TICKS - 1 else "start" if tick == 0 else "end"
        yield f'<line class="axis" x1="{x:.1f}" y1="{AXIS - 2}" x2="{x:.1f}" y2="{height}"/>'
        yield f'<text x="{x:.1f}" y="11" text-anchor="{anchor}">{seconds * tick / (TICKS - 1):.1f} s</text>'


def _draw(bar: _Bar) -> str:
    request, y = bar.request, AXIS + LANE * bar.lane
    title = f"{request.method} {request.path}: {status_text(request)}, {request.ms:.0f} ms"
    title += ", the fault fired" if bar.is_fault else ""
    mark = f'<circle class="fault" cx="{bar.x + bar.width / 2:.1f}" cy="{y + 6}" r="7"/>' if bar.is_fault else ""
    return (
        f"<g><title>{escape(title)}</title>"
        f'<rect class="{_kind(request)}" x="{bar.x:.1f}" y="{y}" width="{bar.width:.1f}" height="12" rx="2"/>{mark}</g>'
    )


def _kind(request: RequestRecord) -> str:
    if request.status == 0:
        return "cut"
    return "ok" if request.status < 400 else "refused" if request.status < 500 else "error"


def status_text(request: RequestRecord) -> str:
    """The status as a reader needs it; 0 is an answer that was never sent."""
    return str(request.status) if request.status else "no answer"
