"""Last-wins deduplication of a load: of several drafts with one id, the newest is stored.

The drafts come in batches of any number, and memory is bounded: the ids of the latest batches are kept in memory, those
of the batches before them in a temporary table of the engine, which is created only when there are that many.
"""

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Protocol, TypeVar

from ticketfeed.protocol.tickets import TicketDraft

__all__ = ["LastWins", "WrittenTable", "batches"]

T = TypeVar("T")

# Ids that are kept in memory: some megabytes. An engine that is asked for each batch does nothing else meanwhile.
IDS_MAX = 50_000


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
        self._latest: dict[int, int] = {}

    def newest(self, batch: Sequence[TicketDraft]) -> list[TicketDraft]:
        """Of each id the newest draft, unless an earlier batch had a newer one.

        Newer is a draft with a larger `generated_timestamp`, or with the same one, and later.
        """
        if len(self._latest) > IDS_MAX:
            if not self._has_table:
                self._table.start()
                self._has_table = True
            self._table.add(self._latest)
            self._latest = {}
        written = self._table.find([draft.id for draft in batch]) if self._has_table else {}
        newest: dict[int, TicketDraft] = {}
        for draft in batch:
            known = self._latest.get(draft.id, written.get(draft.id, 0))
            if draft.generated_timestamp >= known:
                newest[draft.id] = draft
                self._latest[draft.id] = draft.generated_timestamp
        return list(newest.values())


def batches(drafts: Iterable[T], size: int) -> Iterator[list[T]]:
    """Lists of `size` drafts; the last one may be shorter."""
    drafts = iter(drafts)
    while batch := list(itertools.islice(drafts, size)):
        yield batch
