"""A progress bar on a terminal. Nothing is printed elsewhere, where programs expect one line per error."""

import contextlib
from collections.abc import Iterator

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, TextColumn, TimeElapsedColumn

__all__ = ["Bar", "progress"]


class Bar:
    """A bar in progress. Its total may be set late, and more than once."""

    def __init__(self, display: Progress, title: str) -> None:
        self._display, self._task = display, display.add_task(title, total=None)

    def advance(self, count: int) -> None:
        """Add to what is done."""
        self._display.advance(self._task, count)

    def update(self, done: int, total: int | None) -> None:
        """Set what is done, and the total; None for an unknown total."""
        self._display.update(self._task, completed=done, total=total or None)


@contextlib.contextmanager
def progress(title: str, column: ProgressColumn) -> Iterator[Bar]:
    """Show a bar until the block ends. `column` formats how much is done, in the command's unit."""
    console = Console(stderr=True)
    columns = (TextColumn(title), BarColumn(), column, TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as display:
        yield Bar(display, title)
