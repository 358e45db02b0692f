"""Last-wins deduplication of a load: of several drafts with one id, the newest is stored.

The drafts come in batches of any number, and memory is bounded by one batch: the ids of the batches before it are in a
temporary table of the engine, which is created only when there is a second batch.
"""

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Protocol, TypeVar

from ticketfeed.protocol.tickets import TicketDraft

__all__ = ["LastWins", "WrittenTable", "batches"]

T = TypeVar("T")


class WrittenTable(Protocol):
    """The tickets that a write has stored: id -> generated_timestamp of the draft."""

    def start(self) -> None:
        """Create it, empty."""

    def find(self, ids: Sequence[int]) -> dict[int, int]:
        """Those of `ids` that are in it."""

    def add(self, written: Mapping[int, int]) -> None:
        """Add tickets, or replace their seconds."""


class LastWins:
    """Chooses from each batch of a load what to store."""

    def __init__(self, table: WrittenTable) -> None:
        self._table = table
        self._has_table = False
        self._last_batch: dict[int, int] = {}

    def newest(self, batch: Sequence[TicketDraft]) -> list[TicketDraft]:
        """Of each id the newest draft, unless an earlier batch had a newer one.

        Newer is a draft with a larger `generated_timestamp`, or with the same one, and later.
        """
        if self._last_batch:
            if not self._has_table:
                self._table.start()
                self._has_table = True
            self._table.add(self._last_batch)
        written = self._table.find([draft.id for draft in batch]) if self._has_table else {}
        newest: dict[int, TicketDraft] = {}
        for draft in batch:
            known = newest[draft.id].generated_timestamp if draft.id in newest else written.get(draft.id, 0)
            if draft.generated_timestamp >= known:
                newest[draft.id] = draft
        self._last_batch = {id: draft.generated_timestamp for id, draft in newest.items()}
        return list(newest.values())


def batches(drafts: Iterable[T], size: int) -> Iterator[list[T]]:
    """Lists of `size` drafts; the last one may be shorter."""
    drafts = iter(drafts)
    while batch := list(itertools.islice(drafts, size)):
        yield batch
