"""Sideloads: which records belong beside a page's tickets.

A name in `include` becomes a top-level array, present even when empty, each record once, ordered by id.
Unknown names are ignored, as the wire does. Rows carry their links in the columns named by LINK_COLUMNS.
"""

from array import array
from collections.abc import Iterable, Sequence
from typing import Any

__all__ = ["LINK_COLUMNS", "SIDELOADED_KINDS", "STATUS", "pack_ids", "plan_sideloads"]

# Columns of a stored ticket that sideloads follow; `*_ids` are packed 64-bit integers, or null for none.
LINK_COLUMNS = (
    "user_ids",
    "group_id",
    "organization_id",
    "agreement_ids",
    "ticket_form_id",
    "brand_id",
    "custom_status_id",
    "status",
)

# A row is generated_timestamp, id, body, and then its links.
_COLUMN = {name: place for place, name in enumerate(LINK_COLUMNS, 3)}
STATUS = _COLUMN["status"]

# include name -> the column of a row that links to its records
SIDELOADED_KINDS = {
    "users": _COLUMN["user_ids"],
    "groups": _COLUMN["group_id"],
    "organizations": _COLUMN["organization_id"],
    "sharing_agreements": _COLUMN["agreement_ids"],
    "ticket_forms": _COLUMN["ticket_form_id"],
    "brands": _COLUMN["brand_id"],
    "custom_statuses": _COLUMN["custom_status_id"],
}
_PACKED = {_COLUMN["user_ids"], _COLUMN["agreement_ids"]}


def pack_ids(ids: Iterable[int]) -> bytes:
    """Ids as packed native 64-bit integers, each once, ascending."""
    return array("q", sorted(set(ids))).tobytes()


def plan_sideloads(include: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> dict[str, list[int]]:
    """Kind -> ids to read, ascending, for every kind in `include` that can be sideloaded."""
    return {kind: _linked_ids(rows, SIDELOADED_KINDS[kind]) for kind in include if kind in SIDELOADED_KINDS}


def _linked_ids(rows: Sequence[tuple[Any, ...]], column: int) -> list[int]:
    links = {row[column] for row in rows} - {None}
    return sorted(set(array("q", b"".join(links))) if column in _PACKED else links)
