"""One run of an export: pages from a source into a target, each stored together with where to continue."""

from collections.abc import Callable, Mapping, Set
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

from ticketfeed.client.exporter import Exporter
from ticketfeed.client.sinks.contract import Batch, Checkpoint, Sink
from ticketfeed.client.steps import ExportPage
from ticketfeed.client.totals import Totals
from ticketfeed.protocol.errors import SourceError, TargetError

__all__ = ["Run"]


@dataclass(slots=True)
class Run:
    """`on_page` is called with each page after it is stored, and with what the target's `write` returned.

    `shield`: blocks interrupts while a target is written.
    `is_open`: whether the target is. One that is not is created with the first page, so that a run which fails before
    leaves nothing behind.
    """

    exporter: Exporter
    sink: Sink
    identity: Mapping[str, Any]
    checkpoint: Checkpoint | None
    on_page: Callable[[ExportPage, Set[Any] | None], None]
    shield: Callable[[], AbstractContextManager[None]] = nullcontext
    is_open: bool = True
    _totals: Totals = field(init=False)
    _states: dict[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        self._totals = Totals(self.checkpoint.totals if self.checkpoint else None)
        self._states = dict(self.checkpoint.streams if self.checkpoint else self.exporter.states)

    def run(self) -> None:
        """To the end of the streams, or until interrupted: then, too, the target is whole.

        Raises SourceError, KeyboardInterrupt, and what the target raises when it cannot be written.
        """
        try:
            for page in self.exporter:
                self.on_page(page, self._store(page))
        except (SourceError, KeyboardInterrupt):
            self._finish()
            raise
        self._finish()

    def _store(self, page: ExportPage) -> Set[Any] | None:
        is_news = bool(page.records) or bool(page.skipped) or self._states.get(page.stream) != page.state
        if not is_news and self.checkpoint is not None:
            return None
        self._totals.add(page, self._states.get(page.stream))
        self._states[page.stream] = page.state
        checkpoint = Checkpoint(self.identity, dict(self._states), self._totals.values())
        with self.shield():
            self._open()
            held = self.sink.write([Batch(page.stream, page.records)], checkpoint)
            self.checkpoint = checkpoint
        return held

    def _open(self) -> None:
        if not self.is_open and self.sink.open(self.identity) is not None:
            raise TargetError("another export has created the target meanwhile; run the command again to continue it")
        self.is_open = True

    def _finish(self) -> None:
        if self.checkpoint is not None:
            with self.shield():
                self.sink.finish(self.checkpoint)
