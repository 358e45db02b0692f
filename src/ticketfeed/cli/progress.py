"""A bar on a terminal, nothing elsewhere: standard error stays one line an error when a program reads it."""

import contextlib
from collections.abc import Iterator

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, TextColumn, TimeElapsedColumn

__all__ = ["Bar", "progress"]


class Bar:
    """What a command tells its progress to. `total` may be told late, or again."""

    def __init__(self, shown: Progress, title: str) -> None:
        self._shown, self._task = shown, shown.add_task(title, total=None)

    def advance(self, count: int) -> None:
        """So much more is done."""
        self._shown.advance(self._task, count)

    def update(self, done: int, total: int | None) -> None:
        """So much is done, of so much."""
        self._shown.update(self._task, completed=done, total=total or None)


@contextlib.contextmanager
def progress(title: str, column: ProgressColumn) -> Iterator[Bar]:
    """`column` says how much is done, in the command's own unit."""
    console = Console(stderr=True)
    columns = (TextColumn(title), BarColumn(), column, TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as shown:
        yield Bar(shown, title)
