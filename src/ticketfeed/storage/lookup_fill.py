"""The lookup keys of records that an older release stored: what the migration that adds the column cannot compute.

No engine folds letters as Python does, and a JSON text may have escapes that an engine cannot decode.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from ticketfeed.protocol.records import stored_lookup_key

__all__ = ["LOOKUP_MIGRATION", "READ_NAMED", "WRITE_KEY", "make_lookup_keys"]

LOOKUP_MIGRATION = "0010_lookups.sql"
# In the forms of `queries.py`; both engines take them as they are.
READ_NAMED = "SELECT account_id, kind, id, body FROM ticketfeed.record WHERE kind IN ('organizations', 'identities')"
WRITE_KEY = (
    "UPDATE ticketfeed.record SET lookup_key = :key WHERE account_id = :account_id AND kind = :kind AND id = :id"
)


def make_lookup_keys(rows: Iterable[tuple[Any, ...]]) -> Iterator[dict[str, object]]:
    """The bindings of WRITE_KEY for the rows of READ_NAMED."""
    for account_id, kind, id, body in rows:
        key = stored_lookup_key(kind, bytes(body))
        if key is not None:
            yield {"key": key, "account_id": account_id, "kind": kind, "id": id}
