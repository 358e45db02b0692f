"""Progress of a mirror on standard error: one line that is kept up to date on a terminal, JSON lines elsewhere."""

import asyncio
import json
import shutil
import sys
from typing import Any

from ticketfeed.cli.export_progress import JSON_SECONDS, duration_text
from ticketfeed.cli.output import write_err
from ticketfeed.mirror.run import MirrorRun

__all__ = ["MirrorProgress", "status_line"]

TERMINAL_SECONDS = 1.0


class MirrorProgress:
    """Shows what a mirror does while it runs."""

    def __init__(self) -> None:
        self._is_terminal = sys.stderr.isatty()

    async def show(self, run: MirrorRun) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(TERMINAL_SECONDS if self._is_terminal else JSON_SECONDS)
            values = run.values
            if not values:
                continue
            if self._is_terminal:
                width = shutil.get_terminal_size().columns - 1
                write_err("\r\x1b[K" + status_line(values, run.total, run.wait_seconds)[:width])
            else:
                write_err(json.dumps({"event": "progress", **values}) + "\n")

    def print(self, text: str) -> None:
        """A line of its own, above the one that is kept up to date."""
        write_err(("\r\x1b[K" if self._is_terminal else "") + f"ticketfeed: {text}\n")

    def leave(self) -> None:
        """Take the line away."""
        if self._is_terminal:
            write_err("\r\x1b[K")


def status_line(values: dict[str, Any], total: int | None = None, wait_seconds: float = 0.0) -> str:
    """What a status says, in one line, of which a narrow terminal shows the beginning: state, share and time left,
    behind, budget, copied, applied, why it waits. `total`: of the source's tickets."""
    behind, changes, limit = values["behind_seconds"], values["behind_changes"], values["requests_per_minute"]
    state = values["state"]
    if total and changes and state not in ("following", "stopped"):
        state += f" {max(0.0, 1 - changes / total):.0%}"
    parts = [state + (f", left {_brief(values['eta_seconds'])}" if values["eta_seconds"] else "")]
    if behind is not None:
        parts.append(f"behind {_brief(behind)}" + (f", {changes:,} changes" if changes else ""))
    parts.append(f"{values['requests_used']}/{limit or 'unlimited'} requests a minute")
    parts.append(f"copied {values['copied']:,}, applied {values['applied']:,}")
    if values["reason"]:
        parts.append(f"waiting {duration_text(wait_seconds)}: {values['reason']}" if wait_seconds else values["reason"])
    return "; ".join(parts)


def _brief(seconds: float) -> str:
    """As `duration_text`, and whole days where there are several."""
    days = int(seconds) // 86400
    return f"{days:,} days" if days > 1 else duration_text(seconds)
