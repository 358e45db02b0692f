"""The changes of the search index in one write transaction, kept until there is a batch of them.

Entries are made of what was stored before a change and of what is stored after it, at the end and all at once: one
decoding for a write, however many records it stores.
"""

from collections.abc import Callable, Iterable, Mapping

from ticketfeed.protocol.search_index import IndexedRow, SearchEntry, index_rows

__all__ = ["EntryKey", "SearchChanges"]

# Rows whose entries are made at once: some hundred kilobytes.
BATCH = 250

# The kind and the id of the ticket or record that an entry belongs to.
EntryKey = tuple[str, int]
Entries = Mapping[EntryKey, SearchEntry | None]


class SearchChanges:
    """`write_entries(old, new)` replaces entries of the index: None is no entry."""

    def __init__(self, write_entries: Callable[[Entries, Entries], None]) -> None:
        self._write_entries = write_entries
        self._old: dict[EntryKey, IndexedRow | None] = {}
        self._new: dict[EntryKey, IndexedRow | None] = {}

    def missing(self, keys: Iterable[EntryKey]) -> list[EntryKey]:
        """Those whose row before the first change is not known."""
        return [key for key in keys if key not in self._new]

    def add_stored(self, key: EntryKey, row: IndexedRow | None) -> None:
        """What was stored when a ticket or record begins to change; nothing that this transaction has stored."""
        if key not in self._new:
            self._old[key] = row

    def add(self, key: EntryKey, row: IndexedRow | None) -> None:
        """What is stored now."""
        self._new[key] = row

    def write_batch(self) -> None:
        """Write the entries if there are enough."""
        if len(self._new) >= BATCH:
            self.write()

    def write(self) -> None:
        """Write the entries of all changes."""
        rows = [row for each in (self._old, self._new) for row in each.values() if row is not None]
        entries = iter(index_rows(rows))
        old, new = ({key: row and next(entries) for key, row in each.items()} for each in (self._old, self._new))
        self._old, self._new = {}, {}
        if new:
            self._write_entries(old, new)
