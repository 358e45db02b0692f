"""Entries of the search index in SQLite: numbers in search_entry, words in the FTS5 table search_text.

FTS5 does not store the texts again, so the words of an entry are removed by naming them.
"""

from collections.abc import Mapping

import apsw

from ticketfeed.protocol.search_index import SearchEntry
from ticketfeed.storage.queries import Queries

__all__ = ["write_entries"]


def write_entries(
    connection: apsw.Connection,
    queries: Queries,
    account_id: int,
    old: Mapping[tuple[str, int], SearchEntry],
    new: Mapping[tuple[str, int], SearchEntry | None],
) -> None:
    """Replace the entries of an account by `new`, where None is no entry. `old`: all of them that exist, as added."""
    added = [entry for key, entry in new.items() if entry is not None and key not in old]
    for key, before in old.items():
        after = new[key]
        entry_id = connection.execute(queries["find_entry_id"], (account_id, *key)).get
        if after is None or _words(after) != _words(before):
            if any(_words(before)):
                connection.execute(queries["delete_entry_text"], (entry_id, *_words(before)))
            if after is not None and any(_words(after)):
                connection.execute(queries["add_entry_text"], (entry_id, *_words(after)))
        if after is None:
            connection.execute(queries["delete_entry"], (account_id, entry_id))
        elif _numbers(after) != _numbers(before):
            connection.execute(queries["update_entry"], (*_numbers(after), account_id, entry_id))
    if added:
        first = int(connection.execute(queries["next_entry_id"]).get)
        numbered = list(enumerate(added, first))
        rows = [(entry_id, account_id, each.kind, each.id, *_numbers(each)) for entry_id, each in numbered]
        connection.executemany(queries["add_entry"], rows)
        texts = [(entry_id, *_words(each)) for entry_id, each in numbered if any(_words(each))]
        connection.executemany(queries["add_entry_text"], texts)


def _numbers(entry: SearchEntry) -> tuple[int | None, ...]:
    """target_id to ticket_type."""
    return entry[2:10]


def _words(entry: SearchEntry) -> tuple[str, ...]:
    """title to terms."""
    return entry[10:]
