"""Entries of the search index in SQLite: numbers in search_entry, words in the FTS5 table search_text.

FTS5 does not store the texts again, so the words of an entry are removed by naming them.
"""

from collections.abc import Mapping

import apsw

from ticketfeed.protocol.search_index import WORDLESS_KINDS, SearchEntry
from ticketfeed.storage.queries import Queries
from ticketfeed.storage.search_changes import EntryKey

__all__ = ["overwrite_texts", "write_entries"]


def write_entries(
    connection: apsw.Connection,
    queries: Queries,
    account_id: int,
    old: Mapping[EntryKey, SearchEntry | None],
    new: Mapping[EntryKey, SearchEntry | None],
) -> None:
    """Replace the entries of an account by `new`, where None is no entry. `old`: the entries as they were added, of all
    kinds that have words; what is not in it had none."""
    added: list[SearchEntry] = []
    gone: list[EntryKey] = []
    for key, entry in new.items():
        before = old.get(key)
        if before is not None:
            _change_entry(connection, queries, account_id, before, entry)
        elif entry is not None:
            added.append(entry)
        elif key[0] in WORDLESS_KINDS:
            gone.append(key)
    connection.executemany(queries["delete_entry"], [(account_id, *key) for key in gone])
    if added:
        first = int(connection.execute(queries["next_entry_id"]).get)
        numbered = list(enumerate(added, first))
        rows = [(entry_id, account_id, each.kind, each.id, *_numbers(each)) for entry_id, each in numbered]
        connection.executemany(queries["put_entry"], rows)
        texts = [(entry_id, *_words(each)) for entry_id, each in numbered if each.kind not in WORDLESS_KINDS]
        connection.executemany(queries["add_entry_text"], texts)


def overwrite_texts(connection: apsw.Connection, queries: Queries) -> None:
    """Write all words anew.

    Of words that were removed the index keeps beginnings, which may be whole words: where a page begins. FTS5 writes
    pages anew when it merges two parts, so one is added.
    """
    added = (-1, "", "", "", "", "_")
    connection.execute(queries["add_entry_text"], added)
    connection.execute(queries["merge_entry_texts"])
    connection.execute(queries["delete_entry_text"], added)


def _change_entry(
    connection: apsw.Connection, queries: Queries, account_id: int, before: SearchEntry, after: SearchEntry | None
) -> None:
    key = before.kind, before.id
    entry_id = connection.execute(queries["find_entry_id"], (account_id, *key)).get
    if after is None or _words(after) != _words(before):
        connection.execute(queries["delete_entry_text"], (entry_id, *_words(before)))
        if after is not None:
            connection.execute(queries["add_entry_text"], (entry_id, *_words(after)))
    if after is None:
        connection.execute(queries["delete_entry"], (account_id, *key))
    elif _numbers(after) != _numbers(before):
        connection.execute(queries["put_entry"], (entry_id, account_id, *key, *_numbers(after)))


def _numbers(entry: SearchEntry) -> tuple[int | None, ...]:
    """target_id to ticket_type."""
    return entry[2:10]


def _words(entry: SearchEntry) -> tuple[str, ...]:
    """title to terms."""
    return entry[10:]
